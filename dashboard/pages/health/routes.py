"""The tables of these pages as files, and the rows of the table of all classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from core.errors import NotFoundError
from core.shown import happenings
from core.store.database import transaction
from core.store.event_places import Asked
from dashboard.address import days_of
from dashboard.door import caller
from dashboard.pages.health import class_files, class_table, gather, once
from dashboard.pages.health.view import (
    CLASS_CSV,
    CLASSES_CSV,
    CLASSES_JSON,
    CONFUSIONS_CSV,
    DRIFT_CSV,
    EVENTS_CSV,
    WEEKS_CSV,
    WRONG_CSV,
    label_and_days,
    table_view,
)
from dashboard.parts.exports import Sheet, serve
from dashboard.parts.saying import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from core.shown.happenings import Event
    from dashboard.page import House
    from dashboard.pages.health.facts import OneClass


def blueprint(house: House) -> Blueprint:
    """Return the routes of `dashboard.pages.health.view`; all of them need the scope `read`."""
    routes = Blueprint("health", __name__)

    def events(connection: Connection, query: str) -> Sheet:
        days, now = days_of(query, house.days), house.clock.now()
        span = gather.overview(connection, days=days, now=now).range
        return _events(happenings.every(connection, Asked(*span.ends), now=now))

    def of_class(address: str, made: Callable[[OneClass], Sheet]) -> None:
        def sheet(connection: Connection, query: str) -> Sheet:
            label, days = label_and_days(query, house.days)
            found = gather.one_class(connection, label, days=days, now=house.clock.now())
            if found is None:
                raise NotFoundError("no version that has been examined knows this class")
            return made(found)

        serve(routes, house.engine, address, sheet)

    @routes.get(CLASSES_JSON)
    def rows() -> Response:
        caller.current().require("read")
        with transaction(house.engine) as connection:
            return Response(once.rows(connection), mimetype="application/json")

    serve(routes, house.engine, CLASSES_CSV, _classes)
    serve(routes, house.engine, EVENTS_CSV, events)
    of_class(CLASS_CSV, class_files.days)
    of_class(WEEKS_CSV, class_files.weeks)
    of_class(CONFUSIONS_CSV, class_files.mistaken_for)
    of_class(WRONG_CSV, class_files.wrong)
    of_class(DRIFT_CSV, class_files.drift)
    return routes


def _classes(connection: Connection, query: str) -> Sheet:
    table = once.table(connection)
    rows = class_table.csv_rows(table, table_view(query).chosen(table.classes))
    return Sheet("classes.csv", class_table.CSV_COLUMNS, rows)


def _events(happened: Iterable[Event]) -> Sheet:
    rows: list[list[Any]] = [
        [each.day, each.at, each.kind, plain(each.title), each.detail] for each in happened
    ]
    return Sheet("events.csv", ("day", "at", "kind", "what", "detail"), rows)
