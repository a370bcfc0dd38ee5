"""One alert: what it says, what it rests on, what was done about it, and what was sent of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from core.shown.phrases import sure_text
from core.store.alert_states import TRANSITIONS
from dashboard.address import class_address, image_address
from dashboard.pages.alerts.view import (
    DEEDS_CSV,
    DELIVERIES_CSV,
    PATH,
    AlertsView,
    file_address,
)
from dashboard.parts import components as parts
from dashboard.parts import exports, pairs
from dashboard.parts.buttons import button
from dashboard.parts.guarding import guarded
from dashboard.parts.moment import named, shown
from dashboard.parts.saying import Phrase, Verdict
from dashboard.parts.wording import count, day_text, evidence_text, percent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from core.store.audit import Deed
    from core.store.outbox import Delivery
    from dashboard.door.caller import Caller
    from dashboard.pages.alerts.facts import OneAlert
    from dashboard.parts.components import Component
    from dashboard.parts.saying import Tone

SNOOZES = (1, 7, 30)

_TONES: dict[str, Tone] = {
    "open": "bad",
    "acknowledged": "watch",
    "snoozed": "watch",
    "resolved": "good",
}
_DELIVERIES_HINT = (
    "Each message is sent at least once, under one key, so that a receiver can tell. What a "
    "channel does not take is tried again, later each time, and is dead after the last attempt."
)
_DONE_HINT = "The audit trail of this alert, and the retrainings that its flag asked for."


def draw(facts: OneAlert, caller: Caller) -> Component:
    """Return the page."""
    alert = facts.alert
    return html.Div(
        [
            html.Div(
                [
                    dcc.Link("Alerts", href=PATH, className="crumb"),
                    html.Span("/", className="dim"),
                    html.Span(f"Alert {alert.id}", className="crumb-here"),
                    parts.badge(alert.state),
                ],
                className="crumbs",
            ),
            parts.verdict(_said(facts), days=None),
            _buttons(facts, caller),
            html.Div(
                [
                    guarded("What was told", lambda: parts.panel("What was told", _told(facts))),
                    guarded("Evidence", lambda: _evidence(facts)),
                ],
                className="pair",
            ),
            html.Div(
                [
                    guarded("What was done", lambda: _done(facts)),
                    guarded("Messages", lambda: _deliveries(facts)),
                ],
                className="pair",
            ),
        ],
        className="stack",
    )


def _said(facts: OneAlert) -> Verdict:
    alert, today = facts.alert, facts.now.date()
    note: Phrase = ["Raised ", named(alert.at, today=today), "."]
    if alert.snoozed_until is not None:
        note += [" Asleep until ", named(alert.snoozed_until, today=today), "."]
    if alert.resolved_at is not None:
        note += [" Resolved ", named(alert.resolved_at, today=today), "."]
    return Verdict(_TONES[alert.state], [alert.title], [note])


def _buttons(facts: OneAlert, caller: Caller) -> Component:
    """Return what may be done from here; nothing for who may not, or when it is over."""
    alert = facts.alert
    possible = {deed for state, deed in TRANSITIONS if state == alert.state}
    if not caller.may("label") or not possible - {"wake"}:
        return None
    shown: list[Component] = []
    if "acknowledge" in possible:
        shown.append(
            button(
                "Acknowledge",
                action="alerts.ack",
                about=alert.id,
                tone="main",
                hint="Somebody is at it; that it becomes worse or is over is still told.",
            )
        )
    shown += [
        button(
            f"Snooze {count(days, 'day')}",
            action="alerts.snooze",
            about=f"{alert.id} {days}",
            hint="Hear no more of it until then; that it became worse is told when it wakes.",
        )
        for days in SNOOZES
    ]
    shown.append(
        button(
            "Resolve",
            action="alerts.resolve",
            about=alert.id,
            tone="danger",
            confirm=f"Resolve alert {alert.id} for good? Nothing more is told of this cause until "
            "it is over and comes back.",
            hint="Close it for good; who was told of it is told so.",
        )
    )
    return html.Div(shown, className="buttons")


def _told(facts: OneAlert) -> Component:
    alert = facts.alert
    pictures = [
        html.A(
            html.Img(src=image_address(each), alt=f"Image {each}", className="picture"),
            href=image_address(each),
            target="_blank",
            rel="noopener",
        )
        for each in alert.images
    ]
    return html.Div(
        [
            html.P(alert.body, className="alert-body"),
            html.Div(pictures, className="strip") if pictures else None,
        ]
    )


def _evidence(facts: OneAlert) -> Component:
    why = facts.alert.evidence
    sentences = [str(each) for each in why.get("sentences") or []]
    numbers = _numbers(facts)
    if not numbers and not sentences:
        text = "This alert is about no class: no detector raised it, and it rests on no counts."
        return parts.panel("Evidence", parts.empty(text))
    body = [
        pairs.table(numbers, "evidence-numbers") if numbers else None,
        html.Ul([html.Li(each) for each in sentences], className="reasons") if sentences else None,
    ]
    hint = (
        "An alarm is raised when the evidence (an e-value) reaches the threshold that the alarm "
        "budget sets."
    )
    csv = pairs.link(numbers, "evidence-numbers", of="Evidence") if numbers else None
    side = html.Div([_class_link(facts), csv], className="side")
    return parts.panel("Evidence", body, hint=hint if facts.flag else "", side=side)


def _class_link(facts: OneAlert) -> Component:
    label = facts.alert.label
    if label is None:
        return None
    return dcc.Link("The class's page", href=class_address(label), className="button")


def _numbers(facts: OneAlert) -> list[tuple[str, Component]]:
    flag, alert, today = facts.flag, facts.alert, facts.now.date()
    if flag is None:
        return []
    closed = day_text(flag.closed_on, today=today) if flag.closed_on else "no"
    rows: list[tuple[str, Component]] = [
        ("Class", html.Bdi(flag.label)),
        ("Version", flag.version),
        ("Weak since", day_text(flag.since, today=today)),
        ("Alarm", f"{day_text(flag.raised_on, today=today)}, evidence "
         f"{evidence_text(flag.evidence)} of {evidence_text(flag.threshold)}"),
        ("Largest evidence since", evidence_text(alert.peak)),
        ("How sure", f"{sure_text(alert.certainty or 0.0)}, if each class falls once a year"),
        ("Recovery shown", closed),
    ]  # fmt: skip
    rows += [
        (
            "Told" if place == 0 else "Told that it is worse",
            f"{told.correct} of {told.n} right ({percent(told.correct / told.n)}), "
            f"{day_text(told.since, today=today)} to {day_text(told.until, today=today)}",
        )
        for place, told in enumerate(alert.was_told())
        if told.n
    ]
    return [*rows, *_why(alert.evidence)]


def _why(why: Mapping[str, Any]) -> list[tuple[str, Component]]:
    rows: list[tuple[str, Component]] = []
    if why.get("cause"):
        rows.append(("Cause", str(why["cause"])))
    confused: Mapping[str, Any] = why.get("confused") or {}
    if confused.get("label"):
        said = f", {confused.get('times', 0)} of {confused.get('images', 0)} images"
        rows.append(("Mistaken for", [html.Bdi(str(confused["label"])), said]))
    if why.get("retraining_refused"):
        rows.append(("Retraining", str(why["retraining_refused"])))
    return rows


def _done(facts: OneAlert) -> Component:
    today = facts.now.date()
    events: list[tuple[Any, Component]] = [
        (
            each.at,
            [
                f"{_DEEDS.get(each.action, each.action)} by ",
                html.Bdi(each.by),
                *_until(each, today),
            ],
        )
        for each in facts.deeds
    ]
    for job in facts.jobs:
        link = dcc.Link(f"job {job.job}", href=f"/training?job={job.job}")
        events.append((job.requested_at, ["A retraining was asked for: ", link]))
        if job.finished_at is not None:
            made = f", {job.challenger}" if job.challenger else ""
            ended = f"The retraining ended: {job.status}{made}, "
            events.append((job.finished_at, [ended, link]))
    if not events:
        return parts.panel("What was done", parts.empty("Nothing is written down of it."))
    events.sort(key=lambda each: each[0], reverse=True)
    items = [
        html.Li(
            [
                html.Span(shown(at, today=today), className="when"),
                html.Span(said),
            ],
        )
        for at, said in events
    ]
    return parts.panel(
        "What was done",
        html.Ul(items, className="deeds"),
        hint=_DONE_HINT,
        side=_file(DEEDS_CSV, facts, "What was done"),
    )


def _file(path: str, facts: OneAlert, of: str) -> Component:
    view = AlertsView(alert=facts.alert.id)
    return exports.link(file_address(path, view), path.rpartition("/")[2].replace(".", "-"), of=of)


_DEEDS = {
    "raise alert": "Raised",
    "acknowledge alert": "Acknowledged",
    "snooze alert": "Snoozed",
    "wake alert": "Woken",
    "resolve alert": "Resolved",
}


def _until(deed: Deed, today: date) -> list[Component]:
    until = str(deed.detail.get("until") or "")
    return [" until ", shown(datetime.fromisoformat(until), today=today)] if until else []


def _deliveries(facts: OneAlert) -> Component:
    if not facts.deliveries:
        text = "No message tells of it: no channel hears of it, or sent ones were forgotten since."
        return parts.panel("Messages", parts.empty(text))
    rows = [_delivery(each, facts) for each in facts.deliveries]
    table = html.Table([_HEAD, html.Tbody(rows)], className="table", id="deliveries")
    return parts.panel(
        "Messages",
        parts.scrolling(table, "Messages"),
        hint=_DELIVERIES_HINT,
        side=_file(DELIVERIES_CSV, facts, "Messages"),
    )


_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Channel"),
            html.Th("State"),
            html.Th("Attempts", className="number"),
            html.Th("When"),
            html.Th("Message", className="medium"),
        ]
    )
)


def _delivery(each: Delivery, facts: OneAlert) -> Component:
    today = facts.now.date()
    when = {"sent": each.sent_at, "dead": None}.get(each.state, each.due_at)
    channel = [
        html.Span(each.channel, className="strong"),
        html.Span(
            facts.channels.get(each.channel, "no such channel any more"),
            className="detail block",
        ),
    ]
    if each.last_error:
        channel.append(html.Span(f"Last attempt: {each.last_error}", className="detail block"))
    return html.Tr(
        [
            html.Td(channel),
            html.Td(parts.badge(each.state)),
            html.Td(f"{each.attempts:,}", className="number"),
            html.Td(shown(when, today=today) if when else "given up", className="when"),
            html.Td(html.Bdi(str(each.message.get("title", ""))), className="said medium"),
        ]
    )
