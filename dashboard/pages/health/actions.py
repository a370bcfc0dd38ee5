"""What can be done from a class's page: about its alert, and a retraining.

The same deeds as `weakspot alerts` and `weakspot retrain`, and written down in the audit alike.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core import telling
from core.errors import ConflictError, NotFoundError, UsageError
from core.store import alerts, images, jobs, registry
from core.store.database import transaction
from dashboard.address import is_number
from dashboard.page import Action
from dashboard.parts.wording import moment_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.store.alert_states import Deed
    from dashboard.door.caller import Caller
    from dashboard.page import House

SNOOZE = timedelta(days=7)

_MOST_DIGITS = 18
_DONE = {"acknowledge": "acknowledged", "snooze": "snoozed", "resolve": "resolved"}


def _on_alert(deed: Deed) -> Callable[[House, Caller, str], str]:
    def do(house: House, caller: Caller, about: str) -> str:
        if not is_number(about, _MOST_DIGITS):
            raise UsageError(f"{about!r} is no alert's number; load the page anew")
        now = house.clock.now()
        until = now + SNOOZE if deed == "snooze" else None
        with transaction(house.engine) as connection:
            moved = alerts.move(connection, int(about), deed, by=caller.name, now=now, until=until)
            if moved.state == "resolved":
                telling.tell(connection, [telling.News("resolved", moved)], now=now)
        woken = f" until {moment_text(until, today=now.date())}" if until else ""
        return f"Alert {about} is {_DONE[deed]}{woken}."

    return do


def _retrain(house: House, caller: Caller, about: str) -> str:
    now = house.clock.now()
    with transaction(house.engine) as connection:
        if about not in images.labels(connection):
            raise NotFoundError(f"the pool has no class {about!r}; see: weakspot data profile")
        if registry.champion(connection) is None:
            raise ConflictError("there is no champion to retrain yet; run: weakspot train")
        job = jobs.enqueue(
            connection,
            labels=[about],
            reason="asked for on the dashboard",
            requested_by=caller.name,
            now=now,
        )
    return f"Retraining {job.id} of {about} is {job.status}; a worker picks it up."


ACTIONS = {
    "health.ack": Action("label", _on_alert("acknowledge")),
    "health.snooze": Action("label", _on_alert("snooze")),
    "health.resolve": Action("label", _on_alert("resolve")),
    "health.retrain": Action("admin", _retrain),
}
