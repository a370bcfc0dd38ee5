"""What is done about an alert at the press of a button: the same as `weakspot alerts` does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core import telling
from core.errors import UsageError
from core.store.database import transaction
from dashboard.address import is_number
from dashboard.page import Action
from dashboard.pages.alerts.one_alert import SNOOZES
from dashboard.parts.wording import moment_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.store.alert_states import Deed
    from dashboard.door.caller import Caller
    from dashboard.page import House

_MOST_DIGITS = 18


def _acknowledge(house: House, caller: Caller, about: str) -> str:
    return _move(house, caller, about, "acknowledge")


def _resolve(house: House, caller: Caller, about: str) -> str:
    return _move(house, caller, about, "resolve")


def _snooze(house: House, caller: Caller, about: str) -> str:
    alert, _, days = about.partition(" ")
    if days not in {str(each) for each in SNOOZES}:
        raise UsageError(f"an alert cannot sleep for {days!r} days here")
    return _move(house, caller, alert, "snooze", sleep=timedelta(days=int(days)))


def _move(
    house: House, caller: Caller, about: str, deed: Deed, sleep: timedelta | None = None
) -> str:
    if not is_number(about, _MOST_DIGITS):
        raise UsageError(f"{about!r} is no number of an alert")
    now = house.clock.now()
    with transaction(house.engine) as connection:
        moved = telling.move(
            connection,
            int(about),
            deed,
            by=caller.name,
            now=now,
            until=now + sleep if sleep else None,
        )
    until = moved.snoozed_until
    asleep = f" until {moment_text(until, today=now.date())}" if until else ""
    return f"Alert {moved.id} is {moved.state}{asleep}."


ACTIONS: Mapping[str, Action] = {
    "alerts.ack": Action("label", _acknowledge),
    "alerts.snooze": Action("label", _snooze),
    "alerts.resolve": Action("label", _resolve),
}
