"""The drift page: does the traffic still look like the reference, and where does it not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import ClientsideFunction, Input, Output, State, html

from dashboard.page import Drawn, Page
from dashboard.pages.drift import facts as drift_facts
from dashboard.pages.drift import panels, routes, view, words
from dashboard.parts import components as parts
from dashboard.parts.guarding import guarded

if TYPE_CHECKING:
    import dash

    from dashboard.page import House, Look
    from dashboard.pages.drift.facts import Drift
    from dashboard.parts.components import Component


def draw(facts: Drift, *, days: int) -> Component:
    """Return the page; a panel that cannot be drawn says so, and the others stand.

    Args:
        facts: What it is drawn from.
        days: The range in days.
    """
    day = facts.chosen
    content = [
        parts.verdict(words.verdict(facts), days=facts.view.days),
        guarded("Verdicts by day", lambda: panels.matrix(facts, days)),
    ]
    if day is not None:
        content += [
            guarded("Checks", lambda: panels.checks(facts, day)),
            html.Div(
                [
                    guarded("Distribution", lambda: panels.distribution(facts, day)),
                    guarded("Mix of predicted labels", lambda: panels.mix(facts, day)),
                ],
                className="pair",
            ),
            guarded("Within predicted classes", lambda: panels.classes(facts, day)),
            guarded("Map of the embeddings", lambda: panels.embedding_map(facts, day)),
        ]
    return html.Div(content, className="stack")


def _draw(look: Look) -> Drawn:
    wanted = view.drift_view(look.search, days=look.named)
    facts = drift_facts.gather(look.connection, wanted, days=look.days, now=look.now)
    return Drawn("Drift", draw(facts, days=look.days))


def _connect(app: dash.Dash, _house: House) -> None:
    app.clientside_callback(
        ClientsideFunction("drift", "open"),
        Output("address", "href", allow_duplicate=True),
        Input("drift-matrix", "clickData"),
        State("drift-matrix", "figure"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("drift", "picture"),
        Output("nowhere", "dir"),
        Input("drift-map", "clickData"),
        prevent_initial_call=True,
    )


PAGE = Page(
    takes=view.PATH.__eq__,
    draw=_draw,
    name="Drift",
    path=view.PATH,
    connect=_connect,
    routes=routes.blueprint,
    charts=True,
)
