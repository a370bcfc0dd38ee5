"""The model in five numbers, each with what it was a day or a week before.

What serves, how many classes are flagged, how many labelled images were answered right, how many
predictions were answered, and how many alerts are open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from core.store import class_history, flags, open_alerts, registry, rollups, validations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.registry import Move, Version

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Change:
    """A number, and what it was before; None where there is nothing to compare."""

    now: float
    before: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """The numbers that follow from exams and their judgement alone.

    Attributes:
        day: The day of the last exam.
        flagged: Classes whose flag is open at its end, and a week before.
        accuracy: Share of all labelled images answered right in the last seven days up to it, and
            in the seven before; None where none was judged.
    """

    day: date
    flagged: Change
    accuracy: Change | None


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers, each with what it was a day or a week before.

    Attributes:
        flagged: As `Judged` has them.
        accuracy: Likewise.
        predictions: On the day of the last exam, and on the day before.
        open_alerts: Alerts that are not resolved now, and a week ago.
    """

    flagged: Change
    accuracy: Change | None
    predictions: Change
    open_alerts: Change


@dataclass(frozen=True, slots=True)
class Reign:
    """The version that serves: since when, and which served before; None where none did."""

    version: str
    since: datetime
    before: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The model in numbers.

    Attributes:
        day: The day of the last exam; None before the first.
        classes: How many classes are watched.
        reign: What serves; None before the first promotion.
        numbers: The numbers.
    """

    day: date | None
    classes: int
    reign: Reign | None
    numbers: Numbers


def read(connection: Connection, *, now: datetime) -> Summary:
    """Return the model in numbers."""
    exam, champion = validations.last_done(connection), registry.champion(connection)
    examined = registry.get(connection, exam.version) if exam else champion
    return Summary(
        day=exam.day if exam else None,
        classes=len(examined.labels) if examined else 0,
        reign=reign(champion, registry.history(connection)),
        numbers=numbers(connection, judged(connection, exam.day) if exam else None, now=now),
    )


def judged(connection: Connection, day: date) -> Judged:
    """Return the numbers that follow from the exams up to `day`, that of the last one."""
    flagged = Change(_flagged(connection, day), _flagged(connection, day - _WEEK))
    return Judged(day, flagged, _accuracy(connection, day))


def numbers(connection: Connection, known: Judged | None, *, now: datetime) -> Numbers:
    """Return the numbers.

    Args:
        connection: Where to ask.
        known: Those that follow from exams; None before the first exam.
        now: The present moment.
    """
    alerts_open = Change(
        open_alerts.count(connection), open_alerts.count_at(connection, now - _WEEK)
    )
    if known is None:
        return Numbers(Change(0, None), None, Change(0, None), alerts_open)
    yesterday = known.day - _DAY
    answered = rollups.totals(connection, yesterday, known.day)
    predictions = Change(answered.get(known.day, 0), answered.get(yesterday))
    return Numbers(known.flagged, known.accuracy, predictions, alerts_open)


def reign(champion: Version | None, moves: Sequence[Move]) -> Reign | None:
    """Return since when the champion serves; None without one.

    Args:
        champion: The version that serves.
        moves: All moves of the champion, the oldest first.
    """
    if champion is None or not moves:
        return None
    return Reign(champion.version, moves[-1].at, moves[-2].version if len(moves) > 1 else None)


def _flagged(connection: Connection, day: date) -> int:
    """Return how many classes had their flag open at the end of a day."""
    found = flags.overlapping(connection, day, day)
    return sum(flag.kind == flags.CHANGE and flag.closed_on != day for flag in found)


def _accuracy(connection: Connection, last: date) -> Change | None:
    """Return the share of right answers in the last seven days, and in the seven before."""
    n, correct = class_history.total(connection, last - _WEEK + _DAY, last)
    if not n:
        return None
    n_before, before = class_history.total(connection, last - 2 * _WEEK + _DAY, last - _WEEK)
    return Change(correct / n, before / n_before if n_before else None)
