"""A field that leads from what is shown to another of its kind: one for every page.

Each choice is an address of our own. Dash tells of a field's value anew whenever a page was drawn,
so the field carries what it showed when it was drawn: only another value leads anywhere. Else
whoever goes back just then would be sent forward again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash
import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Input, Output, State, html

from dashboard.parts.components import attributes

if TYPE_CHECKING:
    from collections.abc import Sequence


def picker(
    name: str,
    choices: Sequence[tuple[str, str]],
    *,
    shown: str | None,
    words: str,
    nothing: str = "",
    label: str = "",
) -> Any:
    """Return the field.

    Args:
        name: Its id on the page.
        choices: What can be chosen: the name of each, and the address that shows it.
        shown: The address that is shown now; None where none of them is.
        words: What is chosen, for those who do not see the field, and while it is empty.
        nothing: What it says when no name is like what was typed.
        label: What stands above it; empty for nothing.
    """
    return html.Div(
        dmc.Select(
            id={"picker": name},
            data=[{"value": address, "label": text} for text, address in choices],
            value=shown,
            label=label or None,
            placeholder=words,
            nothingFoundMessage=nothing or None,
            allowDeselect=False,
            searchable=True,
            limit=50,
            size="xs",
            className="picker",
            **attributes({"data-shown": shown or "", "aria-label": words}),
        ),
        id=name,
    )


def connect(app: dash.Dash) -> None:
    """Let a choice lead to its address."""
    app.clientside_callback(
        ClientsideFunction("weakspot", "pick"),
        Output("address", "href"),
        Input({"picker": ALL}, "value"),
        State({"picker": ALL}, "data-shown"),
        prevent_initial_call=True,
    )
