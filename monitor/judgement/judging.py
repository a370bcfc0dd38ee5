"""From counts to decisions: detectors, shadow, flags, alerts, and what is decided otherwise now.

The daily run and a replay both go this way, so a day is judged alike whenever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.store import class_state, model_days
from monitor.judgement import alerting, changes, flagging, shadow, standards, whole

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection

    from core.store.alerts import Alert, NewAlert
    from core.store.registry import Version
    from monitor.judgement.changes import Changed
    from monitor.judgement.flagging import Decisions
    from monitor.judgement.standards import Judged
    from monitor.page import MonitorOptions

Within = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was made of a version's counts.

    Attributes:
        judged: What the detectors say, and by which rules.
        decisions: The flags opened and closed.
        told: The new alerts; tell the log of them when they are committed.
        changed: Decisions on days judged before that would have been others.
    """

    judged: Judged
    decisions: Decisions
    told: list[NewAlert | Alert]
    changed: list[Changed]


def judge(  # noqa: PLR0913 - whose counts, by which rules, and who asks
    connection: Connection,
    version: Version,
    first: date,
    *,
    options: MonitorOptions,
    now: datetime,
    by: str,
    within: Within | None = None,
) -> Ruling:
    """Judge a version's days from `first` on, and follow the verdicts up.

    Args:
        connection: The transaction that judges.
        version: The version.
        first: The first day whose counts are new or may have changed.
        options: What holds where no alert rules were ever set.
        now: The present moment.
        by: Who asks, for the audit trail.
        within: Takes the time of a step; None takes none.
    """
    step = within or _untimed
    name = version.version
    class_state.lock(connection, name)
    before = class_state.from_day(connection, name, first)
    before_whole = model_days.from_day(connection, name, first)
    class_state.forget(connection, name, first)
    model_days.forget(connection, name, first)
    with step("rules"):
        judged = standards.judge(connection, version, first, options)
    with step("shadow"):
        shadow.replay(connection, name, first, judged.levels)
    with step("flags"):
        decisions = flagging.decide(
            connection, name, judged.verdicts, judged.first.levels, now=now, on_days=judged.levels
        )
    with step("alerts"):
        overall = whole.follow(connection, version, judged.verdicts, now=now)
        told: list[NewAlert | Alert] = [
            *alerting.follow(connection, decisions, judged, version=name, now=now, also=overall)
        ]
        told += [each.alert for each in overall if each.change == "opened"]
    changed: list[Changed] = []
    if before:
        after = class_state.from_day(connection, name, first)
        changed = changes.between(connection, before, after, decisions)
        changed += whole.changed(before_whole, model_days.from_day(connection, name, first))
        changes.record(connection, changed, now=now, by=by)
    return Ruling(judged, decisions, told, changed)


def _untimed(_step: str) -> AbstractContextManager[None]:
    return nullcontext()
