"""What happened, as one list: promotions, alerts, retrainings, runs that failed or never came."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from core.shown.phrases import Mention, Phrase
from core.store import (
    alert_lines,
    alerts,
    due,
    event_places,
    flags,
    job_rows,
    jobs,
    notices,
    registry,
    runs,
)
from core.store.event_places import Place, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

    from core.store.alerts import Alert
    from core.store.event_places import Asked, Kind
    from core.store.flags import Flag
    from core.store.jobs import Job
    from core.store.registry import Move
    from core.store.runs import Run

# Of flags, notices, jobs and runs, so many are looked back at.
RECENT_ROWS: Final = 200

_MOST_AT_ONCE = 1_000

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
        source: What tells of it.
        row: The number of that row; of a day that was missed, its own.
    """

    kind: Kind
    at: datetime
    day: date
    title: Phrase
    detail: str
    source: Source
    row: int

    @property
    def labels(self) -> list[str]:
        """The classes that it names."""
        return [part.label for part in self.title if isinstance(part, Mention)]

    @property
    def place(self) -> Place:
        """Where it stands: by the day it belongs to, as late days are told where they happened."""
        return Place(self.day, self.at, self.source, self.row)


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
        notices=notices.latest(connection, RECENT_ROWS),
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
        told = happened.alerts.get(flag.id)
        events += _of_flag(flag, told.title if told else None)
    for notice in happened.notices:
        events += _of_notice(notice)
    events += [_retraining(job) for job in happened.jobs]
    events += [_failure(run) for run in happened.failed]
    events += [_missed(day) for day in happened.missed]
    return sorted(events, key=lambda event: event.place, reverse=True)


def page(
    connection: Connection, asked: Asked, *, now: datetime, most: int, after: Place | None = None
) -> list[Event]:
    """Return what happened on some days, the newest first, however much that is.

    Args:
        connection: Where to ask.
        asked: What is wanted.
        now: The present moment.
        most: At most so many; about a thousand.
        after: Only what stands after this place; None for all.
    """
    places = event_places.page(connection, asked, most=most, after=after)
    days = [_missed(day) for day in _missed_of(connection, asked, now)]
    known = {(event.source, event.row): event for event in [*days, *_told(connection, places)]}
    places += [day.place for day in days if after is None or day.place < after]
    # A job that ended since its place was read is told as it is now, where it stood.
    return [
        replace(known[place.source, place.row], day=place.day, at=place.at)
        for place in sorted(places, reverse=True)[:most]
        if (place.source, place.row) in known
    ]


def every(connection: Connection, asked: Asked, *, now: datetime) -> Iterator[Event]:
    """Give all that happened on some days, the newest first."""
    after: Place | None = None
    while found := page(connection, asked, now=now, most=_MOST_AT_ONCE, after=after):
        yield from found
        after = found[-1].place


def _missed_of(connection: Connection, asked: Asked, now: datetime) -> list[date]:
    """Return the days not examined that are asked for; they are about no class."""
    last = min(asked.last, now.date() - timedelta(days=1))
    if asked.label is not None or asked.kind not in {None, "missed"} or last < asked.first:
        return []
    return missed(connection, asked.first, last, now)


def _told(connection: Connection, places: Iterable[Place]) -> Iterator[Event]:
    """Give the events of some rows, in no order; also their other moments."""
    rows: dict[Source, set[int]] = {source: set() for source in Source}
    for place in places:
        rows[place.source].add(place.row)
    if rows[Source.MOVE]:
        yield from map(_deployment, registry.history(connection))
    flagged = rows[Source.FLAG] | rows[Source.FLAG_CLOSED]
    titles = alert_lines.titles(connection, rows[Source.FLAG])
    for flag in flags.some(connection, flagged):
        yield from _of_flag(flag, titles.get(flag.id))
    for notice in alert_lines.notices(connection, rows[Source.NOTICE] | rows[Source.NOTICE_OVER]):
        yield from _of_notice(notice)
    yield from map(_retraining, job_rows.some(connection, rows[Source.JOB]))
    yield from map(_failure, runs.some(connection, rows[Source.RUN]))


def ending(job: Job) -> str:
    """Say what became of a retraining."""
    challenger = f" as {job.challenger}" if job.challenger and job.status == "promoted" else ""
    return _ENDINGS.get(job.status, job.status) + challenger


def _deployment(move: Move) -> Event:
    title: Phrase = [f"{move.version} became champion"]
    day = move.at.date()
    return Event("deployment", move.at, day, title, move.reason, Source.MOVE, move.id)


def _of_flag(flag: Flag, told: str | None) -> list[Event]:
    """Return when a flag was raised, and when it was closed.

    Args:
        flag: The flag.
        told: The title of its alert; None without one.
    """
    name, at = Mention(flag.label), flag.raised_at
    detail = told or f"since {flag.since}"
    title: Phrase = [name, " became weak"]
    raised = Event("alert", at, flag.raised_on, title, detail, Source.FLAG, flag.id)
    if flag.closed_at is None or flag.closed_on is None:
        return [raised]
    title = [name, " has recovered"]
    at = flag.closed_at
    return [raised, Event("recovery", at, flag.closed_on, title, "", Source.FLAG_CLOSED, flag.id)]


def _of_notice(notice: Alert) -> list[Event]:
    """Return when an alert that is about no class was raised, and when it was over."""
    detail, at = notice.body.partition("\n")[0], notice.at
    raised = Event("alert", at, at.date(), [notice.title], detail, Source.NOTICE, notice.id)
    if notice.resolved_at is None:
        return [raised]
    at, title = notice.resolved_at, f"Over: {notice.title}"
    return [raised, Event("recovery", at, at.date(), [title], "", Source.NOTICE_OVER, notice.id)]


def _retraining(job: Job) -> Event:
    title: Phrase = ["Retraining for "]
    for i, label in enumerate(job.labels):
        title += [", " if i else "", Mention(label)]
    title.append(f" {ending(job)}")
    at = job.finished_at or job.started_at or job.requested_at
    return Event("retraining", at, at.date(), title, job.reason, Source.JOB, job.id)


def _failure(run: Run) -> Event:
    reason = str(run.detail.get("detail") or run.detail.get("error") or "")
    title: Phrase = [f"The {run.kind} run of {run.slot} failed"]
    at = run.started_at
    return Event("failure", at, at.date(), title, reason, Source.RUN, run.id)


def _missed(day: date) -> Event:
    """Return that nobody examined a day, as of the end of the next, when that was certain."""
    certain = datetime.combine(day + timedelta(days=2), time(), UTC)
    detail = "no run of the monitor has done this day"
    return Event("missed", certain, day, ["Not examined"], detail, Source.MISSED, day.toordinal())
