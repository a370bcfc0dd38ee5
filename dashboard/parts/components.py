"""The parts that pages are put together from, all of them looking the same everywhere.

Every text is a child of a component and never HTML, so a class name shows as it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboard.address import RANGES, class_address
from dashboard.parts.moment import moment
from dashboard.parts.saying import Mention, Moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.shown.phrases import Part
    from dashboard.parts.drawing import Figure
    from dashboard.parts.saying import Phrase, Tone, Verdict

Component = Any
Children = Any

_BADGE_TONES: dict[str, Tone] = {
    "weak": "bad",
    "recovering": "watch",
    "uncertain": "watch",
    "healthy": "good",
    "open": "bad",
    "acknowledged": "watch",
    "snoozed": "watch",
    "promoted": "good",
    "refused": "bad",
    "failed": "bad",
    "more images": "watch",
    "running": "watch",
    "silent": "bad",
    "trained": "good",
    "champion": "good",
    "drift": "bad",
    "no drift": "good",
    "done": "good",
    "sent": "good",
    "dead": "bad",
    "loaded": "good",
    "late": "bad",
}
_TONE_ICONS: dict[Tone, str] = {"bad": "warning", "watch": "eye", "good": "check", "none": "dots"}

_CHART: Any = {"displayModeBar": False, "responsive": True, "showTips": False, "doubleClick": False}


def loading() -> Component:
    """Return what is shown before the first page has come."""
    return html.Div(
        [dmc.Skeleton(height=height, radius="md") for height in (96, 84, 360)],
        className="stack",
        **attributes({"aria-busy": "true", "aria-label": "Loading"}),
    )


def icon(name: str) -> Component:
    """Return one of the signs drawn in assets/dashboard.css."""
    return html.Span(className=f"icon icon-{name}", **attributes({"aria-hidden": "true"}))


def sentence(phrase: Phrase, *, days: int | None) -> Children:
    """Return a phrase with its classes linked to their pages, and its moments in local time."""
    return [_part(each, days) for each in phrase]


def _part(part: Part, days: int | None) -> Component:
    if isinstance(part, Mention):
        return class_link(part.label, days=days)
    return moment(part.at, part.words) if isinstance(part, Moment) else part


def class_link(label: str, *, days: int | None) -> Component:
    """Return a link to a class's page."""
    return dcc.Link(html.Bdi(label), href=class_address(label, days), className="class-link")


def verdict(said: Verdict, *, days: int | None) -> Component:
    """Return the verdict: one sentence, then what else should be known."""
    return html.Section(
        [
            html.Span(icon(_TONE_ICONS[said.tone]), className="verdict-sign"),
            html.Div(
                [
                    html.H1(sentence(said.sentence, days=days), id="verdict"),
                    *[
                        html.P(note if isinstance(note, str) else sentence(note, days=days))
                        for note in said.notes
                    ],
                ]
            ),
        ],
        className=f"verdict verdict-{said.tone}",
    )


def panel(
    title: str, children: Children, *, hint: Children = "", side: Component = None
) -> Component:
    """Return a titled panel.

    Args:
        title: Its heading.
        children: What it shows.
        hint: One line on how that is computed, or how to read it.
        side: What stands at the right end of the heading.
    """
    return dmc.Paper(
        [
            html.Div([html.H2(title), html.Span(className="grow"), side], className="panel-head"),
            html.P(hint, className="hint") if hint else None,
            html.Div(children, className="panel-body"),
        ],
        className="panel",
        withBorder=True,
        radius="md",
    )


def record(
    when: Children, state: str, title: str, body: Children = None, below: Children = None
) -> Component:
    """Return one alert: when it was raised, how it stands, and what it says.

    Args:
        when: When it was raised, and perhaps closed.
        state: How it stands, as a badge shows it.
        title: Its one line.
        body: What it says beyond that, in plain text.
        below: What stands underneath, such as pictures.
    """
    head = [html.Span(when, className="when"), badge(state)]
    return html.Article(
        [
            html.Div(head, className="record-head"),
            html.P(title, className="strong"),
            html.P(body, className="body") if body else None,
            below,
        ],
        className="record",
    )


def scrolling(table: Component, name: str) -> Component:
    """Return a table that scrolls within its panel where it is too wide, also by the keyboard."""
    return html.Div(
        table, className="scrolling", tabIndex=0, role="group", **attributes({"aria-label": name})
    )


def empty(text: str) -> Component:
    """Return what a panel shows that has nothing to show, saying why."""
    return html.P(text, className="empty")


def notice(title: str, text: str, *, sign: str = "warning") -> Component:
    """Return a page that says why there is no page."""
    return html.Section(
        [
            html.Span(icon(sign), className="verdict-sign"),
            html.Div([html.H1(title, id="verdict"), html.P(text)]),
        ],
        className="verdict verdict-watch",
    )


def chart(figure: Figure, *, name: str, words: str, dense: bool = False) -> Component:
    """Return a chart.

    Args:
        figure: What to draw.
        name: Its id on the page.
        words: What it shows, for those who do not see it.
        dense: Whether its cells are too narrow for text on smaller screens.
    """
    height = figure["layout"]["height"]
    drawing = html.Div(
        dcc.Graph(id=name, figure=figure, config=_CHART, style={"height": f"{height}px"}),
        className="chart chart-dense" if dense else "chart",
        role="img",
        **attributes({"aria-label": words}),
    )
    keep = html.Button(
        "PNG",
        className="export chart-png",
        title="Keep this chart as a picture",
        **attributes(
            {"type": "button", "data-chart": name, "aria-label": f"Keep as a picture: {words}"}
        ),
    )
    return html.Div([drawing, keep], className="chart-frame")


def tiles(entries: Sequence[tuple[str, str] | tuple[str, str, Component]]) -> Component:
    """Return a row of (name, value), or of (name, value, what it was before)."""
    return html.Dl(
        [
            html.Div(
                [html.Dt(name), html.Dd(value), *(html.Dd(each, className="was") for each in more)],
                className="tile",
            )
            for name, value, *more in entries
        ],
        className="tiles",
    )


def badge(word: str) -> Component:
    """Return how a class stands, an alert's state or a retraining's status, with its colour."""
    return html.Span(word, className=f"badge badge-{_BADGE_TONES.get(word, 'none')}")


def legend(*entries: tuple[str, str]) -> Component:
    """Return the legend of a chart.

    Args:
        entries: Of each, the class of its sign in assets/dashboard.css, or its colour as
            `#rrggbb`; and what it means.
    """
    return html.Div(
        [html.Span([_sign(sign), html.Span(words)]) for sign, words in entries], className="legend"
    )


def _sign(sign: str) -> Component:
    if sign.startswith("#"):
        return html.Span(className="mark", style={"background": sign})
    return html.Span(className=sign)


def ranges(current: int, addresses: Sequence[str]) -> Component:
    """Return links to the ranges of days.

    Args:
        current: The range that is shown, in days.
        addresses: Where each of `RANGES` is shown.
    """
    links = [
        dcc.Link(
            f"{days} days",
            href=address,
            className="range range-current" if days == current else "range",
        )
        for days, address in zip(RANGES, addresses, strict=True)
    ]
    return html.Div(links, className="ranges")


def attributes(named: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of a component whose names are no Python names."""
    return named
