"""The tables of these pages as files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from core.errors import NotFoundError, StoreError
from core.store.database import transaction
from dashboard.address import days_of
from dashboard.door import caller
from dashboard.pages.health import class_files, class_table, gather
from dashboard.pages.health.events import listed
from dashboard.pages.health.view import (
    CLASS_CSV,
    CLASSES_CSV,
    DRIFT_CSV,
    EVENTS_CSV,
    WRONG_CSV,
    label_and_days,
    table_view,
)
from dashboard.parts.exports import csv_file
from dashboard.parts.saying import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboard.page import House
    from dashboard.pages.health.facts import OneClass, Overview

_log = logging.getLogger(__name__)

Answer = tuple[Response, int] | Response
Table = tuple[str, tuple[str, ...], list[list[Any]]]


def blueprint(house: House) -> Blueprint:
    """Return the routes of `dashboard.pages.health.view`; all of them need the scope `read`."""
    routes = Blueprint("health", __name__)

    def of_overview(made: Callable[[Overview], Table]) -> Callable[[], Answer]:
        def answer() -> Table:
            with transaction(house.engine) as connection:
                days = days_of(_query(), house.days)
                return made(gather.overview(connection, days=days, now=house.clock.now()))

        return lambda: _file(answer)

    def of_class(made: Callable[[OneClass], Table]) -> Callable[[], Answer]:
        def answer() -> Table:
            label, days = label_and_days(_query(), house.days)
            with transaction(house.engine) as connection:
                found = gather.one_class(connection, label, days=days, now=house.clock.now())
            if found is None:
                raise NotFoundError("no version that has been examined knows this class")
            return made(found)

        return lambda: _file(answer)

    routes.add_url_rule(CLASSES_CSV, "classes", of_overview(_classes))
    routes.add_url_rule(EVENTS_CSV, "events", of_overview(_events))
    routes.add_url_rule(CLASS_CSV, "class", of_class(class_files.days))
    routes.add_url_rule(WRONG_CSV, "wrong", of_class(class_files.wrong))
    routes.add_url_rule(DRIFT_CSV, "drift", of_class(class_files.drift))
    return routes


def _file(made: Callable[[], Table]) -> Answer:
    caller.current().require("read")
    try:
        return csv_file(*made())
    except NotFoundError as error:
        return jsonify({"status": "gone", "detail": str(error)}), 404
    except StoreError as error:
        _log.warning("a table cannot be read: %s", error)
        return jsonify({"status": "away", "detail": "the database does not answer"}), 503


def _query() -> str:
    return request.query_string.decode("ascii", "replace")


def _classes(facts: Overview) -> Table:
    chosen = table_view(_query()).chosen(facts.classes)
    return "classes.csv", class_table.CSV_COLUMNS, class_table.csv_rows(facts, chosen)


def _events(facts: Overview) -> Table:
    rows: list[list[Any]] = [
        [each.day.isoformat(), each.at.isoformat(), each.kind, plain(each.title), each.detail]
        for each in listed(facts.events)
        if facts.range.holds(each.day)
    ]
    return "events.csv", ("day", "at", "kind", "what", "detail"), rows
