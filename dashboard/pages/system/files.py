"""The tables of the system page as files."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flask import Blueprint

from core.shown import system
from dashboard.pages.system import packages
from dashboard.pages.system.view import LICENCES_CSV, SERVICES_CSV, STEPS_CSV, TABLES_CSV
from dashboard.parts.exports import Sheet, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from core.shown.system import System
    from dashboard.page import House


def blueprint(house: House) -> Blueprint:
    """Return the routes of the files that `dashboard.pages.system.view` names."""
    routes = Blueprint("system", __name__)

    def of_page(address: str, made: Callable[[System], Sheet]) -> None:
        def sheet(connection: Connection, _query: str) -> Sheet:
            return made(system.gather(connection, now=house.clock.now()))

        serve(routes, house.engine, address, sheet)

    of_page(SERVICES_CSV, _services)
    of_page(STEPS_CSV, _steps)
    of_page(TABLES_CSV, _tables)
    serve(routes, house.engine, LICENCES_CSV, lambda *_: packages.sheet(packages.installed()))
    return routes


def _services(found: System) -> Sheet:
    rows = [
        [each.instance, each.version, "loaded" if each.ok else "refused", each.at, each.detail,
         each.seconds]
        for each in found.loads
    ]  # fmt: skip
    columns = ("service", "version", "outcome", "at", "what_it_said", "seconds")
    return Sheet("services.csv", columns, rows)


def _steps(found: System) -> Sheet:
    rows: list[list[object]] = [
        [
            each.step,
            each.outcome,
            found.is_late(datetime.fromisoformat(each.started_at)),
            each.slot,
            each.version,
            None,
            each.started_at,
            each.seconds,
        ]
        for each in found.steps
    ]
    rows += [
        [
            each.kind,
            each.outcome,
            False,
            None,
            None,
            each.holder,
            each.started_at,
            (each.finished_at - each.started_at).total_seconds(),
        ]
        for each in found.errands
    ]
    columns = ("step", "outcome", "late", "for", "version", "by", "started_at", "seconds")
    return Sheet("steps.csv", columns, rows)


def _tables(found: System) -> Sheet:
    rows = [[each.name, each.bytes, each.rows, each.days] for each in found.tables]
    return Sheet("tables.csv", ("table", "bytes", "rows_about", "days"), rows)
