"""What the dashboard's pages are drawn from, made by hand for tests of words and charts.

overview_of(reading("Dog"), reading("Elephant", standing="weak", flag=flag("Elephant")))
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from core.shown.happenings import Events
from core.shown.summary import Change, Numbers
from core.store.alerts import Alert
from core.store.class_days import ClassDay
from core.store.class_state import ClassState
from core.store.flags import Flag
from core.store.jobs import Job
from core.store.model_days import ModelDay
from core.store.registry import Move, Version
from core.store.standing import Standing
from core.store.validations import Validation
from dashboard.pages.health.facts import (
    Answers,
    ClassReading,
    OneClass,
    Overview,
)
from dashboard.parts.days import Range

LAST = date(2026, 3, 14)
NOW = datetime(2026, 3, 15, 6, tzinfo=UTC)
SPAN = Range(date(2026, 3, 8), LAST)
HOSTILE = '<img src=x onerror="window.hacked=1"><a href="https://evil.example">%{x}</a> & Co'


def moment(day: int, hour: int = 2) -> datetime:
    """Return a moment in March 2026."""
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def version(name: str = "v1", labels: Sequence[str] = ("Cow", "Dog", "Elephant")) -> Version:
    """Return a version whose reference is 90 right of 100, the others taken for a neighbour."""
    reference = {
        label: {"n": 100, "correct": 90, "confused": {labels[i - 1]: 10}}
        for i, label in enumerate(labels)
    }
    return Version(
        version=name,
        number=int(name[1:]),
        name="classifier",
        uri="/bundles",
        digest="0" * 64,
        labels=list(labels),
        parent=None,
        snapshot="0" * 64,
        snapshot_at=moment(1),
        metrics={},
        reference=reference,
        config={},
        code_version="0",
        created_at=moment(1),
    )


def class_day(label: str, day: int, correct: int = 9, n: int = 10, **changed: Any) -> ClassDay:
    """Return a class's day of March; what is not right was taken for Cow."""
    confused = {"Cow": n - correct} if n > correct else {}
    fields: dict[str, Any] = {"version": "v1", "low": 0.6, "high": 1.0, "confused": confused}
    return ClassDay(day=date(2026, 3, day), label=label, n=n, correct=correct, **(fields | changed))


def state(label: str, day: int = 14, **changed: Any) -> ClassState:
    """Return what is remembered of a class at the end of a day of March."""
    fields: dict[str, Any] = {
        "version": "v1",
        "reference": 0.9,
        "threshold": 1000.0,
        "evidence": 0.5,
        "log_m": [],
        "days": 5,
        "alarm": False,
        "recovery_evidence": 0.0,
        "recovery_log_m": [],
        "recovered": False,
        "days_without_labels": 0,
    }
    return ClassState(day=date(2026, 3, day), label=label, **(fields | changed))


def flag(label: str, since: int = 11, closed: int | None = None, number: int = 1) -> Flag:
    """Return a flag, raised on the day on which the class fell."""
    return Flag(
        id=number,
        kind="change",
        label=label,
        version="v1",
        since=date(2026, 3, since),
        raised_on=date(2026, 3, since),
        raised_at=moment(since + 1),
        closed_on=date(2026, 3, closed) if closed else None,
        closed_at=moment(closed + 1) if closed else None,
        evidence=5000.0,
        threshold=1000.0,
    )


def alert(of: Flag, confused_with: str | None = "Cow") -> Alert:
    """Return the alert of a flag."""
    return Alert(
        id=of.id,
        flag=of.id,
        label=of.label,
        version=of.version,
        since=of.since,
        at=of.raised_at,
        state="resolved" if of.closed_on else "open",
        title=f"{of.label} is weak",
        body="Mistaken for Cow (9).",
        confused_with=confused_with,
        images=[1, 2],
        resolved_at=of.closed_at,
        peak=of.evidence,
    )


def notice(number: int = 9, resolved: int | None = None, **changed: Any) -> Alert:
    """Return an alert that is about no class, raised on 13 March."""
    fields: dict[str, Any] = {
        "kind": "pooled",
        "cause": "all classes",
        "title": "v1 as a whole is worse since 2026-03-12: 700 of 900 right, reference 90.0 %",
        "body": "Since 2026-03-12, v1 was right on 700 of 900 images.\nNo class need be to blame.",
        "state": "resolved" if resolved else "open",
    }
    return Alert(
        id=number,
        flag=None,
        label=None,
        version=None,
        since=None,
        at=moment(13),
        confused_with=None,
        images=[],
        resolved_at=moment(resolved) if resolved else None,
        **(fields | changed),
    )


def job(label: str, status: Any = "refused", **changed: Any) -> Job:
    """Return a retraining for one class."""
    fields: dict[str, Any] = {
        "flag": None,
        "worker": None,
        "fence": 1,
        "attempts": 1,
        "lease_until": None,
        "started_at": moment(12, 3),
        "finished_at": moment(12, 4),
        "progress": {},
        "parent": None,
        "challenger": None,
        "result": None,
    }
    return Job(
        id=1,
        kind="retrain",
        labels=[label],
        reason=f"weak: {label}",
        requested_by="monitor",
        requested_at=moment(12),
        status=status,
        **(fields | changed),
    )


def reading(
    label: str,
    *,
    standing: Standing = "healthy",
    days: Sequence[ClassDay] | None = None,
    flag: Flag | None = None,
    **of_state: Any,
) -> ClassReading:
    """Return a class with a week of days, nine of ten right unless `days` are given."""
    week = [class_day(label, day) for day in range(8, 15)] if days is None else list(days)
    n, correct = sum(day.n for day in week), sum(day.correct for day in week)
    known = None if standing == "no labels" else state(label, **of_state)
    return ClassReading(label, standing, known, flag, week, n, correct, 0.8, 0.95, SPAN.first)


def happened(
    *,
    moves: Sequence[Move] = (),
    flags: Sequence[Flag] = (),
    jobs: Sequence[Job] = (),
    notices: Sequence[Alert] = (),
) -> Events:
    """Return what happened; every flag has its alert."""
    alerts = {each.id: alert(each) for each in flags}
    return Events(list(moves), list(flags), alerts, list(notices), list(jobs), [])


def exam(day: int = 14, **changed: Any) -> Validation:
    """Return a finished exam of v1."""
    fields: dict[str, Any] = {"version": "v1", "status": "done", "unreadable": 0}
    return Validation(
        id=1,
        day=date(2026, 3, day),
        per_class=10,
        late=False,
        drawn_at=moment(day, 23),
        finished_at=moment(day, 23),
        **(fields | changed),
    )


def whole(**changed: Any) -> ModelDay:
    """Return all classes together at the end of the last day."""
    fields: dict[str, Any] = {
        "n": 900,
        "correct": 810,
        "correlation": 0.0,
        "grouped": False,
        "reference": 0.9,
        "threshold": 500.0,
        "evidence": 0.4,
        "log_m": [],
        "alarm": False,
        "recovery_evidence": 0.0,
        "recovery_log_m": [],
        "recovered": False,
    }
    return ModelDay(day=LAST, version="v1", **(fields | changed))


def overview_of(*classes: ClassReading, **changed: Any) -> Overview:
    """Return the overview of these classes, which stand in the order of the arguments."""
    flags = [each.flag for each in classes if each.flag]
    rows = [row for each in classes for row in each.days if row.day == LAST]
    fields: dict[str, Any] = {
        "champion": version(),
        "exam": exam() if classes else None,
        "broken": None,
        "answers": Answers(
            n=sum(row.n for row in rows),
            correct=sum(row.correct for row in rows),
            unlabelled=sum(row.n == 0 for row in rows),
        ),
        "whole": whole() if classes else None,
        "numbers": Numbers(
            Change(len(flags), 0), Change(0.9, 0.92), Change(1234, 1000), Change(len(flags), 1)
        ),
        "events": happened(flags=flags, moves=[Move(1, "v1", moment(8), "test", "first")]),
    }
    return Overview(range=SPAN, now=NOW, classes=list(classes), **(fields | changed))


def one_class_of(of: ClassReading, **changed: Any) -> OneClass:
    """Return the page of one class of v1."""
    flags = [of.flag] if of.flag else []
    fields: dict[str, Any] = {
        "exam": exam(),
        "epochs": {"v1": of.days},
        "states": [state(of.label, day.day.day) for day in of.days],
        "versions": [version()],
        "wrong": [],
        "events": happened(flags=flags, moves=[Move(1, "v1", moment(8), "test", "first")]),
    }
    return OneClass(range=SPAN, now=NOW, reading=of, **(fields | changed))


def later(days: int) -> datetime:
    """Return the present moment of these tests, moved by days."""
    return NOW + timedelta(days=days)
