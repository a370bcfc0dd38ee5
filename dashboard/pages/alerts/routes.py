"""The tables of the alerts' pages as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

from core.errors import NotFoundError
from core.rule_setting import difference
from core.store import alert_lines, alert_rules, alerts
from dashboard.pages.alerts import facts
from dashboard.pages.alerts.view import CSV, DEEDS_CSV, DELIVERIES_CSV, RULES_CSV, alerts_view
from dashboard.parts.exports import Sheet, serve

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.alerts import Alert
    from core.store.outbox import Delivery
    from dashboard.page import House

_MOST = 10_000
_COLUMNS = (
    "alert", "kind", "state", "class", "version", "raised_at", "weak_since", "title",
    "evidence", "mistaken_for", "snoozed_until", "resolved_at",
)  # fmt: skip


def blueprint(house: House) -> Blueprint:
    """Return the routes of the files that `dashboard.pages.alerts.view` names."""
    routes = Blueprint("alerts", __name__)
    for address, made in (
        (CSV, _alerts),
        (DELIVERIES_CSV, _deliveries),
        (DEEDS_CSV, _deeds),
        (RULES_CSV, _rules),
    ):
        serve(routes, house.engine, address, made)
    return routes


def _alerts(connection: Connection, query: str) -> Sheet:
    view = alerts_view(query)
    found = alerts.latest(connection, _MOST, label=view.label, state=view.state)
    return Sheet("alerts.csv", _COLUMNS, map(_row, found))


def _row(alert: Alert) -> list[object]:
    return [
        alert.id,
        alert.kind,
        alert.state,
        alert.label,
        alert.version,
        alert.at,
        alert.since,
        alert.title,
        alert.peak if alert.flag is not None else None,
        alert.confused_with,
        alert.snoozed_until,
        alert.resolved_at,
    ]


def _deliveries(connection: Connection, query: str) -> Sheet:
    alert = _named(connection, query)
    current = alert_rules.latest(connection)
    shown = facts.channels(current)
    columns = (
        "message", "channel", "address", "state", "attempts", "put_in_at", "due_at", "sent_at",
        "last_error", "title",
    )  # fmt: skip

    def row(each: Delivery) -> list[object]:
        return [
            each.id,
            each.channel,
            shown.get(each.channel),
            each.state,
            each.attempts,
            each.created_at,
            each.due_at,
            each.sent_at,
            each.last_error,
            str(each.message.get("title", "")),
        ]

    found = alert_lines.deliveries(connection, alert.id, _MOST)
    return Sheet("messages.csv", columns, map(row, found))


def _deeds(connection: Connection, query: str) -> Sheet:
    """Return what was done about an alert, the retrainings that its flag asked for among it."""
    alert = _named(connection, query)
    rows: list[list[object]] = [
        [each.at, each.action, each.by, None, each.detail.get("until")]
        for each in alert_lines.deeds(connection, alert.id, _MOST)
    ]
    jobs = [] if alert.flag is None else alert_lines.follow_ups(connection, alert.flag, _MOST)
    for job in jobs:
        rows.append([job.requested_at, "ask for retraining", None, job.job, None])
        if job.finished_at is not None:
            rows.append([job.finished_at, f"retraining {job.status}", None, job.job, None])
    rows.sort(key=lambda row: str(row[0]), reverse=True)
    return Sheet("deeds.csv", ("at", "what", "by", "job", "until"), rows)


def _rules(connection: Connection, _query: str) -> Sheet:
    """Return the versions of the rules, the newest first, each with what it changed."""
    history = alert_rules.history(connection, _MOST)
    older = {each.version: each.rules for each in history}
    rows = [
        [
            each.version,
            each.by,
            each.at,
            each.note,
            "\n".join(difference(older[each.version - 1], each.rules))
            if each.version - 1 in older
            else None,
        ]
        for each in history
    ]
    return Sheet("rules.csv", ("version", "set_by", "set_at", "why", "what_differs"), rows)


def _named(connection: Connection, query: str) -> Alert:
    """Return the alert that a query names.

    Raises:
        NotFoundError: It names none, or there is none of that number.
    """
    number = alerts_view(query).alert
    found = None if number is None else alerts.get(connection, number)
    if found is None:
        raise NotFoundError("there is no such alert: ?alert=12 names one")
    return found
