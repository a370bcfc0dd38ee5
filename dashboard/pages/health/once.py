"""What is read once a judgement and kept, because an open page asks every few seconds.

How the classes stand, their days and their traces change when an exam ends or a day is judged, and
at no other moment (core.store.judged); to read them takes longer than all else on the overview.
With 2,500 classes what is kept is some tens of megabytes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from core.shown import weeks
from core.store import (
    class_days,
    class_history,
    class_state,
    health_days,
    registry,
    traces,
    validations,
)
from core.store import judged as judged_rows
from dashboard.pages.health import class_table, readings
from dashboard.pages.health.facts import ClassTable, Course
from dashboard.pages.health.readings import Judged
from dashboard.parts.keeping import Kept

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

    from core.shown.weeks import Week
    from core.store.class_days import ClassDay
    from core.store.class_history import ClassWeek, Traced
    from core.store.traces import Neighbour
    from core.store.validations import WrongImage
    from dashboard.parts.days import Range

TREND_DAYS = 30
# Of more days than this a cell would be too narrow to be seen, so seven of them are one.
LONGEST_BY_DAY = 92

_judged: Kept[Judged | None] = Kept(2)
_tables: Kept[ClassTable] = Kept(2)
_courses: Kept[Course] = Kept(6)
_rows: Kept[bytes] = Kept(2)
_weeks: Kept[list[Week]] = Kept(64)
_neighbours: Kept[dict[int, Neighbour]] = Kept(64)


def judged(connection: Connection) -> Judged | None:
    """Return what follows from the exams and their judgement; None before the first exam."""
    mark = judged_rows.mark(connection)

    def read() -> Judged | None:
        exam = validations.last_done(connection)
        return readings.read(connection, exam, mark) if exam else None

    return _judged.get(connection, mark, read)


def course(connection: Connection, known: Judged, labels: Sequence[str], span: Range) -> Course:
    """Return how some classes did in a range: by day, by week where it is long."""
    key = (known.mark, span, *labels)
    return _courses.get(connection, key, lambda: _course(connection, labels, span))


def weeks_of(
    connection: Connection, known: Judged, label: str, days: list[ClassDay], span: Range
) -> list[Week]:
    """Return the weeks of a class in a range, as core.shown.weeks counts them.

    Args:
        connection: Where to ask.
        known: What was judged.
        label: The class.
        days: Its days in the range.
        span: The range.
    """

    def read() -> list[Week]:
        return weeks.of_class(connection, label, days, span.first, span.last)

    return _weeks.get(connection, (known.mark, label, span), read)


def neighbours(
    connection: Connection, known: Judged, label: str, wrong: Sequence[WrongImage]
) -> dict[int, Neighbour]:
    """Return, for each mistaken image, the one answered right that looks most like it."""
    images = [(each.version, each.image) for each in wrong]
    return _neighbours.get(
        connection,
        (known.mark, label, *images),
        lambda: traces.nearest_right(connection, label, images),
    )


def table(connection: Connection) -> ClassTable:
    """Return what the table of all classes is made of; without classes before the first exam."""
    known = judged(connection)
    if known is None:
        return ClassTable("", [])

    def read() -> ClassTable:
        return ClassTable(
            mark=known.mark,
            classes=known.classes,
            trends=_trends(connection, known.exam.day),
            noticed=health_days.days_to_notice(connection, known.exam.day, known.exam.version),
        )

    return _tables.get(connection, known.mark, read)


def rows(connection: Connection) -> bytes:
    """Return the rows of the table of all classes as JSON: `{"mark": ..., "rows": [...]}`."""
    found = table(connection)

    def write() -> bytes:
        said = {"mark": found.mark, "rows": class_table.rows(found)}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()

    return _rows.get(connection, found.mark, write)


def _course(connection: Connection, labels: Sequence[str], span: Range) -> Course:
    begun = class_history.first_day(connection, span.first, span.last)
    if begun is not None and (span.last - begun).days >= LONGEST_BY_DAY:
        by_week: defaultdict[str, list[ClassWeek]] = defaultdict(list)
        for week in class_history.by_week(connection, labels, span.first, span.last):
            by_week[week.label].append(week)
        return Course({}, {}, by_week)
    found = class_days.matrix(connection, span.first, span.last, labels)
    silent = class_state.days_without_labels(connection, labels, span.first, span.last)
    days: defaultdict[str, list[ClassDay]] = defaultdict(list)
    without: defaultdict[str, dict[date, int]] = defaultdict(dict)
    for day in found:
        days[day.label].append(day)
        if (day.version, day.day, day.label) in silent:
            without[day.label][day.day] = silent[day.version, day.day, day.label]
    return Course(days, without, {})


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
