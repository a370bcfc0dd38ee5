"""What happened, as one list: promotions, alerts, retrainings, runs that failed or never came."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, Literal

from core.shown.phrases import Mention, Phrase
from core.store import alerts, due, flags, jobs, open_alerts, registry, runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from core.store.alerts import Alert
    from core.store.flags import Flag
    from core.store.jobs import Job
    from core.store.registry import Move
    from core.store.runs import Run

Kind = Literal["deployment", "alert", "recovery", "retraining", "failure", "missed"]

# Of flags, notices, jobs and runs, so many are looked back at.
RECENT_ROWS: Final = 200

_LAST_HOUR = 23
_ENDINGS = {
    "queued": "waits for a worker",
    "running": "is running",
    "promoted": "passed the gate",
    "refused": "was refused by the gate",
    "more images": "needs more images to be judged",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Events:
    """What happened.

    Attributes:
        moves: Promotions and rollbacks.
        flags: Flags of classes.
        alerts: The alert of each flag, by its number.
        notices: Alerts that are about no class: the model as a whole, the bundle, the runtime, the
            monitor itself.
        jobs: Retrainings.
        failed: Runs that failed.
        missed: Days that nobody has examined, though they have been over for a day.
    """

    moves: list[Move]
    flags: list[Flag]
    alerts: dict[int, Alert]
    notices: list[Alert]
    jobs: list[Job]
    failed: list[Run]
    missed: list[date] = field(default_factory=list[date])

    @property
    def open_notices(self) -> list[Alert]:
        """Alerts about no class that are not resolved, the newest first."""
        return [each for each in self.notices if each.state != "resolved"]


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

    @property
    def labels(self) -> list[str]:
        """The classes that it names."""
        return [part.label for part in self.title if isinstance(part, Mention)]


def gathered(
    connection: Connection, flagged: Iterable[Flag] = (), label: str | None = None
) -> Events:
    """Return what happened lately, the newest first.

    Args:
        connection: Where to ask.
        flagged: Flags whose alerts belong to it, however old they are.
        label: The class whose flags and retrainings are wanted; None for all, and then the
            retrainings come without what the gate said of them.
    """
    raised = flags.latest(connection, limit=RECENT_ROWS, label=label)
    # A class may have been weak for longer than the latest flags reach back.
    told_of = {flag.id for flag in raised} | {flag.id for flag in flagged}
    told = alerts.of_flags(connection, sorted(told_of))
    return Events(
        moves=registry.history(connection),
        flags=raised,
        alerts={alert.flag: alert for alert in told if alert.flag is not None},
        notices=open_alerts.notices(connection, RECENT_ROWS),
        jobs=jobs.latest(connection, RECENT_ROWS, label=label, bare=label is None),
        failed=[
            run
            for run in runs.latest(connection, limit=RECENT_ROWS, kinds=(due.DAY,))
            if run.outcome == "failed"
        ],
    )


def missed(connection: Connection, first: date, last: date, now: datetime) -> list[date]:
    """Return the days from `first` to `last` that nobody has examined.

    At which hour the monitor comes is its own affair, so a day is missed once the next is over.
    """
    back = (now.date() - first).days
    days = due.missed_days(connection, now, hour_utc=_LAST_HOUR, catch_up_days=back)
    return [day for day in days if first <= day <= last]


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


def ending(job: Job) -> str:
    """Say what became of a retraining."""
    challenger = f" as {job.challenger}" if job.challenger and job.status == "promoted" else ""
    return _ENDINGS.get(job.status, job.status) + challenger


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
