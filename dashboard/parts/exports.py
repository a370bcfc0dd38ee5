"""Tables as files: CSV in which no cell is a formula to a spreadsheet program.

Every room's tables leave through here, so that none forgets it, or who may read.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dash import html
from flask import Blueprint, Response, request

from core.catalog.spreadsheet import neutralise
from core.store.database import transaction
from dashboard.door import caller
from dashboard.parts.components import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as it leaves the dashboard.

    Attributes:
        name: Of the file.
        columns: Names of the columns.
        rows: A cell for each of them; see `cell`.
    """

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def serve(
    routes: Blueprint, engine: Engine, address: str, made: Callable[[Connection, str], Sheet]
) -> None:
    """Answer an address with a table as a file, to whoever may read.

    Args:
        routes: Where the address is added.
        engine: The database.
        address: The address.
        made: Makes the table, given a connection and the query. An error of ours that it raises
            is answered as such, as on every route.
    """

    def answer() -> Response:
        caller.current().require("read")
        with transaction(engine) as connection:
            return csv_file(made(connection, request.query_string.decode("ascii", "replace")))

    # The name of an endpoint has neither dots nor slashes.
    name = address.partition(".")[0].strip("/").replace("/", "-")
    routes.add_url_rule(address, f"{name}-file", answer)


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return a table as CSV.

    None is an empty cell, a text stands as it is, days and moments as ISO 8601 writes them, and
    everything else as JSON has it.

    Example:
        >>> as_csv(["class", "points"], [["=1+1", -0.5]])
        "class,points\n'=1+1,-0.5\n"
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(neutralise, columns))
    writer.writerows(map(_safe, row) for row in rows)
    return text.getvalue()


def _safe(value: Any) -> str:
    """Return a value as a cell that is no formula; a number is none, also one below nought."""
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    return cell(value) if is_number else neutralise(cell(value))


def cell(value: Any) -> str:
    """Return a value as it stands in a cell, before formulas are neutralised."""
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def csv_file(sheet: Sheet) -> Response:
    """Return a table as the answer of a route, to be kept as a file."""
    response = Response(as_csv(sheet.columns, sheet.rows), mimetype="text/csv")
    response.headers["Content-Disposition"] = f"attachment; filename={sheet.name}"
    return response


def link(address: str, name: str = "csv", *, of: str = "") -> Any:
    """Return the link to a table as a file.

    Args:
        address: Where it is had.
        name: Its id on the page.
        of: What the table is called, where a page has more than one.
    """
    return html.A(
        "CSV",
        href=address,
        id=name,
        className="export",
        title="This table as a file",
        **attributes({"aria-label": f"{of} as CSV" if of else "This table as CSV"}),
    )


def enclosed(sheet: Sheet, name: str, *, of: str = "") -> Any:
    """Return the link to a table that no address names: it carries the file in itself.

    Args:
        sheet: The table; a short one.
        name: Its id on the page.
        of: What the table is called, where a page has more than one.
    """
    address = "data:text/csv;charset=utf-8," + quote(as_csv(sheet.columns, sheet.rows))
    found = link(address, name, of=of)
    found.download = sheet.name
    return found
