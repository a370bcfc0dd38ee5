"""The page of two versions: per class on the same images, by difference, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import dcc, html

from dashboard.address import class_address
from dashboard.pages.models import figures
from dashboard.pages.models.one_version import crumbs
from dashboard.pages.models.view import CSV, compare_address, promote_address
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.guarding import guarded
from dashboard.parts.picker import picker
from dashboard.parts.saying import Verdict
from dashboard.parts.wording import count, percent, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.shown.comparing import Comparison, Row
    from dashboard.parts.components import Component
    from dashboard.parts.saying import Tone

MOST_ROWS = 300

_PAIRED = (
    "The difference is (gained − lost) / images, its 95 % interval 1.96 standard errors of paired "
    "images either way. Of many classes, one in twenty lies outside by chance."
)
_SOURCES = {
    "exams": "Images that both versions have answered in daily exams, by the label of today.",
    "gate": "The gate's exam of one against the other. It kept no count of images that both name "
    "rightly, so only the differences are known.",
    "releases": "No image was answered by both. These are the test recalls that each was released "
    "with, perhaps of other images: no pairs, so no interval.",
}


def draw(found: Comparison, names: Sequence[str], promotable: str | None = None) -> Component:
    """Return the page.

    Args:
        found: The two versions.
        names: Versions that can be chosen instead.
        promotable: The one of the two that whoever looks may promote over the other; None where
            neither is.
    """
    return html.Div(
        [
            crumbs(f"{found.a} and {found.b}"),
            parts.verdict(_said(found), days=None),
            _choice(found, names, promotable),
            guarded("By class", lambda: _chart(found)),
            guarded("Classes", lambda: _table(found)),
        ],
        className="stack",
    )


def _said(found: Comparison) -> Verdict:
    whole = found.whole
    if whole is None or whole.difference is None:
        text = "They have answered no image in common, and no release says how good they were."
        return Verdict("none", [f"{found.a} and {found.b} cannot be compared yet"], [text])
    by = f"{points(whole.difference)} points"
    if whole.low is None or whole.high is None:
        return Verdict(
            "none",
            [f"{found.b} against {found.a}: {by} on test images, perhaps not the same"],
            [_SOURCES[found.source]],
        )
    tone: Tone = "bad" if whole.high < 0 else "good" if whole.low > 0 else "none"
    shown = {"bad": "worse", "good": "better", "none": "not shown to differ"}[tone]
    on = count(whole.n or 0, "shared image")
    sentence = f"{found.b} is {shown} than {found.a} on {on}: {by}"
    if tone == "none":
        sentence = f"{found.b} and {found.a} are not shown to differ on {on}: {by}"
    interval = f"95 % interval {points(whole.low)} to {points(whole.high)}."
    lost = sum(row.high is not None and row.high < 0 for row in found.rows)
    won = sum(row.low is not None and row.low > 0 for row in found.rows)
    classes = f"{count(won, 'class', 'classes')} better, {lost:,} worse beyond the interval."
    return Verdict(tone, [sentence], [f"{interval} {classes}", _SOURCES[found.source]])


def _choice(found: Comparison, names: Sequence[str], promotable: str | None) -> Component:
    promote = None
    if promotable is not None:
        promote = dcc.Link(
            f"Promote {promotable}…",
            href=promote_address(promotable),
            className="button button-main",
            id="to-promote",
        )
    return html.Div(
        [
            _select("first", found.a, [(each, compare_address(each, found.b)) for each in names]),
            _select("second", found.b, [(each, compare_address(found.a, each)) for each in names]),
            dcc.Link("Exchange them", href=compare_address(found.b, found.a), className="button"),
            promote,
        ],
        className="buttons model-choice",
    )


def _select(which: str, chosen: str, known: Sequence[tuple[str, str]]) -> Component:
    return picker(
        f"models-{which}",
        known,
        shown=dict(known).get(chosen),
        words="Version",
        nothing="No such version",
        label=f"The {which}",
    )


def _chart(found: Comparison) -> Component:
    rows = figures.drawn_rows(found)
    title = "By class"
    if not rows:
        return parts.panel(title, parts.empty("No class was answered by both, and none released."))
    words = "Both versions by class; the table below holds the same numbers."
    if found.source == "gate":
        chart = parts.chart(figures.intervals(found), name="two", words=words)
        legend = parts.legend(("diamond", f"{found.b} minus {found.a}"), ("line line-grey", "95 %"))
    else:
        chart = parts.chart(figures.dumbbells(found), name="two", words=words)
        legend = parts.legend(("ring", found.a), ("diamond", found.b))
    more = len(found.rows) - len(rows)
    rest = f" The {len(rows)} that differ most; {more:,} more are in the table." if more else ""
    hint = f"Share of a class's images named rightly, the largest loss of {found.b} on top.{rest}"
    if found.source == "gate":
        hint = f"Difference by class with its interval, the largest loss on top.{rest}"
    return parts.panel(title, [chart, legend], hint=hint)


def _table(found: Comparison) -> Component:
    if not found.rows:
        return None
    shown = [*([found.whole] if found.whole else []), *found.rows[:MOST_ROWS]]
    # The gate keeps no recalls: two empty columns would only ask what is missing.
    recalls = any(row.a is not None or row.b is not None for row in shown)
    rows = [_row(row, recalls) for row in shown]
    head = html.Thead(
        html.Tr(
            [
                html.Th("Class"),
                html.Th("Images", className="number medium"),
                *(html.Th(each, className="number") for each in (found.a, found.b) if recalls),
                html.Th("Points", className="number"),
                html.Th("95 % interval", className="number"),
            ]
        )
    )
    table = html.Table([head, html.Tbody(rows)], className="table", id="compared")
    hint = "" if found.source == "releases" else _PAIRED
    more = len(found.rows) - MOST_ROWS
    if more > 0:
        hint += f" {count(more, 'more class', 'more classes')}: in the CSV."
    side = exports.link(compare_address(found.a, found.b, CSV), "compare-csv")
    return parts.panel("Classes", parts.scrolling(table, "Classes"), hint=hint, side=side)


def _row(row: Row, recalls: bool) -> Component:
    name: Component = html.Span("all images", className="strong")
    if row.label is not None:
        name = dcc.Link(html.Bdi(row.label), href=class_address(row.label), className="class-link")
    interval = ""
    if row.low is not None and row.high is not None:
        interval = f"{points(row.low)} to {points(row.high)}"
    return html.Tr(
        [
            html.Td(name, className="name"),
            html.Td("" if row.n is None else f"{row.n:,}", className="number medium"),
            *([_share(row.a), _share(row.b)] if recalls else []),
            html.Td("" if row.difference is None else points(row.difference), className="number"),
            html.Td(interval, className="number"),
        ]
    )


def _share(recall: float | None) -> Component:
    return html.Td("" if recall is None else percent(recall), className="number")
