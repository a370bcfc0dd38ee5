"""What of the alerts is looked at, as its address says it.

`/alerts?state=open&class=Spider&before=120` is a page of the list, `?alert=12` one of them,
`?rules=5` the rules made from version 5, and `?rules=5&against=4` what differs between two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from core.store.alert_states import STATES, State
from dashboard.address import is_number, parsed

PATH = "/alerts"
CSV = "/alerts/alerts.csv"
DELIVERIES_CSV = "/alerts/messages.csv"
DEEDS_CSV = "/alerts/deeds.csv"
RULES_CSV = "/alerts/rules.csv"

_MOST_DIGITS = 18
_MOST_VERSION_DIGITS = 9


@dataclass(frozen=True, slots=True)
class AlertsView:
    """What of the alerts is looked at.

    Attributes:
        state: Only alerts in this state; None for all.
        label: Only alerts of this class; None for all.
        before: Only alerts with a smaller number; None for the newest.
        alert: The one alert that is looked at; None for the list.
        rules: The version of the rules that is looked at; None for none.
        against: The version that it is compared with; None for none.
    """

    state: State | None = None
    label: str | None = None
    before: int | None = None
    alert: int | None = None
    rules: int | None = None
    against: int | None = None

    def address(self, **changed: Any) -> str:
        """Return the address that shows this, with what is to differ from it."""
        wanted = replace(self, **changed)
        said = [f"state={wanted.state}"] if wanted.state else []
        if wanted.label is not None:
            said.append(f"class={quote(wanted.label, safe='')}")
        for name in ("before", "alert", "rules", "against"):
            number = getattr(wanted, name)
            if number is not None:
                said.append(f"{name}={number:d}")
        return PATH + ("?" + "&".join(said) if said else "")


def alerts_view(search: str | None) -> AlertsView:
    """Return what a query asks to see of the alerts; what makes no sense is left out."""
    asked = {name: each[-1] for name, each in parsed(search).items()}
    return AlertsView(
        state=next((each for each in STATES if each == asked.get("state")), None),
        label=asked.get("class") or None,
        before=_number(asked.get("before", ""), _MOST_DIGITS),
        alert=_number(asked.get("alert", ""), _MOST_DIGITS),
        rules=_number(asked.get("rules", ""), _MOST_VERSION_DIGITS),
        against=_number(asked.get("against", ""), _MOST_VERSION_DIGITS),
    )


def file_address(path: str, view: AlertsView) -> str:
    """Return where a table is had as a file, narrowed as the page is."""
    return path + view.address(before=None).removeprefix(PATH)


def alert_address(alert: int) -> str:
    """Return the address of one alert."""
    return AlertsView(alert=alert).address()


def _number(text: str, most_digits: int) -> int | None:
    return int(text) if is_number(text, most_digits) else None
