"""What was said and done about a class: its alerts, its retrainings, its drift, and the buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import dcc, html

from core.shown.happenings import ending
from core.store.alert_states import TRANSITIONS
from dashboard.pages.health.gallery import picture
from dashboard.pages.inbox.view import inbox_address
from dashboard.pages.models.view import compare_address, version_address
from dashboard.parts import components as parts
from dashboard.parts import exam_numbers
from dashboard.parts.buttons import button
from dashboard.parts.moment import shown
from dashboard.parts.wording import day_text

if TYPE_CHECKING:
    from core.store.alerts import Alert
    from core.store.drift import DriftCheck
    from core.store.flags import Flag
    from core.store.jobs import Job
    from dashboard.door.caller import Caller
    from dashboard.pages.health.facts import OneClass
    from dashboard.parts.components import Component

_BUTTONS = (
    ("acknowledge", "health.ack", "Acknowledge", "Say that somebody is at it"),
    ("snooze", "health.snooze", "Snooze 7 days", "Hear no more of it for a week"),
    ("resolve", "health.resolve", "Resolve", "Close the alert for good; the flag stays open"),
)

_MOST_NOTES = 5


def deeds(facts: OneClass, caller: Caller) -> Component:
    """Return what this caller may do about the class; None where that is nothing."""
    label, may_label = facts.reading.label, caller.may("label")
    alert = _open_alert(facts)
    found = [
        button(
            text,
            action=action,
            about=alert.id,
            hint=hint,
            confirm=f"Resolve alert {alert.id} for good?" if deed == "resolve" else "",
        )
        for deed, action, text, hint in _BUTTONS
        if alert is not None and may_label and (alert.state, deed) in TRANSITIONS
    ]
    if may_label:
        found.append(dcc.Link("Label more", href=inbox_address(label), className="button"))
    if caller.may("admin"):
        question = f"Ask for a retraining aimed at {label}? It takes a worker some time."
        hint = "Ask for a retraining aimed at this class; the gate decides on what comes of it"
        found.append(
            button("Retrain", action="health.retrain", about=label, confirm=question, hint=hint)
        )
    return html.Div(found, className="acts") if found else None


def _open_alert(facts: OneClass) -> Alert | None:
    told = [facts.events.alerts.get(flag.id) for flag in facts.events.flags]
    return next((each for each in told if each is not None and each.state != "resolved"), None)


def alerts(facts: OneClass) -> Component:
    """Return every alert of the class, the newest first."""
    if not facts.events.flags:
        return parts.empty("No alert so far.")
    return html.Div(
        [_alert(flag, facts.events.alerts.get(flag.id), facts) for flag in facts.events.flags],
        className="records",
    )


def _alert(flag: Flag, alert: Alert | None, facts: OneClass) -> Component:
    today = facts.now.date()
    state = alert.state if alert else ("resolved" if flag.closed_on else "open")
    closed = f", closed {day_text(flag.closed_on, today=today)}" if flag.closed_on else ""
    images = alert.images if alert else []
    return parts.record(
        f"raised {day_text(flag.raised_on, today=today)}{closed}",
        state,
        alert.title if alert else f"weak since {flag.since}",
        alert.body if alert else None,
        html.Div([picture(image, f"Image {image}") for image in images], className="strip"),
    )


def retrainings(facts: OneClass) -> Component:
    """Return every retraining that was aimed at the class."""
    if not facts.events.jobs:
        return parts.empty("No retraining was asked for.")
    return html.Div([_retraining(job, facts) for job in facts.events.jobs], className="records")


def _retraining(job: Job, facts: OneClass) -> Component:
    today = facts.now.date()
    lines = [f"Asked for by {job.requested_by}: {job.reason}."]
    if job.status == "running" and job.progress.get("stage"):
        done, total = job.progress.get("done", 0), job.progress.get("total", 0)
        lines.append(f"Now: {job.progress['stage']}" + (f" ({done} of {total})" if total else ""))
    # What it lacked, or left out: that is what somebody can do about it.
    lines += [f"{note}." for note in (job.result or {}).get("notes", [])[:_MOST_NOTES]]
    return html.Article(
        [
            html.Div(
                [
                    html.Span(shown(job.requested_at, today=today), className="when"),
                    parts.badge(job.status),
                ],
                className="record-head",
            ),
            html.P(f"Retraining {job.id} {ending(job)}", className="strong"),
            *[html.P(line, className="body") for line in lines],
            _made(job),
            exam_numbers.table(job, facts.reading.label),
        ],
        className="record",
    )


def _made(job: Job) -> Component:
    """Return which version came of a retraining, with the way to it and to its comparison."""
    if not job.challenger:
        return None
    said: list[Component] = [
        dcc.Link(job.challenger, href=version_address(job.challenger)),
        f" was made from {job.parent or 'nothing'}.",
    ]
    if job.parent:
        compared = compare_address(job.parent, job.challenger)
        said += [" ", dcc.Link(f"Compare it with {job.parent}", href=compared)]
    return html.P(said, className="body")


def drift(facts: OneClass) -> Component:
    """Return what was checked among the predictions that bear the class's name."""
    if not facts.drift:
        return parts.empty(
            "Nothing was checked among the predictions of this class on the last checked day: "
            "too few bear its name."
        )
    head = html.Thead(
        html.Tr(
            [
                html.Th("Column"),
                html.Th("Verdict"),
                html.Th("Effect", className="number"),
                html.Th("Floor", className="number"),
                html.Th("Adjusted p", className="number medium"),
                html.Th("Predictions", className="number medium"),
            ]
        )
    )
    rows = [_check(each) for each in facts.drift]
    table = html.Table([head, html.Tbody(rows)], className="table", id="class-drift")
    return parts.scrolling(table, "Drift of this class")


def _check(check: DriftCheck) -> Component:
    return html.Tr(
        [
            html.Td(check.column, className="name"),
            html.Td(parts.badge(check.verdict)),
            html.Td(_number(check.effect), className="number"),
            html.Td(_number(check.effect_floor), className="number"),
            html.Td(
                "" if check.adjusted_p is None else f"{check.adjusted_p:.2g}",
                className="number medium",
            ),
            html.Td(f"{check.n:,}", className="number medium"),
        ]
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
