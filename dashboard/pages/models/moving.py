"""The champion moved by a person: asked, with what the gate said in sight; then done.

Each question is a page of its own, which changes only when the champion does, so nothing that
somebody is typing is lost. What is done is what `weakspot model promote` and `rollback` do.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.bundle import files
from core.errors import BundleError, ConflictError, UsageError, WeakspotError
from core.store import jobs, promotions, registry
from core.store.database import transaction
from dashboard.door import caller as door
from dashboard.pages.models.one_version import crumbs, gate_panel
from dashboard.pages.models.view import PATH, compare_address, version_address
from dashboard.parts import components as parts
from dashboard.parts.saying import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    import dash

    from dashboard.door.caller import Caller
    from dashboard.page import House
    from dashboard.pages.models.facts import Moving
    from dashboard.parts.components import Component

_FAULT = "This is a fault of the dashboard, and nothing was done. Its log says more."

_log = logging.getLogger(__name__)


def draw_promotion(wanted: str, facts: Moving, caller: Caller) -> Component:
    """Return the page that asks before a version is promoted."""
    if facts.version is None:
        return parts.notice(f"There is no version {wanted}", "The list of versions has all.")
    if not caller.may("admin"):
        return _forbidden()
    return html.Div(
        [
            crumbs(f"Promote {wanted}"),
            parts.verdict(_asked(wanted, facts), days=None),
            None if wanted == facts.champion else _promotion(wanted, facts),
            gate_panel(facts.job, "What the gate said"),
        ],
        className="stack",
    )


def draw_withdrawal(wanted: str, facts: Moving, caller: Caller) -> Component:
    """Return the page that asks before the champion is rolled back."""
    if not caller.may("admin"):
        return _forbidden()
    if wanted != facts.champion:
        title = f"{wanted} is not the champion"
        text = f"{facts.champion or 'No version'} serves; only the champion is rolled back."
        return parts.notice(title, text)
    if facts.version is None:
        text = "No earlier champion is left that was not rolled back itself; promote a version."
        return parts.notice(f"There is nothing to roll {wanted} back to", text)
    back = facts.version.version
    said = Verdict(
        "watch",
        [f"Roll back from {wanted} to {back}?"],
        [
            f"Services load {back} within seconds. {wanted} stays registered, and can be promoted "
            "again; a second rollback goes further back."
        ],
    )
    body = [
        _reason("Why"),
        _press("Roll back", "model-rollback", back, wanted),
        _hidden(wanted, facts.champion),
    ]
    return html.Div(
        [
            crumbs(f"Roll back {wanted}"),
            parts.verdict(said, days=None),
            parts.panel("Roll back", body),
        ],
        className="stack",
    )


def _forbidden() -> Component:
    return parts.notice("This key may not move the champion", "It takes one with the scope admin.")


def _asked(wanted: str, facts: Moving) -> Verdict:
    instead = f" instead of {facts.champion}" if facts.champion else ""
    if wanted == facts.champion:
        return Verdict("good", [f"{wanted} serves already"], ["There is nothing to promote."])
    if facts.champion is None:
        text = "No version serves yet, so no gate has to pass it."
        return Verdict("watch", [f"Let {wanted} serve?"], [text])
    if facts.passed:
        text = f"The gate has passed it against {facts.champion}. Services load it within seconds."
        return Verdict("watch", [f"Let {wanted} serve{instead}?"], [text])
    return Verdict(
        "bad",
        [f"The gate has not passed {wanted} against {facts.champion}"],
        ["It can be promoted by force only: with a reason, which is kept, and its name typed."],
    )


def _promotion(wanted: str, facts: Moving) -> Component:
    force = not facts.passed
    typed = dmc.TextInput(
        id="model-typed",
        label=f"Type {wanted} to promote it without the gate",
        value="",
        className="model-field",
        autoComplete="off",
        style={} if force else {"display": "none"},
    )
    words = "Promote by force" if force else "Promote"
    side = None
    if facts.champion:
        side = dcc.Link(
            f"Compare with {facts.champion}",
            href=compare_address(facts.champion, wanted),
            className="button",
        )
    body = [
        _reason("Why (needed)" if force else "Why"),
        typed,
        _press(words, "model-promote", wanted, facts.champion),
        _hidden(wanted, facts.champion),
    ]
    return parts.panel(words, body, side=side)


def _reason(words: str) -> Component:
    return dmc.TextInput(
        id="model-reason",
        label=words,
        description="Kept with the move, and in the audit trail",
        value="",
        className="model-field",
    )


def _hidden(wanted: str, champion: str | None) -> Component:
    return dcc.Store(id="model-wanted", data=[wanted, champion])


def _press(words: str, name: str, to: str, back: str | None) -> Component:
    shown = "button button-danger" if "force" in words else "button button-main"
    named: Any = parts.attributes(
        {"type": "button", "data-confirm": f"{words}: {to} will serve. Go on?"}
    )
    leave = dcc.Link("Leave it", href=version_address(back) if back else PATH, className="button")
    return html.Div(
        [
            html.Div(
                [html.Button(words, id=name, className=shown, **named), leave], className="buttons"
            ),
            html.Div(id="model-said", role="status", className="model-said"),
        ]
    )


def connect(app: dash.Dash, house: House) -> None:
    """Register what the buttons of both questions do."""

    @app.callback(
        Output("model-said", "children"),
        Output("address", "search", allow_duplicate=True),
        Input("model-promote", "n_clicks"),
        State("model-wanted", "data"),
        State("model-reason", "value"),
        State("model-typed", "value"),
        prevent_initial_call=True,
    )
    def promote_it(pressed: int | None, wanted: Any, reason: Any, typed: Any) -> Any:
        if not pressed:
            return no_update, no_update
        return _done(lambda: promote(house, wanted, reason, typed))

    @app.callback(
        Output("model-said", "children", allow_duplicate=True),
        Output("address", "search", allow_duplicate=True),
        Input("model-rollback", "n_clicks"),
        State("model-wanted", "data"),
        State("model-reason", "value"),
        prevent_initial_call=True,
    )
    def roll_it_back(pressed: int | None, wanted: Any, reason: Any) -> Any:
        if not pressed:
            return no_update, no_update
        return _done(lambda: roll_back(house, wanted, reason))


def promote(house: House, wanted: Any, reason: Any, typed: Any) -> str:
    """Make a version the champion as somebody confirmed it, and return its name.

    Args:
        house: What all pages share.
        wanted: The version, and the champion that was shown beside it, or None.
        reason: Why.
        typed: What was typed to go without the gate.

    Raises:
        WeakspotError: The caller may not; the gate has not passed it, and its name was not typed
            or no reason was given; its bundle is altered; or another champion serves by now.
    """
    who = door.current()
    who.require("admin")
    version, over = _pair(wanted)
    with transaction(house.engine) as connection:
        bundle = Path(registry.get(connection, version).uri)
        passed = over is None or jobs.passed_gate(connection, version, over)
    if not passed and str(typed or "").strip() != version:
        raise UsageError(f"the gate has not passed {version}; type its name to go without")
    _check(bundle, version)
    with transaction(house.engine) as connection:
        promotions.promote(
            connection,
            version,
            now=house.clock.now(),
            by=who.name,
            reason=str(reason or ""),
            force=not passed,
            over=over,
        )
    return version


def roll_back(house: House, wanted: Any, reason: Any) -> str:
    """Make the champion's predecessor the champion again, and return its name.

    Raises:
        WeakspotError: The caller may not, another champion serves by now, or there is none to go
            back to.
    """
    who = door.current()
    who.require("admin")
    champion, _ = _pair(wanted)
    with transaction(house.engine) as connection:
        _, after = registry.roll_back(
            connection,
            now=house.clock.now(),
            by=who.name,
            reason=str(reason or "").strip() or "by hand",
            over=champion,
        )
    return after


def _check(bundle: Path, version: str) -> None:
    try:
        files.verify(bundle)
    except BundleError as error:
        raise ConflictError(
            f"the bundle of {version} is incomplete or altered; see: weakspot model verify"
        ) from error


def _pair(wanted: Any) -> tuple[str, str | None]:
    if not (isinstance(wanted, list) and len(wanted) == 2 and isinstance(wanted[0], str)):
        raise UsageError("the page is out of date; load it anew")
    return wanted[0], wanted[1] if isinstance(wanted[1], str) else None


def _done(move: Callable[[], str]) -> Any:
    """Do it; return what is said, and where to go then."""
    try:
        serving = move()
    except WeakspotError as error:
        return html.P(str(error), className="refused"), no_update
    except Exception:
        _log.exception("the champion could not be moved")
        return html.P(_FAULT, className="refused"), no_update
    return no_update, version_address(serving).removeprefix(PATH)
