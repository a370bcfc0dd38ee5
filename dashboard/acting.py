"""One callback for every button: finds what it stands for, asks the door, does it, and says so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import dash
from dash import ALL, Input, Output, ctx, no_update

from core.errors import WeakspotError
from dashboard.door import caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboard.page import Action, House

_log = logging.getLogger(__name__)


def connect(app: dash.Dash, house: House, actions: Mapping[str, Action]) -> None:
    """Let the buttons of dashboard.parts.buttons do what the actions of that name do."""

    @app.callback(
        Output("said", "children"),
        Output("said", "className"),
        Output("acted", "data"),
        Input({"action": ALL, "about": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def press(_clicks: list[int | None]) -> Any:
        button, pressed = ctx.triggered_id, ctx.triggered[0]["value"]
        if not button or not pressed:  # A page that was drawn anew brings its buttons unpressed.
            return no_update, no_update, no_update
        good, said = act(house, actions, button["action"], button["about"])
        return said, "said said-good" if good else "said said-bad", house.clock.now().isoformat()


def act(house: House, actions: Mapping[str, Action], name: str, about: str) -> tuple[bool, str]:
    """Do what a button stands for; return whether it was done, and what to say of it."""
    who = caller.current()
    wanted = actions.get(name)
    if wanted is None:
        return False, f"there is no action {name!r}; load the page anew"
    try:
        who.require(wanted.scope)
        return True, wanted.do(house, who, about)
    except WeakspotError as error:
        _log.info("%s of %s by %s was refused: %s", name, about, who.name, error)
        return False, str(error)
    except Exception:
        _log.exception("%s of %s by %s failed", name, about, who.name)
        return False, "This is a fault of the dashboard, and nothing was done. Its log says more."
