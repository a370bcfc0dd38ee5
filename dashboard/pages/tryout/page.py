"""The page on which a picture of one's own is tried out.

Dash draws the frame only; pictures and answers are the affair of assets/tryout.js, so that a page
that is drawn anew does not take them away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import html

from core.errors import BundleError
from core.store import registry
from dashboard.page import Drawn, Page
from dashboard.pages.tryout import routes, view
from dashboard.pages.tryout.desk import MAX_BYTES, require_bundle, require_runtime
from dashboard.parts import components as parts

if TYPE_CHECKING:
    from core.store.registry import Version
    from dashboard.door.caller import Caller
    from dashboard.page import Look
    from dashboard.parts.components import Component

_TITLE = "Try"


def draw(champion: Version | None, caller: Caller) -> Component:
    """Return the page: where a picture is put, or why none can be asked about."""
    if champion is None:
        text = "A picture can be tried out as soon as one is trained: weakspot train."
        return parts.notice("There is no model yet", text, sign="dots")
    why_not = _why_not(champion, caller)
    if why_not:
        head = parts.notice(f"{champion.version} cannot be asked on this server", why_not)
        return html.Div([_tabs(), head], className="stack")
    return html.Div([_tabs(), _head(champion, caller), _place(caller)], className="stack")


def _why_not(champion: Version, caller: Caller) -> str:
    if not caller.may("predict"):
        return (
            f"The key {caller.name} lacks the scope predict, which asking takes. "
            "In this browser the model can be asked without it."
        )
    try:
        require_bundle(champion)
        require_runtime()
    except BundleError as error:
        words = str(error)
        return words[0].upper() + words[1:] + "."
    return ""


def _tabs() -> Component:
    return html.Nav(
        [
            html.A(
                "On the server",
                href=view.PATH,
                className="range range-current",
                **parts.attributes({"aria-current": "page"}),
            ),
            html.A("In this browser", href=view.OFFLINE, className="range"),
        ],
        className="ranges try-tabs",
        **parts.attributes({"aria-label": "Where the model runs"}),
    )


def _head(champion: Version, caller: Caller) -> Component:
    notes = "What is asked here is answered by the champion's own bundle and not logged as a "
    notes += "prediction: no rollup, drift check or accuracy sees it."
    if not caller.may("label"):
        notes += " To teach it a picture, a key with the scope label is needed."
    return html.Section(
        [
            html.Span(parts.icon("eye"), className="verdict-sign"),
            html.Div(
                [
                    html.H1(f"Ask {champion.version} about a picture of your own", id="verdict"),
                    html.P(notes),
                ]
            ),
        ],
        className="verdict verdict-none",
    )


def _place(caller: Caller) -> Component:
    return html.Div(
        id="tryout",
        **parts.attributes(
            {
                "data-largest": str(MAX_BYTES),
                "data-may-label": "yes" if caller.may("label") else "no",
            }
        ),
    )


def _draw(look: Look) -> Drawn:
    return Drawn(_TITLE, draw(registry.champion(look.connection), look.caller))


PAGE = Page(
    takes=view.PATH.__eq__, draw=_draw, name=_TITLE, path=view.PATH, routes=routes.blueprint
)
