"""The comparison of two versions as a file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from core.errors import ForbiddenError, NotFoundError, StoreError
from core.store.database import transaction
from dashboard.door import caller
from dashboard.pages.models import facts
from dashboard.pages.models.view import CSV, models_view
from dashboard.parts.exports import as_csv

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dashboard.page import House
    from dashboard.pages.models.comparing import Comparison

_log = logging.getLogger(__name__)


def blueprint(house: House) -> Blueprint:
    """Return the route `/models/compare.csv?a=<version>&b=<version>`."""
    routes = Blueprint("models", __name__)

    @routes.get(CSV)
    def compared() -> tuple[Response, int] | Response:
        try:
            caller.current().require("read")
            found = _found(house.engine, request.query_string.decode("ascii", "replace"))
        except ForbiddenError as error:
            return jsonify({"status": "forbidden", "detail": str(error)}), 403
        except NotFoundError as error:
            return jsonify({"status": "gone", "detail": str(error)}), 404
        except StoreError as error:
            _log.warning("the versions cannot be compared: %s", error)
            return jsonify({"status": "away", "detail": "the versions cannot be read"}), 503
        response = Response(_table(found), mimetype="text/csv")
        response.headers["Content-Disposition"] = "attachment; filename=compare.csv"
        return response

    return routes


def _found(engine: Engine, search: str) -> Comparison:
    """Return the two versions that a query names.

    Raises:
        NotFoundError: One of them is not registered.
        StoreError: Postgres is away.
    """
    view = models_view(search)
    with transaction(engine) as connection:
        found = facts.two(connection, view.a, view.b) if view.a and view.b else None
    if found is None:
        raise NotFoundError("name two registered versions: ?a=v1&b=v2")
    return found


def _table(found: Comparison) -> str:
    rows = [
        [row.label or "(all images)", row.n, row.a, row.b, row.difference, row.low, row.high]
        for row in [*([found.whole] if found.whole else []), *found.rows]
    ]
    columns = ["class", "images", found.a, found.b, "difference", "low", "high"]
    return as_csv(columns, rows)
