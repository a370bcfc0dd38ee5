"""The overview: is the model well, and if not, which classes and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import ClientsideFunction, Input, html

from core.shown.happenings import listed
from dashboard.address import OVERVIEW, RANGES, overview_address
from dashboard.page import Drawn, Page
from dashboard.pages.health import class_table, gather, verdict
from dashboard.pages.health.cells import FEWEST_COLOURED, is_by_week
from dashboard.pages.health.gather import MOST_SHOWN
from dashboard.pages.health.matrix import matrix
from dashboard.pages.health.routes import blueprint
from dashboard.pages.health.tiles import tiles
from dashboard.pages.health.view import EVENTS_CSV, csv_address
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.moment import shown
from dashboard.parts.wording import count, day_text

if TYPE_CHECKING:
    import dash

    from core.shown.happenings import Event
    from dashboard.page import House, Look
    from dashboard.pages.health.facts import ClassReading, Overview
    from dashboard.parts.components import Component

_MOST_EVENTS = 12
_SIGNS = {
    "deployment": "rocket",
    "alert": "warning",
    "recovery": "check",
    "retraining": "repeat",
    "failure": "cross",
    "missed": "cross",
}


def draw(facts: Overview, *, days: int, named: int | None) -> Component:
    """Return the page's content.

    Args:
        facts: What it is drawn from.
        days: The range in days.
        named: The range as links should carry it on; None when it is the usual one.
    """
    shown = facts.classes[:MOST_SHOWN]
    ranges = parts.ranges(days, [overview_address(each) for each in RANGES])
    side = html.Div(ranges, id="overview-ranges")
    return html.Div(
        [
            parts.verdict(verdict.of_overview(facts), days=named),
            parts.tiles(tiles(facts)),
            _notices(facts),
            parts.panel(
                "Accuracy by class and day",
                _matrix(facts, shown),
                hint=_matrix_hint(facts, shown),
                side=side,
            ),
            parts.panel(
                "Classes",
                class_table.table(facts, named),
                hint=_table_hint(facts),
            ),
            parts.panel(
                "Events",
                _events(facts, named),
                side=exports.link(csv_address(EVENTS_CSV, days=named), "events-csv"),
            ),
        ],
        className="stack",
    )


def _notices(facts: Overview) -> Component:
    """Return the open alerts that no class is to blame for; None when there is none."""
    notices, today = facts.events.open_notices, facts.now.date()
    if not notices:
        return None
    records = [
        parts.record(["raised ", shown(each.at, today=today)], each.state, each.title, each.body)
        for each in notices
    ]
    hint = "Alerts that are about no single class: weakspot alerts list shows all."
    return parts.panel("Concerns all classes", html.Div(records, className="records"), hint=hint)


def _matrix(facts: Overview, shown: list[ClassReading]) -> Component:
    if not shown:
        return parts.empty("Nothing to show before the first exam.")
    words = "Accuracy of each class on each day; the table below holds the same numbers."
    return [
        parts.chart(
            matrix(facts, shown), name="matrix", words=words, dense=len(facts.range.days) > 16
        ),
        parts.legend(
            ("scale", "0 to 100 % right"),
            ("hatch", f"none or fewer than {FEWEST_COLOURED} labelled images"),
            ("mark mark-deployment", "deployment"),
            ("mark mark-alert", "alert"),
            ("mark mark-retraining", "retraining"),
            ("cross", "run that failed or never came"),
        ),
    ]


def _matrix_hint(facts: Overview, shown: list[ClassReading]) -> str:
    more = len(facts.classes) - len(shown)
    rest = f" The {len(shown)} worst of {len(facts.classes):,} classes are shown." if more else ""
    weekly = " A column is seven days." if is_by_week(shown) else ""
    said = "Share of labelled images answered right, in percent; the worst class on top."
    return said + weekly + rest


def _table_hint(facts: Overview) -> str:
    if not facts.classes:
        return ""
    return (
        "Accuracy with its 95 % interval, over the last 7 days of the version examined, or since "
        "the class fell. An alarm is raised when the evidence of a drop reaches the threshold."
        + _likeness(facts)
    )


def _likeness(facts: Overview) -> str:
    """Say how alike images of one session are, and what they count for it."""
    if facts.whole is None:
        return ""
    counted = "are one bet" if facts.whole.grouped else "are a bet each"
    return (
        f" Images of one session, or nearly alike, {counted}: their estimated intra-class "
        f"correlation is {facts.whole.correlation:.2f}."
    )


def _events(facts: Overview, named: int | None) -> Component:
    happened = [event for event in listed(facts.events) if facts.range.holds(event.day)]
    if not happened:
        return parts.empty("Nothing has happened in this range.")
    items = [_event(event, facts, named) for event in happened[:_MOST_EVENTS]]
    more = len(happened) - len(items)
    rest = [parts.empty(f"and {count(more, 'earlier event')} in this range")] if more else []
    return [html.Ul(items, className="events"), *rest]


def _event(event: Event, facts: Overview, named: int | None) -> Component:
    return html.Li(
        [
            html.Span(day_text(event.day, today=facts.now.date()), className="when"),
            html.Span(parts.icon(_SIGNS[event.kind]), className=f"sign sign-{event.kind}"),
            html.Div(
                [
                    html.Span(parts.sentence(event.title, days=named), className="strong"),
                    html.Span(event.detail, className="detail"),
                ]
            ),
        ]
    )


def _draw(look: Look) -> Drawn:
    seen = gather.overview(look.connection, days=look.days, now=look.now)
    return Drawn("Overview", draw(seen, days=look.days, named=look.named))


def _connect(app: dash.Dash, _house: House) -> None:
    """Let the table be set up whenever a page has come."""
    app.clientside_callback(ClientsideFunction("health", "drawn"), Input("page", "children"))


PAGE = Page(
    takes=OVERVIEW.__eq__,
    draw=_draw,
    name="Overview",
    path=OVERVIEW,
    connect=_connect,
    routes=blueprint,
    charts=True,
    grid=True,
)
