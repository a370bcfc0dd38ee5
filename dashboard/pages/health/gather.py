"""Gathering what the pages are drawn from: a few questions to the store, none of them per class."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from core.stats.proportions import jeffreys
from core.store import (
    alerts,
    class_days,
    class_history,
    class_state,
    drift,
    due,
    flags,
    jobs,
    model_days,
    open_alerts,
    registry,
    rollups,
    runs,
    standing,
    traces,
    validations,
)
from core.store.class_days import Tally
from dashboard.pages.health import quality
from dashboard.pages.health.facts import (
    Answers,
    Change,
    ClassReading,
    Events,
    Numbers,
    OneClass,
    Overview,
)
from dashboard.pages.health.once import once_an_exam
from dashboard.parts.days import Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from core.store.class_days import ClassDay
    from core.store.drift import DriftCheck
    from core.store.standing import ClassStanding, Standing
    from core.store.validations import Validation
    from dashboard.pages.health.quality import Week

RECENT_DAYS = 7
MOST_WRONG_IMAGES = 24
MOST_SHOWN = 40

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_LAST_HOUR = 23
_FEWEST_DAYS = 7
_RECENT_ROWS = 200
_ORDER: dict[Standing, int] = {
    "weak": 0,
    "recovering": 1,
    "uncertain": 2,
    "healthy": 3,
    "no labels": 4,
}


def overview(connection: Connection, *, days: int, now: datetime) -> Overview:
    """Return what the overview of the last `days` days is drawn from."""
    exam = validations.last_done(connection)
    span = _span(exam, days, now)
    classes = _readings(connection, exam)
    shown = [each.label for each in classes[:MOST_SHOWN]]
    rows = class_days.matrix(connection, span.first, span.last, shown)
    silent = class_state.days_without_labels(connection, shown, span.first, span.last)
    happened = events(connection, classes)
    latest = validations.latest(connection, limit=1)
    known = once_an_exam(connection, exam) if exam else None
    return Overview(
        range=_fitted(span, rows, happened, now),
        now=now,
        champion=registry.champion(connection),
        exam=exam,
        broken=latest[0] if latest and latest[0].status == "invalid" else None,
        answers=_answers(connection, exam, classes),
        classes=_with_days(classes, rows, silent),
        whole=model_days.at(connection, exam.version, exam.day) if exam else None,
        numbers=_numbers(connection, exam, now),
        events=replace(happened, missed=_missed(connection, span, now)),
        trends=known.trends if known else {},
        noticed=known.noticed if known else {},
    )


def one_class(connection: Connection, label: str, *, days: int, now: datetime) -> OneClass | None:
    """Return what a class's page is drawn from; None when the version examined knows it not."""
    exam = validations.last_done(connection)
    found = _readings(connection, exam, only=label)
    if exam is None or not found:
        return None
    span = _span(exam, days, now)
    rows = class_days.matrix(connection, span.first, span.last, [label])
    happened = events(connection, found, label)
    span = _fitted(span, rows, happened, now)
    examined = list(dict.fromkeys([exam.version, *(day.version for day in reversed(rows))]))
    wrong = validations.wrong_images(
        connection, label, span.first, span.last, limit=MOST_WRONG_IMAGES
    )
    return OneClass(
        range=span,
        now=now,
        reading=_with_days(found, rows, {})[0],
        exam=exam,
        epochs={
            version: class_days.of_label(connection, version, label, date.min, span.last)
            for version in examined
        },
        states=class_state.series(connection, label, span.first, span.last),
        versions=[registry.get(connection, version) for version in examined],
        wrong=wrong,
        events=_of_label(happened, label),
        weeks=_weeks(connection, label, rows, span),
        neighbours=traces.nearest_right(
            connection, label, [(each.version, each.image) for each in wrong]
        ),
        drift=_drift(connection, label, exam),
    )


def _weeks(connection: Connection, label: str, rows: list[ClassDay], span: Range) -> list[Week]:
    first = max(span.first, span.last - timedelta(days=quality.LONGEST_DAYS - 1))
    called = class_history.called(connection, label, first, span.last)
    return quality.weeks(rows, called, first, span.last)


def _drift(connection: Connection, label: str, exam: Validation) -> list[DriftCheck]:
    day = drift.last_day(connection)
    return drift.of_class(connection, day, exam.version, label) if day else []


def _span(exam: Validation | None, days: int, now: datetime) -> Range:
    """Return the last `days` days up to yesterday, or up to a later day that was examined."""
    yesterday = now.date() - timedelta(days=1)
    last = max(yesterday, exam.day) if exam else yesterday
    return Range(last - timedelta(days=days - 1), last)


def _fitted(span: Range, rows: Iterable[ClassDay], happened: Events, now: datetime) -> Range:
    """Begin where there is something to see, and end today if something happened today."""
    seen = [row.day for row in rows] + [move.at.date() for move in happened.moves]
    inside = [day for day in seen if span.holds(day)]
    latest_start = span.last - timedelta(days=_FEWEST_DAYS - 1)
    first = max(min([*inside, latest_start]), span.first)
    return Range(first, now.date() if _happened_on(happened, now.date()) else span.last)


def _happened_on(happened: Events, day: date) -> bool:
    moments = [move.at for move in happened.moves]
    moments += [job.finished_at or job.started_at or job.requested_at for job in happened.jobs]
    moments += [run.started_at for run in happened.failed]
    moments += [notice.resolved_at or notice.at for notice in happened.notices]
    return any(moment.date() == day for moment in moments)


def _readings(
    connection: Connection, exam: Validation | None, only: str | None = None
) -> list[ClassReading]:
    """Return the classes of the version examined last, the worst first, without their days."""
    if exam is None:
        return []
    labels = registry.get(connection, exam.version).labels
    if only is not None:
        labels = [only] if only in labels else []
    stands = standing.standings(connection, exam.version, labels, exam.day)
    since = {each.label: _since(each, exam) for each in stands}
    counted = class_days.tally(connection, exam.version, since, exam.day)
    tallies = [counted.get(label) or Tally(label, 0, 0, since[label]) for label in labels]
    low, high = jeffreys([each.correct for each in tallies], [each.n for each in tallies])
    readings = [
        ClassReading(
            label=each.label,
            standing=each.standing,
            state=each.state,
            flag=each.flag,
            days=[],
            n=tallies[i].n,
            correct=tallies[i].correct,
            low=float(low[i]),
            high=float(high[i]),
            since=tallies[i].first,
        )
        for i, each in enumerate(stands)
    ]
    return sorted(readings, key=_badness)


def _with_days(
    classes: list[ClassReading],
    rows: Iterable[ClassDay],
    silent: Mapping[tuple[str, date, str], int],
) -> list[ClassReading]:
    by_label: defaultdict[str, list[ClassDay]] = defaultdict(list)
    without: defaultdict[str, dict[date, int]] = defaultdict(dict)
    for row in rows:
        by_label[row.label].append(row)
        if (row.version, row.day, row.label) in silent:
            without[row.label][row.day] = silent[row.version, row.day, row.label]
    return [
        replace(each, days=by_label[each.label], silent=without[each.label]) for each in classes
    ]


def _answers(
    connection: Connection, exam: Validation | None, classes: list[ClassReading]
) -> Answers:
    if exam is None:
        return Answers(0, 0, 0)
    counted = class_days.tally(
        connection, exam.version, {each.label: exam.day for each in classes}, exam.day
    )
    return Answers(
        n=sum(each.n for each in counted.values()),
        correct=sum(each.correct for each in counted.values()),
        unlabelled=len(classes) - sum(each.n > 0 for each in counted.values()),
    )


def _since(stands: ClassStanding, exam: Validation) -> date:
    if stands.flag is not None and stands.flag.version == exam.version:
        return stands.flag.since
    return exam.day - timedelta(days=RECENT_DAYS - 1)


def _badness(reading: ClassReading) -> tuple[int, float, float, str]:
    accuracy = reading.correct / reading.n if reading.n else 1.0
    return (_ORDER[reading.standing], -reading.evidence_share, accuracy, reading.label)


def _numbers(connection: Connection, exam: Validation | None, now: datetime) -> Numbers:
    alerts_open = Change(
        open_alerts.count(connection), open_alerts.count_at(connection, now - _WEEK)
    )
    if exam is None:
        return Numbers(Change(0, None), None, Change(0, None), alerts_open)
    yesterday, week_ago = exam.day - timedelta(days=1), exam.day - _WEEK
    answered = rollups.totals(connection, yesterday, exam.day)
    return Numbers(
        Change(_flagged(connection, exam.day), _flagged(connection, week_ago)),
        _accuracy(connection, exam.day),
        Change(answered.get(exam.day, 0), answered.get(yesterday)),
        alerts_open,
    )


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


def _missed(connection: Connection, span: Range, now: datetime) -> list[date]:
    """Return the days of the range that nobody has examined.

    At which hour the monitor comes is its own affair, so a day is missed once the next is over.
    """
    back = (now.date() - span.first).days
    days = due.missed_days(connection, now, hour_utc=_LAST_HOUR, catch_up_days=back)
    return [day for day in days if span.holds(day)]


def events(
    connection: Connection, classes: Iterable[ClassReading] = (), label: str | None = None
) -> Events:
    """Return what happened lately, the newest first.

    Args:
        connection: Where to ask.
        classes: Those whose open flags belong to it, however old.
        label: The class whose flags are wanted; None for all.
    """
    raised = flags.latest(connection, limit=_RECENT_ROWS, label=label)
    # A class may have been weak for longer than the latest flags reach back.
    told_of = {flag.id for flag in raised} | {each.flag.id for each in classes if each.flag}
    told = alerts.of_flags(connection, sorted(told_of))
    return Events(
        moves=registry.history(connection),
        flags=raised,
        alerts={alert.flag: alert for alert in told if alert.flag is not None},
        notices=open_alerts.notices(connection, _RECENT_ROWS),
        jobs=jobs.latest(connection, limit=_RECENT_ROWS),
        failed=[
            run
            for run in runs.latest(connection, limit=_RECENT_ROWS, kinds=(due.DAY,))
            if run.outcome == "failed"
        ],
    )


def _of_label(happened: Events, label: str) -> Events:
    return Events(
        moves=happened.moves,
        flags=[flag for flag in happened.flags if flag.label == label],
        alerts=happened.alerts,
        notices=happened.notices,
        jobs=[job for job in happened.jobs if label in job.labels],
        failed=[],
    )
