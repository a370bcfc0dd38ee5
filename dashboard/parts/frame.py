"""What surrounds every page: the header with its navigation, notices, and the list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboard.address import OVERVIEW
from dashboard.parts.components import attributes, icon, loading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dashboard.parts.components import Component

_KEYS = (("/", "Find a class"), ("?", "This list"), ("Esc", "Close what is open"))


def shell(
    pages: Sequence[tuple[str, str]], *, patience_s: int, signed_in: str | None = None
) -> Component:
    """Return what surrounds every page: the header, and the place the page is shown in.

    Args:
        pages: The names and paths of the navigation.
        patience_s: After so long without news the page says that it is stale.
        signed_in: Name of whoever is signed in; None where nobody needs to.
    """
    letters = letters_of([name for name, _ in pages])
    header = dmc.AppShellHeader(
        html.Div(
            [
                dcc.Link(
                    [icon("target"), html.Span("Weakspot", className="brand-name")],
                    href=OVERVIEW,
                    className="brand",
                    id="home",
                ),
                _navigation(pages, letters),
                html.Span(className="grow"),
                html.Span(
                    [html.Span("as of ", className="wide"), html.Span(id="heard")],
                    className="heard",
                ),
                html.Div(id="finder", className="finder"),  # assets/finder.js fills it
                _person(signed_in),
                html.Button(
                    "?",
                    id="help-open",
                    className="round",
                    title="Keys",
                    **attributes(
                        {"type": "button", "aria-label": "Keys", "aria-haspopup": "dialog"}
                    ),
                ),
                dmc.ColorSchemeToggle(
                    lightIcon=icon("sun"),
                    darkIcon=icon("moon"),
                    variant="subtle",
                    color="gray",
                    size="lg",
                    id="scheme",
                    **attributes({"aria-label": "Switch between light and dark"}),
                ),
            ],
            className="header",
        )
    )
    said = html.Div(id="said", className="said", role="status")
    height: Any = {"height": {"base": 88, "md": 52}}
    page = html.Div(loading(), id="page", className="page")
    return dmc.AppShell(
        [
            header,
            dmc.AppShellMain([_stale(patience_s), _ended(), said, page]),
            _help(pages, letters),
        ],
        header=height,
        padding=0,
        id="shell",
    )


def letters_of(names: Sequence[str]) -> dict[str, str]:
    """Return by which letter each page is reached: its first that no page before it has.

    Example:
        >>> letters_of(["Training", "Try"])
        {'Training': 't', 'Try': 'r'}
    """
    letters: dict[str, str] = {}
    for name in names:
        free = [each for each in name.lower() if each.isalpha() and each not in letters.values()]
        if free:
            letters[name] = free[0]
    return letters


def _navigation(pages: Sequence[tuple[str, str]], letters: Mapping[str, str]) -> Component:
    links = [
        dcc.Link(
            html.Span(name, **attributes({"data-letter": letters.get(name, "")})),
            href=path,
            className="nav-link",
        )
        for name, path in pages
    ]
    return html.Nav(links, **attributes({"aria-label": "Pages"}))


def _person(name: str | None) -> Component:
    if name is None:
        return None
    button = html.Button(
        "Sign out",
        id="sign-out",
        className="button",
        title=f"Signed in with the key {name}",
        **attributes({"type": "button"}),
    )
    named = html.Span(name, className="person-name", title=f"Signed in with the key {name}")
    return html.Span([named, button], className="person")


def _stale(patience_s: int) -> Component:
    return html.Div(
        "No news from the dashboard's server: what stands here may be out of date.",
        id="stale",
        className="stale",
        role="status",
        **attributes({"data-patience": str(patience_s)}),
    )


def _ended() -> Component:
    """Return what is shown once the session is over (assets/door.js)."""
    words = ["Your session has ended: what stands here is not kept up to date. ", html.A("Sign in")]
    return html.Div(words, id="ended", className="ended", role="alert", hidden=True)


def _help(pages: Sequence[tuple[str, str]], letters: Mapping[str, str]) -> Component:
    to_pages = [(f"g {letters[name]}", name) for name, _ in pages if name in letters]
    rows = [
        html.Div([html.Dt([html.Kbd(key) for key in keys.split()]), html.Dd(words)])
        for keys, words in [*_KEYS, *to_pages]
    ]
    close = html.Button(
        "Close", id="help-close", className="button", **attributes({"type": "button"})
    )
    return html.Dialog(
        [html.H2("Keys", id="help-title"), html.Dl(rows, className="keys"), close],
        id="help",
        className="help",
        **attributes({"aria-labelledby": "help-title"}),
    )
