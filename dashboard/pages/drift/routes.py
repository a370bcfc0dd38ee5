"""The files of the drift page: its tables, and Evidently's reports as they lie on the disk.

Reports are pages of somebody else's with scripts in them. So one is served into a sandbox: it
may run its scripts and nothing more, has no origin, no session, and no way out of the machine.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify

from core.errors import NotFoundError, StoreError
from core.store import drift
from core.store.database import transaction
from dashboard.door.caller import current
from dashboard.pages.drift import files
from dashboard.pages.drift.view import REPORTS, day_of

if TYPE_CHECKING:
    from pathlib import Path

    from dashboard.page import House

_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

_log = logging.getLogger(__name__)


def blueprint(house: House) -> Blueprint:
    """Return the route `/drift/reports/<day>/<version>`, and those of the tables."""
    routes = Blueprint("drift", __name__)
    files.add(routes, house)

    @routes.get(f"{REPORTS}/<day>/<version>")
    def report(day: str, version: str) -> tuple[Response, int] | Response:
        current().require("read")
        try:
            return _shown(_found(house, day, version))
        except (NotFoundError, OSError) as error:
            _log.info("the report %s/%s cannot be shown: %s", day, version, error)
            said = "this report is not kept, or was never made"
            return jsonify({"status": "gone", "detail": said}), 404
        except StoreError as error:
            _log.warning("the report of %s cannot be looked up: %s", day, error)
            return jsonify({"status": "away", "detail": "the database does not answer"}), 503

    return routes


def _found(house: House, day: str, version: str) -> Path:
    """Return the file of a report that a verdict names, and that lies where reports do.

    Raises:
        NotFoundError: No verdict of that day and version names one, or it lies elsewhere.
        StoreError: Postgres is away.
    """
    asked = day_of(day)
    if asked is None or "\0" in version:
        raise NotFoundError("that is no day, or no version")
    with transaction(house.engine) as connection:
        checks = drift.of_day(connection, asked, version)
    named = next((each.report for each in checks if each.report), None)
    if named is None:
        raise NotFoundError("no verdict names a report")
    folder = (house.home / "reports").resolve()
    path = (folder / named).resolve()
    if not path.is_relative_to(folder) or path.suffix != ".html" or not path.is_file():
        raise NotFoundError("it does not lie where reports do")
    return path


def _shown(path: Path) -> Response:
    response = Response(path.read_bytes(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    # A page without an origin cannot share a group of windows: it would not be shown at all.
    response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return response
