"""Buttons that do something: named on the page, done by the page's actions.

A press is a POST like any other of Dash's, so the door checks who asks and from where.
"""

from __future__ import annotations

from typing import Any

from dash import html

from dashboard.parts.components import attributes


def button(
    text: str,
    *,
    action: str,
    about: str | int,
    confirm: str = "",
    tone: str = "plain",
    hint: str = "",
) -> Any:
    """Return a button.

    Args:
        text: What stands on it.
        action: Name of one of the page's actions.
        about: What it is about, as the action is told.
        confirm: A question that is asked first; empty for none.
        tone: `plain`, `main` for the one thing to do here, or `danger`.
        hint: What it does, shown while the pointer rests on it.
    """
    named = {"data-confirm": confirm} if confirm else {}
    return html.Button(
        text,
        id={"action": action, "about": str(about)},
        className=f"button button-{tone}",
        title=hint or None,
        **attributes({"type": "button", **named}),
    )
