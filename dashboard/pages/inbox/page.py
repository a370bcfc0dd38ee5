"""The label inbox: one picture, the likely classes under number keys, and the next picture.

What is drawn here never changes by itself; pictures, progress and what was labelled lately are
fetched by assets/inbox.js, so nothing that somebody types is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import html

from dashboard.page import Drawn, Page
from dashboard.pages.inbox import routes
from dashboard.pages.inbox.view import LATELY_CSV, PATH, inbox_view
from dashboard.parts import components as parts
from dashboard.parts import exports

if TYPE_CHECKING:
    from dashboard.page import Look
    from dashboard.pages.inbox.view import InboxView
    from dashboard.parts.components import Component

_TOLD = (
    "Half of what is asked is drawn at random from the traffic, and its labels count in the "
    "accuracy. The other half is chosen because its labels teach most, and is used for training "
    "alone: pictures that the model finds hard say nothing of how it does on the others. Confirmed "
    "or corrected labels of the pool count from the next exam on."
)


def draw(view: InboxView, *, may_label: bool) -> Component:
    """Return the page.

    Args:
        view: What of it is looked at.
        may_label: Whether the caller's key lets them.
    """
    title = [
        html.H1(
            ["Label inbox", *([": ", html.Bdi(view.label)] if view.label else [])], id="verdict"
        ),
        html.Span(className="grow"),
        html.Div(id="inbox-progress", className="inbox-progress", role="status"),
    ]
    if not may_label:
        asking = parts.empty(
            "Labelling needs a key with the scope label: weakspot keys create NAME --scopes "
            "read,label. What was labelled lately stands below."
        )
    else:
        asking = html.Div(id="inbox-asking", className="inbox-asking")
    return html.Div(
        [
            html.Div(title, className="inbox-head"),
            html.Div(
                asking,
                id="inbox",
                className="inbox",
                **parts.attributes(
                    {
                        "data-class": view.label or "",
                        "data-item": "" if view.item is None else str(view.item),
                        "data-may": "yes" if may_label else "",
                    }
                ),
            ),
            parts.panel(
                "Labelled lately",
                html.Div(id="inbox-lately"),
                hint="By whom and when. A correction is counted like a new label; days on which "
                "an image was examined are counted anew before the next exam.",
                side=exports.link(LATELY_CSV, "lately-csv", of="What was labelled"),
            ),
            html.P(_TOLD, className="hint"),
        ],
        className="stack",
    )


def _draw(look: Look) -> Drawn:
    view = inbox_view(look.search)
    return Drawn("Inbox", draw(view, may_label=look.caller.may("label")))


PAGE = Page(takes=PATH.__eq__, draw=_draw, name="Inbox", path=PATH, routes=routes.blueprint)
