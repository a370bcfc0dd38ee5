"""The overview: is the model well, and if not, which classes and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import html

from dashboard.address import OVERVIEW, RANGES, overview_address
from dashboard.page import Drawn, Page
from dashboard.pages.health import gather, verdict
from dashboard.pages.health.events import listed
from dashboard.pages.health.gather import MOST_SHOWN
from dashboard.pages.health.matrix import matrix
from dashboard.parts import components as parts
from dashboard.parts.sparkline import HEIGHT, WIDTH, sparkline
from dashboard.parts.wording import count, day_text, evidence_text, moment_text, percent

if TYPE_CHECKING:
    from dashboard.page import Look
    from dashboard.pages.health.events import Event
    from dashboard.pages.health.facts import ClassReading, Overview
    from dashboard.parts.components import Component

_MOST_EVENTS = 12
_SIGNS = {
    "deployment": "rocket",
    "alert": "warning",
    "recovery": "check",
    "retraining": "repeat",
    "failure": "cross",
}


def draw(facts: Overview, *, days: int, named: int | None) -> Component:
    """Return the page's content.

    Args:
        facts: What it is drawn from.
        days: The range in days.
        named: The range as links should carry it on; None when it is the usual one.
    """
    shown = facts.classes[:MOST_SHOWN]
    side = parts.ranges(days, [overview_address(each) for each in RANGES])
    return html.Div(
        [
            parts.verdict(verdict.of_overview(facts), days=named),
            parts.tiles(_numbers(facts)),
            _notices(facts),
            parts.panel(
                "Accuracy by class and day",
                _matrix(facts, shown),
                hint=_matrix_hint(facts, shown),
                side=side,
            ),
            parts.panel(
                "Classes",
                _table(facts, shown, named),
                hint=_table_hint(facts),
                side=_finder(facts, shown),
            ),
            parts.panel("Events", _events(facts, named)),
        ],
        className="stack",
    )


def _numbers(facts: Overview) -> list[tuple[str, str]]:
    exam, today = facts.exam, facts.now.date()
    on = f" on {day_text(exam.day, today=today)}" if exam else ""
    labels = len(facts.classes) or (len(facts.champion.labels) if facts.champion else 0)
    return [
        ("Champion", facts.champion.version if facts.champion else "none"),
        ("Classes", f"{labels:,}"),
        (f"Images examined{on}", f"{facts.answers.n:,}"),
        (f"Predictions{on}", f"{facts.predictions:,}"),
        ("Open alerts", f"{facts.open_alerts:,}"),
    ]


def _notices(facts: Overview) -> Component:
    """Return the open alerts that no class is to blame for; None when there is none."""
    notices, today = facts.events.open_notices, facts.now.date()
    if not notices:
        return None
    records = [
        parts.record(
            f"raised {moment_text(each.at, today=today)}", each.state, each.title, each.body
        )
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
            ("hatch", "no fresh labels"),
            ("mark mark-deployment", "deployment"),
            ("mark mark-alert", "alert"),
            ("mark mark-retraining", "retraining"),
        ),
    ]


def _matrix_hint(facts: Overview, shown: list[ClassReading]) -> str:
    more = len(facts.classes) - len(shown)
    rest = f" The {len(shown)} worst of {len(facts.classes):,} classes are shown." if more else ""
    return "Share of labelled images answered right, in percent; the worst class on top." + rest


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


def _finder(facts: Overview, shown: list[ClassReading]) -> Component:
    """Return the way to the classes that are not shown; None when all are."""
    if len(shown) == len(facts.classes):
        return None
    return parts.finder([each.label for each in facts.classes])


def _table(facts: Overview, shown: list[ClassReading], named: int | None) -> Component:
    if not shown:
        return parts.empty("No class has been examined yet.")
    head = html.Thead(
        html.Tr(
            [
                html.Th("Class"),
                html.Th("State"),
                html.Th("Accuracy", className="number"),
                html.Th(count(len(facts.range.days), "day"), className="wide"),
                html.Th("Reference", className="number wide"),
                html.Th("Evidence", className="number medium"),
            ]
        )
    )
    rows = [_row(facts, each, named) for each in shown]
    return html.Table([head, html.Tbody(rows)], className="table", id="classes")


def _row(facts: Overview, reading: ClassReading, named: int | None) -> Component:
    state = reading.state
    reference = state.reference if state else None
    return html.Tr(
        [
            html.Td(parts.class_link(reading.label, days=named), className="name"),
            html.Td(parts.badge(reading.standing)),
            html.Td(_accuracy(reading), className="number"),
            html.Td(
                html.Img(
                    src=sparkline(reading.days, facts.range.days, reference),
                    alt="",
                    width=WIDTH,
                    height=HEIGHT,
                ),
                className="wide",
            ),
            html.Td("" if reference is None else percent(reference), className="number wide"),
            html.Td(_evidence(reading), className="number medium"),
        ]
    )


def _accuracy(reading: ClassReading) -> Component:
    if not reading.n:
        return html.Span("no labels", className="dim")
    return [
        html.Span(percent(reading.correct / reading.n), className="strong"),
        html.Span(
            f"{percent(reading.low)} to {percent(reading.high)}, {reading.correct}/{reading.n}",
            className="interval",
        ),
    ]


def _evidence(reading: ClassReading) -> Component:
    state = reading.state
    if state is None:
        return None
    return [
        html.Span(evidence_text(state.evidence), className="strong"),
        html.Span(f"of {evidence_text(state.threshold)}", className="interval"),
    ]


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


PAGE = Page(takes=OVERVIEW.__eq__, draw=_draw, name="Overview", path=OVERVIEW)
