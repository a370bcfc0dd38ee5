"""Facts of one thing, a name and a value a row: as a table, and the same as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import html

from dashboard.parts import exports
from dashboard.parts.exports import Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    Component = Any
    Row = tuple[str, Component]


def table(rows: Sequence[Row], name: str) -> Component:
    """Return facts as a table.

    Args:
        rows: Of each its name, and its value as the page shows it.
        name: Id of the table on the page.
    """
    return html.Table(
        html.Tbody([html.Tr([html.Th(head), html.Td(value)]) for head, value in rows]),
        className="table pairs",
        id=name,
    )


def link(rows: Sequence[Row], name: str, *, of: str) -> Component:
    """Return the link to the same facts as a file, which it carries in itself.

    Args:
        rows: As `table` has them.
        name: Id of the table on the page; the file is named after it.
        of: What the table is called.
    """
    sheet = Sheet(f"{name}.csv", ("name", "value"), [(head, words(value)) for head, value in rows])
    return exports.enclosed(sheet, f"{name}-csv", of=of)


def words(shown: Component) -> str:
    """Return what a component says, as text; a moment as ISO 8601 writes it."""
    if shown is None:
        return ""
    if isinstance(shown, (list, tuple)):
        return "".join(map(words, shown))
    moment = getattr(shown, "dateTime", None)
    if moment is not None:
        return str(moment)
    return words(shown.children) if hasattr(shown, "to_plotly_json") else str(shown)
