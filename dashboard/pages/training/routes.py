"""The tables of the training page as files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from core.errors import NotFoundError, StoreError
from core.store import trial_lines
from core.store.database import transaction
from dashboard.pages.training.trial_table import as_csv
from dashboard.pages.training.view import TRIALS_CSV

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dashboard.page import House

_ALL = 1_000_000

_log = logging.getLogger(__name__)


def blueprint(house: House) -> Blueprint:
    """Return the route `/training/trials.csv?search=<name>`."""
    routes = Blueprint("training", __name__)

    @routes.get(TRIALS_CSV)
    def trials() -> tuple[Response, int] | Response:
        try:
            return _trials(house.engine, request.args.get("search", ""))
        except NotFoundError as error:
            return jsonify({"status": "gone", "detail": str(error)}), 404
        except StoreError as error:
            _log.warning("the trials cannot be read: %s", error)
            return jsonify({"status": "away", "detail": "the trials cannot be read"}), 503

    return routes


def _trials(engine: Engine, name: str) -> Response:
    """Return every trial of a search as CSV.

    Raises:
        NotFoundError: There is no search of that name.
        StoreError: Postgres is away.
    """
    with transaction(engine) as connection:
        known = trial_lines.names(connection)
        found = trial_lines.search(connection, name, _ALL) if known else None
    if found is None:
        raise NotFoundError("there is no search of that name")
    response = Response(as_csv(found), mimetype="text/csv")
    response.headers["Content-Disposition"] = "attachment; filename=trials.csv"
    return response
