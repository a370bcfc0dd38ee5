"""The table of alerts as a file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from core.errors import ForbiddenError, StoreError
from core.store import alerts
from core.store.database import transaction
from dashboard.door import caller
from dashboard.pages.alerts.view import CSV, alerts_view
from dashboard.parts.exports import as_csv

if TYPE_CHECKING:
    from core.store.alerts import Alert
    from dashboard.page import House

_MOST = 10_000
_COLUMNS = (
    "alert", "kind", "state", "class", "version", "raised_at", "weak_since", "title",
    "evidence", "mistaken_for", "snoozed_until", "resolved_at",
)  # fmt: skip

_log = logging.getLogger(__name__)


def blueprint(house: House) -> Blueprint:
    """Return the route `/alerts/alerts.csv?state=<state>&class=<label>`."""
    routes = Blueprint("alerts", __name__)

    @routes.get(CSV)
    def table() -> tuple[Response, int] | Response:
        view = alerts_view(request.query_string.decode("ascii", "replace"))
        try:
            caller.current().require("read")
            with transaction(house.engine) as connection:
                found = alerts.latest(connection, _MOST, label=view.label, state=view.state)
        except ForbiddenError as error:
            return jsonify({"status": "forbidden", "detail": str(error)}), 403
        except StoreError as error:
            _log.warning("the alerts cannot be read: %s", error)
            return jsonify({"status": "away", "detail": "the alerts cannot be read"}), 503
        response = Response(as_csv(_COLUMNS, map(_row, found)), mimetype="text/csv")
        response.headers["Content-Disposition"] = "attachment; filename=alerts.csv"
        return response

    return routes


def _row(alert: Alert) -> list[object]:
    moments = (alert.snoozed_until, alert.resolved_at)
    return [
        alert.id,
        alert.kind,
        alert.state,
        alert.label,
        alert.version,
        alert.at.isoformat(),
        alert.since.isoformat() if alert.since else None,
        alert.title,
        alert.peak if alert.flag is not None else None,
        alert.confused_with,
        *[each.isoformat() if each else None for each in moments],
    ]
