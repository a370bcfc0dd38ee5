"""From verdicts to flags: an alarm opens one, and only the recovery test closes it.

Between the two nothing moves, neither one good day nor ten more alarms; only a class that the
version examined does not know any more has its flag closed. Days replayed for late
labels are gone through in order, so a flag they would have opened is opened now, unless one that
was raised already covers it. Verdicts on a version that has been replaced since are history: they
are recorded as states, but open and close nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from core.judging.rules import change_day
from core.store import audit, class_days, class_state, flags, validations
from core.store.flags import Flag, NewFlag

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from core.judging.rules import Levels, Verdict


@dataclass(frozen=True, slots=True)
class Decisions:
    """The flags that were opened and closed."""

    opened: list[Flag] = field(default_factory=list[Flag])
    closed: list[Flag] = field(default_factory=list[Flag])


def decide(
    connection: Connection,
    version: str,
    verdicts: Sequence[Verdict],
    held_to: Levels,
    *,
    now: datetime,
    on_days: Mapping[date, Levels] | None = None,
) -> Decisions:
    """Open and close flags as the verdicts ask, the earliest day first.

    Args:
        connection: Where the flags are.
        version: The version the verdicts are about.
        verdicts: Of consecutive examined days, as `core.judging.rules.replay` gives them.
        held_to: What the classes are held to.
        now: The present moment.
        on_days: What they were held to on days on which it was something else.
    """
    decisions = Decisions()
    others = validations.last_day_of_others(connection, version)
    current = [verdict for verdict in verdicts if others is None or verdict.day >= others]
    for verdict in current:
        _close_recovered(connection, verdict, decisions, now)
        then = (on_days or {}).get(verdict.day, held_to)
        for label, evidence in verdict.alarms.items():
            if _is_covered(connection, label, verdict.day):
                continue
            reference = float(then.reference[then.labels.index(label)])
            flag = flags.open_flag(
                connection,
                NewFlag(
                    kind=flags.CHANGE,
                    label=label,
                    version=version,
                    since=since(connection, version, label, verdict.day, reference),
                    raised_on=verdict.day,
                    raised_at=now,
                    evidence=evidence,
                    threshold=then.threshold,
                ),
            )
            decisions.opened.extend([flag] if flag else [])
    if current:
        _close_unknown(connection, version, current, decisions, now=now, labels=held_to.labels)
        _withdraw_unfounded(connection, version, current, decisions, now)
    return decisions


def _close_recovered(
    connection: Connection, verdict: Verdict, decisions: Decisions, now: datetime
) -> None:
    for flag in flags.open_flags(connection):
        recovered = flag.label in verdict.recovered and flag.raised_on < verdict.day
        if recovered and flags.close(connection, flag, on=verdict.day, now=now):
            decisions.closed.append(flag)


def _close_unknown(
    connection: Connection,
    version: str,
    verdicts: Sequence[Verdict],
    decisions: Decisions,
    *,
    now: datetime,
    labels: Collection[str],
) -> None:
    """Close the flags of earlier versions whose classes this one does not know.

    Nobody will ever examine them again, so they could never show recovery.
    """
    known = set(labels)
    for flag in flags.open_flags(connection):
        if flag.version == version or flag.label in known:
            continue
        on = max(verdicts[0].day, flag.raised_on)
        if flags.close(connection, flag, on=on, now=now):
            decisions.closed.append(flag)
            reason = f"{version} does not know the class"
            _record_withdrawal(connection, flag, reason, now)


def _record_withdrawal(connection: Connection, flag: Flag, reason: str, now: datetime) -> None:
    audit.record(
        connection,
        now=now,
        by="monitor",
        action="withdraw flag",
        subject=flag.label,
        detail={"flag": flag.id, "reason": reason},
    )


def _is_covered(connection: Connection, label: str, day: date) -> bool:
    """Say whether a flag of this class is open, or was raised for this episode and has closed."""
    return bool(flags.overlapping(connection, day, date.max, label))


def since(connection: Connection, version: str, label: str, day: date, reference: float) -> date:
    """Return the day a class most likely sank, looking back to where its detector began.

    Args:
        connection: Where the counts are.
        version: The version examined.
        label: The class.
        day: The day of the alarm.
        reference: Accuracy the class was held to.
    """
    before = class_state.last_alarm(connection, version, label, day)
    first = before + timedelta(days=1) if before else date.min
    days = class_days.of_label(connection, version, label, first, day)
    return change_day(days, reference)


def _withdraw_unfounded(
    connection: Connection,
    version: str,
    verdicts: list[Verdict],
    decisions: Decisions,
    now: datetime,
) -> None:
    """Close flags whose alarm is gone: late or corrected labels explain it away.

    The recovery test of a flag begins with its alarm, so without one it would stay open for ever.
    """
    states = class_state.at(connection, version, verdicts[-1].day)
    waiting = {state.label for state in states if state.recovery_log_m}
    for flag in flags.open_flags(connection):
        ours = flag.version == version and flag.raised_on >= verdicts[0].day
        if not ours or flag.label in waiting:
            continue
        if flags.close(connection, flag, on=verdicts[-1].day, now=now):
            decisions.closed.append(flag)
            reason = "late labels explain the alarm away"
            _record_withdrawal(connection, flag, reason, now)
