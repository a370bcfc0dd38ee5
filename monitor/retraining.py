"""When a flag asks for a retraining, and what keeps storms away.

One retraining at a time, for all classes that are due, and so many within 24 hours at most. What a
class waits for depends on what became of the last job for it:

| the last job for it | the next one is due |
|---|---|
| there is none | at once |
| is queued or running | never |
| said how many new images are missing | when so many have been labelled |
| made a challenger that lacks gate images | when they are there, for another look at it |
| was refused or rolled back | after the cool-down, if more is labelled |
| failed, was cancelled, or is older than the flag | after the cool-down |
| was promoted | after the cool-down, if the new version raises an alarm of its own |

What a person asked for and ended with "more images" goes on likewise when they are there, on a
night on which no flag asks for anything; the table's other lines are not for it.

Where those gate images have not come by the end of the cool-down, another challenger is trained as
after a refusal. None opens a loop: the same images would make the same challenger again.

No class is due whose labels look wrong, and none at all while the frozen set gets other answers
than before: a retraining would learn the one, and cure neither. Where the pictures have changed,
only pictures of the new kind help, and the job itself asks for those (trainer.aiming.material).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from core.store import alerts, flags, images, jobs, probations, registry, sentinel_checks
from core.store.job_rows import LOOK_AGAIN
from monitor import grounds, lacking
from monitor.diagnosis.findings import refusal_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.flags import Flag
    from core.store.jobs import Job
    from core.store.registry import Version
    from monitor.page import MonitorOptions

REQUESTED_BY = "monitor"

_CAP_HOURS = 24

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Occasion:
    """The examined day that may ask for a retraining.

    Attributes:
        day: The day.
        version: The version examined on it.
        alarmed: Classes on which it raised an alarm on that day.
        now: The present moment.
    """

    day: date
    version: Version
    alarmed: Collection[str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Last:
    """The last job for a class, and what has come since.

    Attributes:
        job: The job.
        ended_at: When it ended, or when the version it made was rolled back; None in flight.
        is_serving: Whether it was promoted, and not rolled back.
        missing: New training images it wanted before it would train, and that are still missing;
            None where it wanted none.
        labelled: Images of the class that came into the pool since the job ended.
        look: Whether the gate images that its challenger's exam lacks are there; None where no
            challenger waits for another look.
    """

    job: Job
    ended_at: datetime | None
    is_serving: bool
    missing: int | None
    labelled: int
    look: bool | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """An open flag, and the last job for its class."""

    flag: Flag
    last: Last | None


@dataclass(frozen=True, slots=True)
class Ready:
    """A person's retraining that ended with "more images", and they are there.

    Attributes:
        job: The retraining.
        labels: The classes to go on with.
        look: Whether its challenger is to be looked at again; else one is to be trained.
    """

    job: Job
    labels: list[str]
    look: bool


def request(connection: Connection, occasion: Occasion, *, options: MonitorOptions) -> Job | None:
    """Ask for one retraining of all flagged classes that are due, or of what waits by hand.

    None when there is no need.

    Args:
        connection: Where flags and jobs are.
        occasion: The day that may ask.
        options: Whether to ask at all, the cool-down and the cap.
    """
    if not options.retrain or jobs.in_flight(connection) is not None:
        return None
    due = due_flags(connection, occasion, cool_down=timedelta(days=options.cool_down_days))
    others = [] if due else ready_by_hand(connection, occasion.now)
    if not due and not others:
        return None
    recent = asked_recently(connection, occasion.now)
    if recent >= options.retrainings_a_day:
        logger.info(
            "%s: no retraining, %d were asked for within %d hours (limit %d)",
            ", ".join([each.flag.label for each in due] or others[0].labels),
            recent,
            _CAP_HOURS,
            options.retrainings_a_day,
        )
        return None
    return _enqueue(connection, due, occasion) if due else _go_on(connection, others[0], occasion)


def _enqueue(connection: Connection, due: Sequence[Due], occasion: Occasion) -> Job:
    """Ask for another look at a challenger that waits for one, else for a new one."""
    looks = [each.last.job for each in due if each.last and each.last.look]
    again = looks[0] if looks else None
    aimed = [
        each.flag
        for each in due
        if again is None or (each.last is not None and each.last.job.id == again.id)
    ]
    found = grounds.gather(connection, aimed, examined=occasion.version, until=occasion.day)
    payload: dict[str, Any] = {grounds.KEY: [each.to_dict() for each in found]}
    return jobs.enqueue(
        connection,
        labels=again.labels if again else [flag.label for flag in aimed],
        reason=f"weak: {', '.join(each.to_text() for each in found)}",
        requested_by=REQUESTED_BY,
        now=occasion.now,
        flag=aimed[0].id,
        payload=payload | ({LOOK_AGAIN: again.id} if again else {}),
    )


def _go_on(connection: Connection, ready: Ready, occasion: Occasion) -> Job:
    """Ask for what a person's retraining waited for the images of."""
    return jobs.enqueue(
        connection,
        labels=ready.labels,
        reason=f"the images that retraining {ready.job.id} waited for are there",
        requested_by=REQUESTED_BY,
        now=occasion.now,
        payload={LOOK_AGAIN: ready.job.id} if ready.look else {},
    )


def ready_by_hand(connection: Connection, now: datetime) -> list[Ready]:
    """Return what people asked for and whose images are there, the oldest first.

    Nothing while the frozen set gets other answers than before, as with flags.
    """
    ready: list[Ready] = []
    for job in [] if _is_unsound(connection) else lacking.by_hand(connection):
        gate = lacking.gate_images(connection, job, now)
        to_learn = lacking.training_images(connection, job, now)
        if gate is not None and not any(gate.values()):
            ready.append(Ready(job, job.labels, look=True))
        elif to_learn and not any(to_learn.values()):
            ready.append(Ready(job, list(to_learn), look=False))
    return ready


def due_flags(connection: Connection, occasion: Occasion, *, cool_down: timedelta) -> list[Due]:
    """Return the open flags that ask for a retraining now, each with the last job for it."""
    open_flags = flags.open_flags(connection)
    refused = refusals(connection, open_flags)
    for reason in refused.values():
        logger.info("%s", reason)
    asked = [
        Due(flag, last_for(connection, flag.label, occasion.now))
        for flag in open_flags
        if flag.label not in refused
    ]
    return [
        each
        for each in asked
        if is_due(
            each.flag,
            each.last,
            again=each.flag.label in occasion.alarmed,
            cool_down=cool_down,
            now=occasion.now,
        )
    ]


def asked_recently(connection: Connection, now: datetime) -> int:
    """Return how many retrainings flags have asked for within the last 24 hours."""
    since = now - timedelta(hours=_CAP_HOURS)
    latest = jobs.latest(connection)
    return sum(job.requested_by == REQUESTED_BY and job.requested_at > since for job in latest)


def refusals(connection: Connection, open_flags: Sequence[Flag]) -> dict[str, str]:
    """Return why no retraining is asked for, in words, of each class that it is refused to."""
    unsound = _is_unsound(connection)
    known = alerts.causes(connection, [flag.id for flag in open_flags])
    reasons = {
        flag.label: refusal_of("runtime" if unsound else known.get(flag.id, ""), flag.label)
        for flag in open_flags
    }
    return {label: reason for label, reason in reasons.items() if reason is not None}


def _is_unsound(connection: Connection) -> bool:
    """Say whether the frozen set gets other answers from the champion than before."""
    champion = registry.champion(connection)
    check = sentinel_checks.last(connection, champion.version) if champion else None
    return check is not None and not check.is_sound


def last_for(connection: Connection, label: str, now: datetime) -> Last | None:
    """Return the last job for a class with what has come since; None when there was none."""
    job = jobs.last_for_label(connection, label)
    if job is None:
        return None
    back = probations.rolled_back(connection, job.challenger) if job.challenger else None
    ended_at = back.ended_at if back else job.finished_at
    gate = lacking.gate_images(connection, job, now)
    return Last(
        job=job,
        ended_at=ended_at,
        is_serving=job.status == "promoted" and back is None,
        missing=lacking.training_images(connection, job, now).get(label),
        labelled=_added(connection, label, ended_at or now, now),
        look=None if gate is None else not any(gate.values()),
    )


def is_due(
    flag: Flag, last: Last | None, *, again: bool, cool_down: timedelta, now: datetime
) -> bool:
    """Say whether an open flag asks for a retraining now.

    Args:
        flag: The flag.
        last: The last job for its class; None when there was none.
        again: Whether the serving version has just raised an alarm on the class.
        cool_down: How long a finished job keeps the next one away.
        now: The present moment.
    """
    if last is None:
        return True
    if last.ended_at is None:
        return False
    if last.missing is not None:
        return last.missing == 0
    if last.look:
        return True
    rested = now - last.ended_at >= cool_down
    is_older = last.job.requested_at < flag.raised_at
    if last.is_serving and not is_older:
        return rested and again
    told_nothing = is_older or last.job.status in {"failed", "cancelled"}
    # The same images would make the same challenger again.
    return rested and (told_nothing or last.labelled > 0)


def _added(connection: Connection, label: str, after: datetime, by: datetime) -> int:
    """Return how many trusted images of a class came into the pool in a stretch of time."""
    found = images.samples(connection, labels=[label], added_after=after, added_by=by, trusted=True)
    return len(found)
