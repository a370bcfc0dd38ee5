"""Gathering what the pages are drawn from: a few questions to the store, none of them per class."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from core.shown import happenings, summary
from core.shown.happenings import Events
from core.store import (
    class_days,
    class_history,
    class_state,
    drift,
    registry,
    validations,
)
from dashboard.pages.health import once
from dashboard.pages.health.facts import Answers, OneClass, Overview
from dashboard.parts.days import Range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from core.store.drift import DriftCheck
    from core.store.flags import Flag
    from core.store.validations import Validation
    from dashboard.pages.health.facts import ClassReading
    from dashboard.pages.health.readings import Judged

MOST_WRONG_IMAGES = 24
MOST_SHOWN = 40

_FEWEST_DAYS = 7


def overview(connection: Connection, *, days: int, now: datetime) -> Overview:
    """Return what the overview of the last `days` days is drawn from."""
    known = once.judged(connection)
    exam, classes = (known.exam, known.classes) if known else (None, [])
    span = _span(exam, days, now)
    happened = happenings.gathered(connection, _flags(classes))
    latest = validations.latest(connection, limit=1)
    return Overview(
        range=_fitted(span, class_history.first_day(connection, *span.ends), happened, now),
        now=now,
        champion=registry.champion(connection),
        exam=exam,
        broken=latest[0] if latest and latest[0].status == "invalid" else None,
        answers=known.answers if known else Answers(0, 0, 0),
        classes=_with_days(connection, known, span) if known else [],
        whole=known.whole if known else None,
        numbers=summary.numbers(connection, known.numbers if known else None, now=now),
        events=replace(happened, missed=happenings.missed(connection, span.first, span.last, now)),
        mark=known.mark if known else "",
    )


def one_class(connection: Connection, label: str, *, days: int, now: datetime) -> OneClass | None:
    """Return what a class's page is drawn from; None when the version examined knows it not."""
    known = once.judged(connection)
    reading = known.of(label) if known else None
    if known is None or reading is None:
        return None
    exam = known.exam
    span = _span(exam, days, now)
    rows = class_days.matrix(connection, span.first, span.last, [label])
    happened = happenings.gathered(connection, _flags([reading]), label)
    span = _fitted(span, rows[0].day if rows else None, happened, now)
    examined = list(dict.fromkeys([exam.version, *(day.version for day in reversed(rows))]))
    wrong = validations.wrong_images(
        connection, label, span.first, span.last, limit=MOST_WRONG_IMAGES
    )
    return OneClass(
        range=span,
        now=now,
        reading=replace(reading, days=rows),
        exam=exam,
        epochs={
            version: class_days.of_label(connection, version, label, date.min, span.last)
            for version in examined
        },
        states=class_state.series(connection, label, span.first, span.last),
        versions=[registry.get(connection, version) for version in examined],
        wrong=wrong,
        events=_of_label(happened, label),
        weeks=once.weeks_of(connection, known, label, rows, span),
        neighbours=once.neighbours(connection, known, label, wrong),
        drift=_drift(connection, label, exam),
    )


def _drift(connection: Connection, label: str, exam: Validation) -> list[DriftCheck]:
    day = drift.last_day(connection)
    return drift.of_class(connection, day, exam.version, label) if day else []


def _span(exam: Validation | None, days: int, now: datetime) -> Range:
    """Return the last `days` days up to yesterday, or up to a later day that was examined."""
    yesterday = now.date() - timedelta(days=1)
    last = max(yesterday, exam.day) if exam else yesterday
    return Range(last - timedelta(days=days - 1), last)


def _fitted(span: Range, begun: date | None, happened: Events, now: datetime) -> Range:
    """Begin where there is something to see, and end today if something happened today.

    Args:
        span: The days asked for.
        begun: The first of them that was examined; None where none was.
        happened: What happened.
        now: The present moment.
    """
    seen = [move.at.date() for move in happened.moves] + ([begun] if begun else [])
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


def _with_days(connection: Connection, known: Judged, span: Range) -> list[ClassReading]:
    """Return all classes, those that are shown with their days, or with their weeks."""
    shown, others = known.classes[:MOST_SHOWN], known.classes[MOST_SHOWN:]
    course = once.course(connection, known, [each.label for each in shown], span)
    told = [
        replace(
            each,
            days=course.days.get(each.label, []),
            silent=course.silent.get(each.label, {}),
            weeks=course.weeks.get(each.label, []),
        )
        for each in shown
    ]
    return [*told, *others]


def _flags(classes: Iterable[ClassReading]) -> list[Flag]:
    return [each.flag for each in classes if each.flag]


def _of_label(happened: Events, label: str) -> Events:
    return Events(
        moves=happened.moves,
        flags=[flag for flag in happened.flags if flag.label == label],
        alerts=happened.alerts,
        notices=happened.notices,
        jobs=[job for job in happened.jobs if label in job.labels],
        failed=[],
    )
