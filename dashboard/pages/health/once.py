"""What is read once an exam and kept, because an open page asks every few seconds.

The traces of all classes and the days to notice change when a day is judged, and at no other
moment; to read them takes longer than all else on the overview. What is kept is a few hundred
kilobytes for each of the last few exams and ranges.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

from core.store import class_history, health_days, registry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.class_history import Traced
    from core.store.validations import Validation

TREND_DAYS = 30

_MOST_KEPT = 8


@dataclass(frozen=True, slots=True)
class OnceAnExam:
    """What is known of all classes since the last exam.

    Attributes:
        trends: By class, a character for each of the last `TREND_DAYS` days, as
            `core.store.class_history.share_of` reads it; `.` where no image was judged.
        noticed: By class, in how many days a drop of each size would be noticed.
    """

    trends: Mapping[str, str]
    noticed: Mapping[str, Mapping[str, float | None]]


_Key = tuple[str, int, "datetime | None"]
_kept: OrderedDict[_Key, OnceAnExam] = OrderedDict()
_lock = Lock()


def once_an_exam(connection: Connection, exam: Validation) -> OnceAnExam:
    """Return what is known since `exam`, or since a day was judged anew after it."""
    key = (str(connection.engine.url), exam.id, health_days.last_judged(connection))
    with _lock:
        if key in _kept:
            return _kept[key]
    found = OnceAnExam(
        _trends(connection, exam.day),
        health_days.days_to_notice(connection, exam.day, exam.version),
    )
    with _lock:
        _kept[key] = found
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return found


def _trends(connection: Connection, last: date) -> dict[str, str]:
    first = last - timedelta(days=TREND_DAYS - 1)
    days = class_history.traced(connection, first, last)
    names = {
        version: sorted(registry.get(connection, version).labels)
        for version in {each.version for each in days}
    }
    traces: dict[str, list[str]] = {}
    for each in days:
        if len(each.shares) == len(names[each.version]):
            _put(traces, each, names[each.version], (each.day - first).days)
    return {label: "".join(trace) for label, trace in traces.items()}


def _put(traces: dict[str, list[str]], day: Traced, labels: list[str], place: int) -> None:
    for label, share in zip(labels, day.shares, strict=True):
        traces.setdefault(label, ["."] * TREND_DAYS)[place] = share
