"""The table of all classes on the overview, however many there are.

The page has the table without its rows: these have an address of their own, and are fetched when
they have changed. What a row holds is kept short, because there may be thousands of them;
assets/health.js fetches them, knows how each field looks, keeps sort, filter and search in the
address, and opens a class on Enter.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from dashboard.pages.health.view import CLASSES_CSV, STATES, csv_address, state_address
from dashboard.parts import components as parts
from dashboard.parts import exports
from dashboard.parts.components import attributes
from dashboard.parts.grid import grid, number_column
from dashboard.parts.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.store.standing import Standing
    from dashboard.pages.health.facts import ClassReading, ClassTable, Overview
    from dashboard.parts.components import Component

# The drop that the column tells of; the others stand in its tooltip.
MAIN_DROP = "15 points"

CSV_COLUMNS = (
    "class",
    "state",
    "since",
    "images",
    "right",
    "accuracy",
    "low",
    "high",
    "reference",
    "evidence",
    "threshold",
    "days_without_labels",
    "days_to_notice_5_points",
    "days_to_notice_15_points",
    "days_to_notice_35_points",
)


def table(facts: Overview, named: int | None) -> Component:
    """Return the table with what stands above it; what it says when there is nothing to show."""
    if not facts.classes:
        return parts.empty("No class has been examined yet.")
    return html.Div(
        [
            html.Div(
                [*_tabs(facts, named), html.Span(className="grow"), _search(), _csv(named)],
                className="table-tools",
            ),
            grid("classes", _COLUMNS, expected=len(facts.classes)),
            html.P(id="classes-shown", className="hint", role="status"),
        ],
        id="classes-table",
        # The rows that belong to this page; assets/health.js fetches them and takes "busy" away.
        **attributes({"data-mark": facts.mark, "aria-busy": "true"}),
    )


def rows(table: ClassTable) -> list[dict[str, Any]]:
    """Return the classes as assets/health.js takes them, in the order of urgency."""
    return [_row(table, each) for each in table.classes]


def csv_rows(table: ClassTable, chosen: list[ClassReading]) -> list[list[Any]]:
    """Return classes as CSV has them, in the order of `CSV_COLUMNS`."""
    return [_csv_row(each, table.noticed.get(each.label, {})) for each in chosen]


def _tabs(facts: Overview, named: int | None) -> list[Component]:
    """Return the groups by state with how many classes are in each, as links."""
    counted = Counter(each.standing for each in facts.classes)
    groups: list[tuple[Standing | None, str, int]] = [(None, "all", len(facts.classes))]
    groups.extend((state, state, counted[state]) for state in STATES if counted[state])
    links = [
        html.A(
            [html.Span(words), html.Span(f"{n:,}", className="state-count")],
            href=state_address(state, named),
            className="state-tab",
            **attributes({"data-state": state or ""}),
        )
        for state, words, n in groups
    ]
    return [
        html.Div(links, className="state-tabs", role="group", **attributes({"aria-label": "State"}))
    ]


def _search() -> Component:
    return dcc.Input(
        id="find",
        type="search",
        placeholder="Find a class",
        className="find",
        autoComplete="off",
        maxLength=200,
        debounce=True,
    )


def _csv(named: int | None) -> Component:
    return exports.link(csv_address(CLASSES_CSV, days=named), "classes-csv")


def _row(table: ClassTable, reading: ClassReading) -> dict[str, Any]:
    """Return a row as short as can be: fields without a value are left out."""
    state, noticed = reading.state, table.noticed.get(reading.label, {})
    row: dict[str, Any] = {
        "label": reading.label,
        "state": STATES.index(reading.standing),
        "trend": table.trends.get(reading.label),
        "days": noticed.get(MAIN_DROP),
        "all": _all_days(noticed),
    }
    if reading.n:
        row |= {
            "accuracy": round(reading.correct / reading.n, 4),
            "low": round(reading.low, 3),
            "high": round(reading.high, 3),
            "n": reading.n,
            "right": reading.correct,
        }
    if state is not None:
        row |= {
            "reference": round(state.reference, 4),
            "share": float(f"{reading.evidence_share:.3g}"),
            "evidence": float(f"{state.evidence:.3g}"),
            "threshold": round(state.threshold),
        }
    return {name: value for name, value in row.items() if value is not None}


def _all_days(noticed: Mapping[str, float | None]) -> str | None:
    """Return in how many days each drop would be noticed, as the tooltip tells it."""
    told = [
        f"{drop} in {count(round(days), 'day')}" if days is not None else f"{drop} never"
        for drop, days in noticed.items()
    ]
    return "A drop of " + ", ".join(told) if told else None


def _csv_row(reading: ClassReading, noticed: Mapping[str, float | None]) -> list[Any]:
    state = reading.state
    judged = reading.n > 0
    return [
        reading.label,
        reading.standing,
        reading.since.isoformat(),
        reading.n,
        reading.correct,
        round(reading.correct / reading.n, 6) if judged else None,
        round(reading.low, 6) if judged else None,
        round(reading.high, 6) if judged else None,
        state and round(state.reference, 6),
        state and state.evidence,
        state and state.threshold,
        state and state.days_without_labels,
        *(
            ("never" if noticed[drop] is None else noticed[drop]) if drop in noticed else None
            for drop in ("5 points", MAIN_DROP, "35 points")
        ),
    ]


_COLUMNS: list[dict[str, Any]] = [
    {
        "field": "label",
        "headerName": "Class",
        "cellRenderer": "HealthName",
        "filter": "agTextColumnFilter",
        "minWidth": 130,
        "flex": 3,
        "sortingOrder": ["asc", "desc", None],
    },
    {"field": "state", "headerName": "State", "cellRenderer": "HealthState", "width": 130},
    number_column("accuracy", "Accuracy", cellRenderer="HealthAccuracy", minWidth=110, flex=3),
    {
        "field": "trend",
        "headerName": "Last 30 days",
        "cellRenderer": "HealthTrend",
        "sortable": False,
        "width": 150,
    },
    number_column("reference", "Reference", cellRenderer="HealthShare", width=110),
    number_column("share", "Evidence", cellRenderer="HealthEvidence", minWidth=150, flex=2),
    number_column(
        "days",
        "Days to notice",
        cellRenderer="HealthDays",
        headerTooltip="Median days until a drop of 15 points would raise an alarm",
        tooltipField="all",
        width=140,
    ),
]
