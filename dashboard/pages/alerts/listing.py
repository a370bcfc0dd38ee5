"""The list of alerts: by state and class, the newest first, with what was sent of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import dcc, html

from core.store.alert_states import STATES
from dashboard.pages.alerts.view import CSV, file_address
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.guarding import guarded
from dashboard.parts.moment import shown
from dashboard.parts.picker import picker
from dashboard.parts.saying import Verdict
from dashboard.parts.wording import count, evidence_text

if TYPE_CHECKING:
    from core.store.alerts import Alert
    from dashboard.pages.alerts.facts import AlertList
    from dashboard.parts.components import Component

_HINT = (
    "Evidence is the largest of its flag since it was raised; the flag's own page says against "
    "which threshold. Sent counts messages that a channel has accepted."
)


def draw(facts: AlertList) -> Component:
    """Return the page."""
    return html.Div(
        [
            parts.verdict(_said(facts), days=None),
            guarded("Alerts", lambda: _panel(facts)),
            guarded("Rules", lambda: _rules(facts)),
        ],
        className="stack",
    )


def _said(facts: AlertList) -> Verdict:
    of = f" about {facts.view.label}" if facts.view.label is not None else ""
    waiting = facts.counts["open"]
    notes = [f"{facts.counts[state]:,} {state}" for state in STATES[1:] if facts.counts[state]]
    note = [f"Besides: {', '.join(notes)}."] if notes else []
    if waiting:
        is_open = count(waiting, "alert is open", "alerts are open")
        return Verdict("bad", [f"{is_open}{of}, and nobody is at it"], note)
    if not sum(facts.counts.values()):
        text = "The monitor raises one when a class has sunk, or when something is wrong with it."
        return Verdict("none", [f"There was no alert{of} yet"], [text])
    return Verdict("good", [f"No alert{of} waits for anybody"], note)


def _panel(facts: AlertList) -> Component:
    return parts.panel(
        "Alerts",
        [_table(facts), _pages(facts)],
        hint=_HINT if facts.alerts else "",
        side=html.Div([_classes(facts), _states(facts), _file(facts)], className="alert-filters"),
    )


def _states(facts: AlertList) -> Component:
    view = facts.view
    every = [(None, f"all {sum(facts.counts.values()):,}")]
    named = [*every, *[(state, f"{state} {facts.counts[state]:,}") for state in STATES]]
    links = [
        dcc.Link(
            words,
            href=view.address(state=state, before=None),
            className="range range-current" if state == view.state else "range",
        )
        for state, words in named
    ]
    return html.Div(links, className="ranges alert-states")


def _classes(facts: AlertList) -> Component:
    if not facts.labels:
        return None
    view = facts.view
    everywhere = ("every class", view.address(label=None, before=None))
    known = [(label, view.address(label=label, before=None)) for label in facts.labels]
    return picker(
        "alert-class",
        [everywhere, *known],
        shown=view.address(before=None),
        words="Class",
        nothing="No alert about such a class",
    )


def _file(facts: AlertList) -> Component:
    return exports.link(file_address(CSV, facts.view), "alerts-csv")


def _table(facts: AlertList) -> Component:
    if not facts.alerts:
        filtered = facts.view.state or facts.view.label is not None or facts.view.before
        return parts.empty(
            "None of these. The links above show the others." if filtered else "None so far."
        )
    rows = [_row(each, facts) for each in facts.alerts]
    table = html.Table([_HEAD, html.Tbody(rows)], className="table", id="alerts")
    return parts.scrolling(table, "Alerts")


_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Alert"),
            html.Th("State"),
            html.Th("What was told"),
            html.Th("Evidence", className="number medium"),
            html.Th("Sent", className="wide"),
            html.Th("Raised", className="wide"),
        ]
    )
)


def _row(alert: Alert, facts: AlertList) -> Component:
    address = facts.view.address(alert=alert.id, state=None, label=None, before=None)
    evidence = evidence_text(alert.peak) if alert.flag is not None else ""
    return html.Tr(
        [
            html.Td(dcc.Link(str(alert.id), href=address, className="strong")),
            html.Td(parts.badge(alert.state)),
            html.Td(
                dcc.Link(html.Bdi(alert.title), href=address, className="clamp class-link"),
                className="about alert-title",
            ),
            html.Td(evidence, className="number medium"),
            html.Td(sent_text(facts.sent.get(alert.id, {})), className="wide"),
            html.Td(
                shown(alert.at, today=facts.now.date()),
                className="when wide",
            ),
        ]
    )


def sent_text(counts: dict[str, int]) -> str:
    """Say what became of the messages about an alert: `2 sent, 1 dead`; `nobody` without any."""
    known = [(state, counts.get(state, 0)) for state in ("sent", "sending", "waiting", "dead")]
    return ", ".join(f"{n:,} {state}" for state, n in known if n) or "to nobody"


def _pages(facts: AlertList) -> Component:
    links: list[Component] = []
    if facts.view.before is not None:
        links.append(dcc.Link("Newest", href=facts.view.address(before=None), className="range"))
    if facts.more:
        older = facts.view.address(before=facts.alerts[-1].id)
        links.append(dcc.Link("Older", href=older, className="range", id="older"))
    return html.Div(links, className="ranges alert-pages") if links else None


def _rules(facts: AlertList) -> Component:
    if facts.rules is None:
        text = "None were ever set. The monitor writes down what its settings say when it starts."
        return parts.panel("Rules", parts.empty(text))
    rules, version = facts.rules.rules, facts.rules.version
    left_out = count(len(rules.left_out), "class is", "classes are")
    channels = count(len(rules.channels), "channel hears", "channels hear")
    said = [
        f"Version {version}, set by {facts.rules.by} on ",
        shown(facts.rules.at, today=facts.now.date()),
        f": {rules.budget:g} false alarms accepted per 30 days, {left_out} left out, {channels}.",
    ]
    address = facts.view.address(rules=version, state=None, label=None, before=None)
    link = dcc.Link("Change, preview, history", href=address, className="button", id="to-rules")
    return parts.panel("Rules", html.P(said, className="told"), side=link)
