"""When a flag asks for a retraining.

One job at a time, for all classes that are due. A class is due when its flag has not been worked
on yet; when the last job for it was refused, needs more images or failed, and the cool-down is
over, so the loop goes on with whatever was labelled since; or when the promoted repair raises an
alarm of its own. Otherwise a promoted version is given time to show recovery.

No class is due whose labels look wrong, and none at all while the frozen set gets other answers
than before: a retraining would learn the one, and cure neither.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from core.store import alerts, flags, jobs, registry, sentinel_checks
from monitor.diagnosis.findings import refusal_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.flags import Flag
    from core.store.jobs import Job
    from monitor.page import MonitorOptions

REQUESTED_BY = "monitor"

logger = logging.getLogger(__name__)


def request(
    connection: Connection, *, alarmed: Collection[str], options: MonitorOptions, now: datetime
) -> Job | None:
    """Ask for one retraining of all flagged classes that are due; None when there is no need.

    Args:
        connection: Where flags and jobs are.
        alarmed: Classes on which the serving version raised an alarm on the day examined.
        options: Whether to ask at all, and the cool-down.
        now: The present moment.
    """
    if not options.retrain or jobs.in_flight(connection) is not None:
        return None
    open_flags = flags.open_flags(connection)
    refused = refusals(connection, open_flags)
    for reason in refused.values():
        logger.info("%s", reason)
    due = [
        flag
        for flag in open_flags
        if flag.label not in refused
        and is_due(
            flag,
            jobs.last_for_label(connection, flag.label),
            again=flag.label in alarmed,
            cool_down=timedelta(days=options.cool_down_days),
            now=now,
        )
    ]
    if not due:
        return None
    named = ", ".join(f"{flag.label} (since {flag.since})" for flag in due)
    return jobs.enqueue(
        connection,
        labels=[flag.label for flag in due],
        reason=f"weak: {named}",
        requested_by=REQUESTED_BY,
        now=now,
        flag=due[0].id,
    )


def refusals(connection: Connection, open_flags: Sequence[Flag]) -> dict[str, str]:
    """Return why no retraining is asked for, in words, of each class that it is refused to."""
    champion = registry.champion(connection)
    check = sentinel_checks.last(connection, champion.version) if champion else None
    unsound = check is not None and not check.is_sound
    known = alerts.causes(connection, [flag.id for flag in open_flags])
    reasons = {
        flag.label: refusal_of("runtime" if unsound else known.get(flag.id, ""), flag.label)
        for flag in open_flags
    }
    return {label: reason for label, reason in reasons.items() if reason is not None}


def is_due(
    flag: Flag, last: Job | None, *, again: bool, cool_down: timedelta, now: datetime
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
    if last.finished_at is None or now - last.finished_at < cool_down:
        return False
    if last.requested_at < flag.raised_at or last.status != "promoted":
        return True
    return again
