"""What may become of an alert: the states, the deeds, and which deed leads where.

Pure; `core.store.alerts` does the writing. A resolved alert stays resolved: when its cause comes
back, a new alert says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from core.errors import ConflictError

State = Literal["open", "acknowledged", "snoozed", "resolved"]
Deed = Literal["acknowledge", "snooze", "wake", "resolve"]

STATES: Final[tuple[State, ...]] = ("open", "acknowledged", "snoozed", "resolved")
DEEDS: Final[tuple[Deed, ...]] = ("acknowledge", "snooze", "wake", "resolve")

TRANSITIONS: Final[Mapping[tuple[State, Deed], State]] = {
    ("open", "acknowledge"): "acknowledged",
    ("open", "snooze"): "snoozed",
    ("open", "resolve"): "resolved",
    ("acknowledged", "snooze"): "snoozed",
    ("acknowledged", "resolve"): "resolved",
    ("snoozed", "acknowledge"): "acknowledged",
    ("snoozed", "snooze"): "snoozed",
    ("snoozed", "wake"): "open",
    ("snoozed", "resolve"): "resolved",
}

_DONE: Final[Mapping[Deed, str]] = {
    "acknowledge": "acknowledged",
    "snooze": "snoozed",
    "wake": "woken",
    "resolve": "resolved",
}


def after(state: State, deed: Deed, *, alert: int) -> State:
    """Return the state that a deed leads to.

    Args:
        state: Where the alert stands.
        deed: What is to be done with it.
        alert: Its number, for the message.

    Raises:
        ConflictError: From there, the deed leads nowhere.
    """
    reached = TRANSITIONS.get((state, deed))
    if reached is None:
        possible = sorted({each for at, each in TRANSITIONS if at == state and each != "wake"})
        hint = f"possible now: {', '.join(possible)}" if possible else "that is final"
        raise ConflictError(f"alert {alert} is {state} and cannot be {_DONE[deed]}; {hint}")
    return reached
