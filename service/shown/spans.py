"""Days as callers name them: one of them, or those from one to another."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Query
from pydantic import BeforeValidator

from core.errors import UsageError
from core.store import validations

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

USUAL_DAYS: Final = 30
MOST_DAYS: Final = 400

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Beyond these nothing can be added to a day, or taken from it.
_FIRST, _LAST = date(1970, 1, 1), date(9998, 12, 31)


def _as_day(value: object) -> object:
    # A number would be taken for seconds since 1970.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("a day is written as 2026-01-31")
    return value


Day = Annotated[
    date | None,
    BeforeValidator(_as_day),
    Query(examples=["2026-03-08"], description="The day, in UTC; the last judged when left out."),
]
From = Annotated[
    date | None,
    BeforeValidator(_as_day),
    Query(
        alias="from",
        examples=["2026-02-07"],
        description=f"The first day, in UTC; {USUAL_DAYS} days up to `to` when left out, "
        f"{MOST_DAYS} at most.",
    ),
]
To = Annotated[
    date | None,
    BeforeValidator(_as_day),
    Query(alias="to", examples=["2026-03-08"], description="The last day, which counts, too."),
]


def span(first: date | None, last: date | None, *, usual_last: date) -> tuple[date, date]:
    """Return the days that a caller asks for, both of which count.

    Args:
        first: As the caller names it; None for `USUAL_DAYS` in all.
        last: As the caller names it; None for `usual_last`.
        usual_last: The last day where none is named.

    Raises:
        UsageError: They are in the wrong order, too far apart, or beyond the calendar.

    Example:
        >>> span(None, date(2026, 3, 8), usual_last=date(2026, 3, 9))
        (datetime.date(2026, 2, 7), datetime.date(2026, 3, 8))
    """
    last = usual_last if last is None else last
    if last < _FIRST or last > _LAST or (first is not None and first < _FIRST):
        raise UsageError(f"days lie between {_FIRST} and {_LAST}")
    first = last - timedelta(days=USUAL_DAYS - 1) if first is None else first
    if first > last:
        raise UsageError("from must not be later than to")
    if (last - first).days >= MOST_DAYS:
        raise UsageError(f"from and to may be {MOST_DAYS} days at most, both counted")
    return first, last


def examined_span(
    connection: Connection, first: date | None, last: date | None, *, now: datetime
) -> tuple[date, date]:
    """Return the days that a caller asks for; up to yesterday, or a later day that was examined.

    Raises:
        UsageError: As `span` does.
    """
    exam = validations.last_done(connection)
    yesterday = now.date() - timedelta(days=1)
    return span(first, last, usual_last=max(yesterday, exam.day) if exam else yesterday)
