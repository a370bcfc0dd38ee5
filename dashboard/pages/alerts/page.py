"""The alerts' pages: the list, one alert, and the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.store import registry
from dashboard.page import Drawn, Page
from dashboard.pages.alerts import editor, facts, listing, one_alert, routes, trying, view
from dashboard.pages.alerts.handling import ACTIONS
from dashboard.parts import components as parts

if TYPE_CHECKING:
    from dashboard.page import Look


def _draw(look: Look) -> Drawn:
    wanted = view.alerts_view(look.search)
    if wanted.rules is not None:
        rules = facts.rules(look.connection, wanted, now=look.now)
        champion = registry.champion(look.connection)
        known = champion.labels if champion else []
        return Drawn("Alert rules", editor.draw(rules, look.caller, known))
    if wanted.alert is not None:
        found = facts.one(look.connection, wanted.alert, now=look.now)
        if found is None:
            text = "The list of alerts has all there are."
            gone = parts.notice(f"There is no alert {wanted.alert}", text)
            return Drawn("No such alert", gone)
        return Drawn(f"Alert {wanted.alert}", one_alert.draw(found, look.caller))
    return Drawn("Alerts", listing.draw(facts.page_of(look.connection, wanted, now=look.now)))


PAGE = Page(
    takes=view.PATH.__eq__,
    draw=_draw,
    name="Alerts",
    path=view.PATH,
    actions=ACTIONS,
    connect=trying.connect,
    routes=routes.blueprint,
)
