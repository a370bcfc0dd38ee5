"""How every class is, on one day: what `weakspot health --json` prints.

What each state means is defined in core.store.standing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from core.stats.proportions import jeffreys
from core.store import class_days, registry, standing, validations
from monitor import outlook, rules, shadow, standards
from monitor.page import MonitorOptions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.class_days import ClassDay
    from core.store.registry import Version
    from core.store.standing import ClassStanding
    from monitor.rules import Levels


# A version that was never examined has no counts up to any day.
_NEVER = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is known of one class on the day asked for."""

    stands: ClassStanding
    counts: ClassDay | None
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
        "high", "reference", "evidence", "threshold", "days_without_labels", "note",
        "labels_a_day", "days_to_notice", "labels_a_day_for_15_points_in_3_days"}], "weak_list",
        "pooled"}`, the last five as monitor.outlook has them. On a day
        without an exam n is 0, and the states are those of the last exam before it. Accuracy is
        None where n is 0. `self_check` is how often simulated healthy classes raised an alarm, as
        monitor.shadow.SelfCheck names it. Without a champion, day and version are None and there
        are no classes.
    """
    last = validations.last_done(connection, day)
    if last is not None:
        version: Version | None = registry.get(connection, last.version)
    else:
        version = registry.champion(connection)
    shown = day or (last.day if last else None)
    if version is None:
        nobody = {"day": shown.isoformat() if shown else None, "version": None, "classes": []}
        nobody |= {"weak_list": [], "pooled": None}
        return nobody | {"self_check": _self_check(connection, date.max)}
    on = standards.rules_on(connection, shown, options or MonitorOptions())
    held_to = standards.standard(version, on).levels
    known = _gather(connection, version, shown, held_to)
    ahead = outlook.outlook(connection, version, held_to, shown or _NEVER, floor=on.floor)
    return {
        "day": shown.isoformat() if shown else None,
        "version": version.version,
        "classes": [
            _row(label, known[label]) | ahead.of_class(i) for i, label in enumerate(held_to.labels)
        ],
        "weak_list": list(ahead.weak),
        "pooled": asdict(ahead.pooled) if ahead.pooled else None,
        "self_check": _self_check(connection, shown or date.max),
    }


def _self_check(connection: Connection, until: date) -> dict[str, Any]:
    found = asdict(shadow.self_check(connection, until))
    return found | {"since": found["since"].isoformat() if found["since"] else None}


def _gather(
    connection: Connection, version: Version, day: date | None, held_to: Levels
) -> dict[str, _Known]:
    until = day or date.max
    name = version.version
    stands = standing.standings(connection, name, held_to.labels, until)
    counts = {each.label: each for each in class_days.of_day(connection, until, name)}
    return {
        label: _Known(
            stands=stands[i],
            counts=counts.get(label),
            reference=float(held_to.reference[i]),
            reference_images=int(held_to.images[i]),
            threshold=held_to.threshold,
        )
        for i, label in enumerate(held_to.labels)
    }


def _row(label: str, known: _Known) -> dict[str, Any]:
    state, counts = known.stands.state, known.counts
    n, correct = (counts.n, counts.correct) if counts else (0, 0)
    low, high = (float(end) for end in jeffreys(correct, n))
    return {
        "label": label,
        "state": known.stands.standing,
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
    state, flag = known.stands.state, known.stands.flag
    if state is not None and state.days_without_labels:
        days = state.days_without_labels
        notes.append(f"no fresh labels ({days} day{'s' if days > 1 else ''})")
    if flag is not None:
        notes.append(f"flagged since {flag.since}")
    elif state is not None and state.evidence >= standing.SUSPICION * state.threshold:
        notes.append(f"evidence at {100 * state.evidence / state.threshold:.0f} % of the threshold")
    return "; ".join(notes)
