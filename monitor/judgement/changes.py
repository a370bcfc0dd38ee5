"""Decisions that would have been others, had all days come in order and with today's labels.

Days that arrive late and labels that are corrected change what the detectors say of days that were
judged already. What people were told of those stays as it is, and each difference is written into
the audit trail, before and after.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from core.store import audit, flags
from monitor.judgement import flagging

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.class_state import ClassState
    from core.store.drift import DriftCheck
    from core.store.flags import Flag
    from monitor.judgement.flagging import Decisions

Decision = Literal["alarm", "recovery", "flag", "since", "drift"]

ACTION = "replay changed a decision"


@dataclass(frozen=True, slots=True)
class Changed:
    """A decision that would have been another one.

    Attributes:
        day: The day examined.
        version: The version examined.
        label: The class; for drift the column, and the predicted class it was found in.
        decision: `alarm` and `recovery` are what the detectors said on that day; `flag` is what
            people were told, and `since` the day from which on; `drift` is the verdict on traffic.
        before: How it was decided at first, in words.
        after: How it is decided now.
        flag: The flag people know it by; None when there is none.
    """

    day: date
    version: str
    label: str
    decision: Decision
    before: str
    after: str
    flag: int | None = None

    def to_text(self) -> str:
        """Return the change as one line for people."""
        flag = f" (flag {self.flag})" if self.flag is not None else ""
        told = f"{self.decision} was {self.before}, is {self.after}"
        return f"{self.day} {self.version} {self.label}: {told}{flag}"


def between(
    connection: Connection,
    before: Iterable[ClassState],
    after: Iterable[ClassState],
    decisions: Decisions,
) -> list[Changed]:
    """Return which decisions differ; a day that was never judged before has none that could.

    Args:
        connection: Where the flags are.
        before: What the detectors had said of a version's days.
        after: What they say now.
        decisions: The flags that were opened and closed over it.
    """
    old = {(state.day, state.label): state for state in before}
    last = max((day for day, _ in old), default=date.min)
    changes: list[Changed] = []
    for state in after:
        was = old.get((state.day, state.label))
        if was is not None:
            changes += _said_otherwise(connection, was, state)
        if state.alarm and not (was and was.alarm):
            changes += _due_earlier(connection, state)
        if state.alarm:
            changes += _since_otherwise(connection, state)
    past = [flag for flag in decisions.opened if flag.raised_on < last or _was_judged(flag, old)]
    changes += [_of_flag(flag, "not opened", "opened now") for flag in past]
    corrected = {(each.day, each.label) for each in changes if each.decision != "flag"}
    gone = [flag for flag in decisions.closed if (flag.raised_on, flag.label) in corrected]
    changes += [_of_flag(flag, "open", "closed now, and told so") for flag in gone]
    return sorted(changes, key=in_order)


def in_order(changed: Changed) -> tuple[date, str, str, str]:
    """Return what changes are sorted by."""
    return changed.day, changed.version, changed.label, changed.decision


def of_drift(before: Sequence[DriftCheck], after: Sequence[DriftCheck]) -> list[Changed]:
    """Return in what a day's traffic drifts now and did not, or no longer does.

    A day that was never checked before has no verdict that could be another one.
    """
    if not before:
        return []
    old, new = ({(each.label, each.column): each for each in side} for side in (before, after))
    changes: list[Changed] = []
    for key in old.keys() | new.keys():
        check = new.get(key) or old[key]
        was, found = _of_traffic(old.get(key)), _of_traffic(new.get(key))
        if was != found:
            name = check.column if check.label is None else f"{check.column} of {check.label}"
            changes.append(Changed(check.day, check.version, name, "drift", was, found))
    return sorted(changes, key=in_order)


def _of_traffic(check: DriftCheck | None) -> str:
    return "drift" if check is not None and check.verdict == "drift" else "no drift"


def record(connection: Connection, changes: Sequence[Changed], *, now: datetime, by: str) -> None:
    """Write changed decisions into the audit trail."""
    for change in changes:
        audit.record(
            connection,
            now=now,
            by=by,
            action=ACTION,
            subject=change.label,
            detail=asdict(change) | {"day": change.day.isoformat()},
        )


def _said_otherwise(connection: Connection, was: ClassState, state: ClassState) -> list[Changed]:
    named = (state.day, state.version, state.label)
    changes: list[Changed] = []
    if was.alarm != state.alarm:
        said = ("raised", "not raised") if was.alarm else ("not raised", "raised")
        words = (
            f"{said[0]} (evidence {was.evidence:.4g} of {was.threshold:,.0f})",
            f"{said[1]} (evidence {state.evidence:.4g} of {state.threshold:,.0f})",
        )
        flag = _flag_around(connection, state)
        changes.append(Changed(*named, "alarm", *words, flag.id if flag else None))
    if was.recovered != state.recovered:
        shown = ("shown", "not shown") if was.recovered else ("not shown", "shown")
        changes.append(Changed(*named, "recovery", *shown))
    return changes


def _due_earlier(connection: Connection, state: ClassState) -> list[Changed]:
    """Return that a flag which people know for a later day was due on this one."""
    flag = _flag_around(connection, state)
    if flag is None or flag.raised_on <= state.day:
        return []
    words = (f"opened for {flag.raised_on}", f"due on {state.day}")
    return [Changed(state.day, state.version, state.label, "flag", *words, flag.id)]


def _since_otherwise(connection: Connection, state: ClassState) -> list[Changed]:
    """Return that a flag would name another first day now, unless that has been said already."""
    flag = _flag_around(connection, state)
    if flag is None or (flag.raised_on, flag.version) != (state.day, state.version):
        return []
    named = (state.version, state.label, state.day, state.reference)
    found = f"since {flagging.since(connection, *named)}"
    said = audit.find(connection, ACTION, {"flag": flag.id, "decision": "since"})
    before = said.detail["after"] if said else f"since {flag.since}"
    if found == before:
        return []
    return [Changed(state.day, state.version, state.label, "since", before, found, flag.id)]


def _flag_around(connection: Connection, state: ClassState) -> Flag | None:
    around = flags.overlapping(connection, state.day, date.max, state.label)
    return next((each for each in around if each.kind == flags.CHANGE), None)


def _was_judged(flag: Flag, old: dict[tuple[date, str], ClassState]) -> bool:
    return (flag.raised_on, flag.label) in old


def _of_flag(flag: Flag, before: str, after: str) -> Changed:
    return Changed(flag.raised_on, flag.version, flag.label, "flag", before, after, flag.id)
