"""How every class stands on a day: the detectors' memory and the flags, in one word.

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
from typing import TYPE_CHECKING, Final, Literal

from core.store import class_state, flags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

    from core.store.class_state import ClassState
    from core.store.flags import Flag

Standing = Literal["healthy", "weak", "recovering", "no labels", "uncertain"]
# The lower, the sooner somebody should look.
WORST_FIRST: Final[dict[Standing, int]] = {
    "weak": 0,
    "recovering": 1,
    "uncertain": 2,
    "healthy": 3,
    "no labels": 4,
}

# Evidence above this share of the threshold is too much to call a class healthy.
SUSPICION = 0.1
STALE_DAYS = 7


@dataclass(frozen=True, slots=True)
class ClassStanding:
    """How one class stands.

    Attributes:
        label: The class.
        standing: In one word.
        state: What the detectors remember; None when it was never examined.
        flag: Its open flag; None without one.
    """

    label: str
    standing: Standing
    state: ClassState | None
    flag: Flag | None


def standings(
    connection: Connection, version: str, labels: Sequence[str], day: date
) -> list[ClassStanding]:
    """Return how each class of a version stands at the end of `day`, in the order of `labels`."""
    states = {each.label: each for each in class_state.at(connection, version, day)}
    open_flags = {
        flag.label: flag
        for flag in flags.overlapping(connection, day, day)
        if flag.kind == flags.CHANGE and flag.closed_on != day
    }
    # What this version has alarmed on matters only to the flags of others, and is asked of a year.
    inherited = any(flag.version != version for flag in open_flags.values())
    alarmed = class_state.ever_alarmed(connection, version, day) if inherited else set[str]()
    return [
        ClassStanding(
            label,
            standing_of(
                states.get(label),
                open_flags.get(label),
                version=version,
                alarmed=label in alarmed,
            ),
            states.get(label),
            open_flags.get(label),
        )
        for label in labels
    ]


def standing_of(
    state: ClassState | None, flag: Flag | None, *, version: str, alarmed: bool
) -> Standing:
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
