"""A table of any length: sorted, filtered and searched in the browser, drawn only where it is seen.

AG Grid in its free edition. No cell is a component of Dash and no column carries code: how a cell
looks is a renderer of our own in assets/, named here, so the policy on scripts stays as strict as
it is. Texts are shown letter by letter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash_ag_grid as dag

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW_PX = 44
HEAD_PX = 40

_MOST_VISIBLE = 14


def grid(name: str, columns: Sequence[dict[str, Any]], *, expected: int) -> Any:
    """Return a table without its rows, which the script that serves it fetches.

    Args:
        name: Its id on the page; the script knows it by that.
        columns: AG Grid's column definitions: `field`, `headerName`, and what else differs from
            the defaults; `cellRenderer` names a function in `dashAgGridComponentFunctions`.
        expected: How many rows there will be, so that the page does not jump when they come.
    """
    visible = min(expected, _MOST_VISIBLE)
    height = HEAD_PX + ROW_PX * visible + 4
    return dag.AgGrid(
        id=name,
        columnDefs=list(columns),
        defaultColDef={
            "resizable": True,
            "sortable": True,
            "suppressMovable": True,
            "suppressHeaderMenuButton": True,
            "sortingOrder": ["desc", "asc", None],
        },
        columnSize="responsiveSizeToFit",
        dashGridOptions={
            "rowHeight": ROW_PX,
            "headerHeight": HEAD_PX,
            "animateRows": False,
            "suppressCellFocus": False,
            "enableCellTextSelection": True,
            "ensureDomOrder": True,
            "multiSortKey": "ctrl",
            "tooltipShowDelay": 300,
            "localeText": {"noRowsToShow": "No row fits.", "loadingOoo": "Loading…"},
        },
        className="ag-theme-quartz grid",
        style={"height": f"{height}px"},
    )


def number_column(field: str, title: str, **more: Any) -> dict[str, Any]:
    """Return a column of numbers: to the right, filtered by size."""
    return {
        "field": field,
        "headerName": title,
        "filter": "agNumberColumnFilter",
        "type": "rightAligned",
        **more,
    }
