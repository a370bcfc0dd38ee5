"""How every class is, on one day: what `weakspot health --json` prints.

A class is in one of five states:

- `weak`: its flag is open, raised by the version examined, or by an earlier one and confirmed by
  an alarm of this one.
- `recovering`: its flag is open, but was raised against another version, and this one has given
  no alarm; the recovery test will decide.
- `no labels`: this version has never been examined on the class.
- `uncertain`: no flag, but nobody should vouch for it: the evidence has passed a tenth of the
  threshold, or there have been no fresh labels for a week.
- `healthy`: none of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from core.stats.proportions import jeffreys
from core.store import class_days, class_state, flags, registry, validations
from monitor import rules
from monitor.page import MonitorOptions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.class_days import ClassDay
    from core.store.class_state import ClassState
    from core.store.flags import Flag
    from core.store.registry import Version

ClassHealth = Literal["healthy", "weak", "recovering", "no labels", "uncertain"]

# Evidence above this share of the threshold is too much to call a class healthy.
SUSPICION = 0.1
STALE_DAYS = 7


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is known of one class on the day asked for."""

    state: ClassState | None
    counts: ClassDay | None
    flag: Flag | None
    alarmed: bool
    reference: float
    reference_images: int
    threshold: float


def health(
    connection: Connection, day: date | None = None, *, options: MonitorOptions | None = None
) -> dict[str, Any]:
    """Return how every class of the version examined on a day is.

    Args:
        connection: Where to ask.
        day: The day; None for the last one examined.
        options: Only for what a class that was never examined would be held to.

    Returns:
        `{"day", "version", "classes": [{"label", "state", "n", "correct", "accuracy", "low",
        "high", "reference", "evidence", "threshold", "days_without_labels", "note"}]}`. On a day
        without an exam n is 0, and the states are those of the last exam before it. Accuracy is
        None where n is 0. Without a champion, day and version are None and there are no classes.
    """
    last = validations.last_done(connection, day)
    if last is not None:
        version: Version | None = registry.get(connection, last.version)
    else:
        version = registry.champion(connection)
    shown = day or (last.day if last else None)
    if version is None:
        return {"day": shown.isoformat() if shown else None, "version": None, "classes": []}
    known = _gather(connection, version, shown, options or MonitorOptions())
    return {
        "day": shown.isoformat() if shown else None,
        "version": version.version,
        "classes": [_row(label, known[label], version.version) for label in version.labels],
    }


def state_of(
    state: ClassState | None, flag: Flag | None, *, version: str, alarmed: bool
) -> ClassHealth:
    """Return the state of a class, as the module's text defines it.

    Args:
        state: What the detectors remember of it; None when they know nothing.
        flag: Its flag that was open on the day; None without one.
        version: The version examined.
        alarmed: Whether this version has ever raised an alarm on it.
    """
    if flag is not None:
        return "weak" if flag.version == version or alarmed else "recovering"
    if state is None or state.days == 0:
        return "no labels"
    suspicious = state.evidence >= SUSPICION * state.threshold
    stale = state.days_without_labels >= STALE_DAYS
    return "uncertain" if suspicious or stale else "healthy"


def _gather(
    connection: Connection, version: Version, day: date | None, options: MonitorOptions
) -> dict[str, _Known]:
    held_to = rules.levels(version, budget=options.alarm_budget, floor=options.floor)
    until = day or date.max
    name = version.version
    states = {each.label: each for each in class_state.at(connection, name, until)}
    counts = {each.label: each for each in class_days.of_day(connection, until, name)}
    open_then = {
        flag.label: flag
        for flag in flags.overlapping(connection, until, until)
        if flag.kind == flags.CHANGE and flag.closed_on != until
    }
    alarmed = class_state.ever_alarmed(connection, name, until)
    return {
        label: _Known(
            state=states.get(label),
            counts=counts.get(label),
            flag=open_then.get(label),
            alarmed=label in alarmed,
            reference=float(held_to.reference[i]),
            reference_images=int(held_to.images[i]),
            threshold=held_to.threshold,
        )
        for i, label in enumerate(held_to.labels)
    }


def _row(label: str, known: _Known, version: str) -> dict[str, Any]:
    state, counts = known.state, known.counts
    n, correct = (counts.n, counts.correct) if counts else (0, 0)
    low, high = (float(end) for end in jeffreys(correct, n))
    return {
        "label": label,
        "state": state_of(state, known.flag, version=version, alarmed=known.alarmed),
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else None,
        "low": low,
        "high": high,
        "reference": state.reference if state else known.reference,
        "evidence": state.evidence if state else 0.0,
        "threshold": state.threshold if state else known.threshold,
        "days_without_labels": state.days_without_labels if state else 0,
        "note": _note(known),
    }


def _note(known: _Known) -> str:
    """Say in words what a reader of the numbers should know; empty when there is nothing."""
    notes: list[str] = []
    if known.reference_images < rules.CERTAIN_REFERENCE:
        notes.append(f"reference still uncertain (n = {known.reference_images})")
    state = known.state
    if state is not None and state.days_without_labels:
        days = state.days_without_labels
        notes.append(f"no fresh labels ({days} day{'s' if days > 1 else ''})")
    if known.flag is not None:
        notes.append(f"flagged since {known.flag.since}")
    elif state is not None and state.evidence >= SUSPICION * state.threshold:
        notes.append(f"evidence at {100 * state.evidence / state.threshold:.0f} % of the threshold")
    return "; ".join(notes)
