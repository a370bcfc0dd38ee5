"""What the weekly report is drawn from: a week, the week before it, and what happened."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from core.clock import day_bounds
from core.shown import happenings
from core.stats.proportions import jeffreys
from core.store import (
    alerts,
    arrivals,
    class_days,
    registry,
    rollups,
    standing,
    validations,
)
from dashboard.parts.days import Range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from core.shown.happenings import Event
    from core.store.alerts import Alert
    from core.store.arrivals import Arrivals
    from core.store.class_days import ClassDay
    from core.store.standing import ClassStanding

DAYS = 7

_RECENT_ROWS = 500


@dataclass(frozen=True, slots=True)
class ClassWeek:
    """One class over the week.

    Attributes:
        stands: How it stood at the end of the week.
        alert: The alert of its open flag; None without one.
        days: Its examined days of this week and the week before, in order.
        n: Images judged this week.
        correct: How many of them were answered right.
        low: Lower end of the 95 % Jeffreys interval of `correct / n`.
        high: Upper end.
        before: Share answered right in the week before; None without labels.
    """

    stands: ClassStanding
    alert: Alert | None
    days: list[ClassDay]
    n: int
    correct: int
    low: float
    high: float
    before: float | None

    @property
    def label(self) -> str:
        """The class."""
        return self.stands.label

    @property
    def accuracy(self) -> float | None:
        """Share answered right this week; None without labels."""
        return self.correct / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one week.

    Attributes:
        n: Images judged.
        correct: How many of them were answered right.
        weak: Classes that were weak at its end; None where nothing had been examined.
        predictions: Predictions answered.
        labelled: Labelled images that came into the pool.
        alerts: Alerts raised.
    """

    n: int
    correct: int
    weak: int | None
    predictions: int
    labelled: int
    alerts: int


@dataclass(frozen=True, slots=True)
class Week:
    """What the report is drawn from.

    Attributes:
        range: Its days.
        made_at: When it was made.
        version: The version examined last; None before the first exam.
        classes: Every class of it, the worst first.
        now: Its numbers.
        before: Those of the week before.
        events: What happened, the newest first.
        labelled: What came into the pool, by class, the most first.
    """

    range: Range
    made_at: datetime
    version: str | None
    classes: list[ClassWeek]
    now: Numbers
    before: Numbers
    events: list[Event]
    labelled: list[Arrivals]

    @property
    def days(self) -> list[date]:
        """The days of this week and the week before."""
        first = self.range.first - timedelta(days=DAYS)
        return [first + timedelta(days=i) for i in range(2 * DAYS)]


def gather(connection: Connection, last: date, *, now: datetime) -> Week:
    """Return the week that ends with the day `last`."""
    span = Range(last - timedelta(days=DAYS - 1), last)
    earlier = Range(span.first - timedelta(days=DAYS), span.first - timedelta(days=1))
    exam = validations.last_done(connection, until=last)
    labels = registry.get(connection, exam.version).labels if exam else []
    rows = class_days.matrix(connection, earlier.first, last, labels)
    happened = happenings.gathered(connection)
    start, until = day_bounds(span.first)[0], day_bounds(last)[1]
    labelled = arrivals.between(connection, start, until)
    stands = standing.standings(connection, exam.version, labels, exam.day) if exam else []
    return Week(
        range=span,
        made_at=now,
        version=exam.version if exam else None,
        classes=_classes(stands, rows, span, happened.alerts),
        now=_numbers(connection, span, rows, labels),
        before=_numbers(connection, earlier, rows, labels),
        events=[event for event in happenings.listed(happened) if span.holds(event.day)],
        labelled=labelled,
    )


def _classes(
    stands: list[ClassStanding], rows: Iterable[ClassDay], span: Range, told: dict[int, Alert]
) -> list[ClassWeek]:
    by_label: defaultdict[str, list[ClassDay]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row)
    weeks = [[row for row in by_label[each.label] if span.holds(row.day)] for each in stands]
    n = [sum(row.n for row in week) for week in weeks]
    correct = [sum(row.correct for row in week) for week in weeks]
    low, high = jeffreys(correct, n)
    found = [
        ClassWeek(
            stands=each,
            alert=told.get(each.flag.id) if each.flag else None,
            days=by_label[each.label],
            n=n[i],
            correct=correct[i],
            low=float(low[i]),
            high=float(high[i]),
            before=_share(row for row in by_label[each.label] if row.day < span.first),
        )
        for i, each in enumerate(stands)
    ]
    return sorted(found, key=_badness)


def _share(rows: Iterable[ClassDay]) -> float | None:
    seen = list(rows)
    n = sum(row.n for row in seen)
    return sum(row.correct for row in seen) / n if n else None


def _badness(each: ClassWeek) -> tuple[int, float, str]:
    accuracy = 1.0 if each.accuracy is None else each.accuracy
    return standing.WORST_FIRST[each.stands.standing], accuracy, each.label


def _numbers(
    connection: Connection, span: Range, rows: Iterable[ClassDay], labels: list[str]
) -> Numbers:
    seen = [row for row in rows if span.holds(row.day)]
    exam = validations.last_done(connection, until=span.last)
    stands = standing.standings(connection, exam.version, labels, exam.day) if exam else None
    start, until = day_bounds(span.first)[0], day_bounds(span.last)[1]
    labelled = arrivals.between(connection, start, until)
    raised = alerts.latest(connection, limit=_RECENT_ROWS)
    return Numbers(
        n=sum(row.n for row in seen),
        correct=sum(row.correct for row in seen),
        weak=None if stands is None else sum(each.standing == "weak" for each in stands),
        predictions=sum(hour.n for hour in rollups.by_hour(connection, span.first, span.last)),
        labelled=sum(each.n for each in labelled),
        alerts=sum(start <= alert.at < until for alert in raised),
    )
