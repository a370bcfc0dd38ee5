"""What happened, as one list: promotions, alerts, retrainings, runs that failed or never came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from dashboard.parts.saying import Mention, Phrase

if TYPE_CHECKING:
    from core.store.alerts import Alert
    from core.store.flags import Flag
    from core.store.jobs import Job
    from core.store.registry import Move
    from core.store.runs import Run
    from dashboard.pages.health.facts import Events

Kind = Literal["deployment", "alert", "recovery", "retraining", "failure", "missed"]

_ENDINGS = {
    "queued": "waits for a worker",
    "running": "is running",
    "promoted": "passed the gate",
    "refused": "was refused by the gate",
    "more images": "needs more images to be judged",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: What sort of thing.
        at: When it was done.
        day: The day on the charts it belongs to.
        title: What, in a few words.
        detail: More, in plain text; may be empty.
    """

    kind: Kind
    at: datetime
    day: date
    title: Phrase
    detail: str


def listed(happened: Events) -> list[Event]:
    """Return everything that happened, the newest first."""
    events = [_deployment(move) for move in happened.moves]
    for flag in happened.flags:
        events += _of_flag(flag, happened.alerts.get(flag.id))
    for notice in happened.notices:
        events += _of_notice(notice)
    events += [_retraining(job) for job in happened.jobs]
    events += [_failure(run) for run in happened.failed]
    events += [_missed(day) for day in happened.missed]
    # By the day it belongs to: days that are caught up late are told where they happened.
    return sorted(events, key=lambda event: (event.day, event.at), reverse=True)


def _deployment(move: Move) -> Event:
    return Event(
        "deployment", move.at, move.at.date(), [f"{move.version} became champion"], move.reason
    )


def _of_flag(flag: Flag, alert: Alert | None) -> list[Event]:
    detail = alert.title if alert else f"since {flag.since}"
    raised = Event(
        "alert", flag.raised_at, flag.raised_on, [Mention(flag.label), " became weak"], detail
    )
    if flag.closed_at is None or flag.closed_on is None:
        return [raised]
    closed = Event(
        "recovery", flag.closed_at, flag.closed_on, [Mention(flag.label), " has recovered"], ""
    )
    return [raised, closed]


def _of_notice(notice: Alert) -> list[Event]:
    """Return when an alert that is about no class was raised, and when it was over."""
    detail = notice.body.partition("\n")[0]
    raised = Event("alert", notice.at, notice.at.date(), [notice.title], detail)
    if notice.resolved_at is None:
        return [raised]
    over = notice.resolved_at
    return [raised, Event("recovery", over, over.date(), [f"Over: {notice.title}"], "")]


def _retraining(job: Job) -> Event:
    title: Phrase = ["Retraining for "]
    for i, label in enumerate(job.labels):
        title += [", " if i else "", Mention(label)]
    title.append(f" {ending(job)}")
    at = job.finished_at or job.started_at or job.requested_at
    return Event("retraining", at, at.date(), title, job.reason)


def _failure(run: Run) -> Event:
    reason = str(run.detail.get("detail") or run.detail.get("error") or "")
    title: Phrase = [f"The {run.kind} run of {run.slot} failed"]
    return Event("failure", run.started_at, run.started_at.date(), title, reason)


def _missed(day: date) -> Event:
    """Return that nobody examined a day, as of the end of the next, when that was certain."""
    certain = datetime.combine(day + timedelta(days=2), time(), UTC)
    return Event(
        "missed", certain, day, ["Not examined"], "no run of the monitor has done this day"
    )


def ending(job: Job) -> str:
    """Say what became of a retraining."""
    challenger = f" as {job.challenger}" if job.challenger and job.status == "promoted" else ""
    return _ENDINGS.get(job.status, job.status) + challenger
