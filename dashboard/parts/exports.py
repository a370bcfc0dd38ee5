"""Tables as files: CSV in which no cell is a formula to a spreadsheet program.

Every room's tables leave through here, so that none forgets it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dash import html
from flask import Response

from core.catalog.spreadsheet import neutralise, write_rows
from dashboard.parts.components import attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return a table as CSV.

    None is an empty cell, a text stands as it is, and everything else as JSON has it.

    Example:
        >>> as_csv(["class", "n"], [["=1+1", None]])
        "class,n\n'=1+1,\n"
    """
    return write_rows(
        [neutralise(column) for column in columns], ([cell(each) for each in row] for row in rows)
    )


def cell(value: Any) -> str:
    """Return a value as it stands in a cell, before formulas are neutralised."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Return a table as the answer of a route, to be kept as the file `name`."""
    response = Response(as_csv(columns, rows), mimetype="text/csv")
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    return response


def link(address: str, name: str = "csv") -> Any:
    """Return the link to a table as a file; `name` is its id on the page."""
    return html.A(
        "CSV",
        href=address,
        id=name,
        className="export",
        title="This table as a file",
        **attributes({"aria-label": "This table as CSV"}),
    )
