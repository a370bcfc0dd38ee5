"""The chart of the overview: accuracy by class and day, and the events underneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.shown.happenings import listed
from dashboard.address import class_address
from dashboard.pages.health.cells import cells
from dashboard.parts.drawing import (
    BLUE,
    GREY,
    ORANGE,
    Figure,
    day_axis,
    escaped,
    layout,
    names_px,
    row_axis,
    tick,
)
from dashboard.parts.saying import plain
from dashboard.parts.wording import day_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.shown.happenings import Events
    from dashboard.pages.health.cells import Cells
    from dashboard.pages.health.facts import ClassReading, Overview
    from dashboard.parts.days import Range

# Blue is right, orange is wrong: told apart by every kind of colour vision, in print, and by
# lightness alone. The turn lies where a class of a good model would be weak.
ACCURACY_COLOURS = [
    [0.0, "#a63603"],
    [0.4, "#e6741c"],
    [0.7, "#fdbb78"],
    [0.82, "#e9e4da"],
    [0.9, "#a9cbe6"],
    [1.0, "#3d7fc4"],
]

_ROW_PX = 28
_LANE_PX = 24
_TOP_PX, _BOTTOM_PX = 8, 34

_LANES = {"deployment": 3, "alert": 2, "recovery": 2, "retraining": 1, "failure": 0, "missed": 0}
_LANE_NAMES = ["runs", "retrainings", "alerts", "deployments"]
# Narrower columns have no room for numbers.
_MOST_NAMED = 31
_SYMBOLS: dict[str, tuple[str, str]] = {
    "deployment": ("diamond", BLUE),
    "alert": ("triangle-up", ORANGE),
    "recovery": ("circle-open", BLUE),
    "retraining": ("square", GREY),
    "failure": ("x", ORANGE),
    "missed": ("x-open", ORANGE),
}


def matrix(facts: Overview, classes: Sequence[ClassReading]) -> Figure:
    """Return accuracy by class and day, the worst class on top, with the events underneath.

    Where the classes have weeks in place of days, a column is one of these.

    Args:
        facts: The overview.
        classes: Those of its classes that are shown, the worst first.
    """
    drawn = cells(facts, classes)
    named = len(drawn.x) <= _MOST_NAMED
    heat = {
        "type": "heatmap",
        "x": drawn.x,
        "y": list(range(len(classes))),
        "z": drawn.accuracy,
        "zmin": 0,
        "zmax": 1,
        "text": drawn.shown,
        "texttemplate": "%{text}" if named else "",
        "textfont": {"size": 11},
        "hovertext": drawn.hover,
        "hoverinfo": "text",
        "hoverongaps": False,
        "xgap": 2,
        "ygap": 2,
        "colorscale": ACCURACY_COLOURS,
        "showscale": False,
        "customdata": [[class_address(reading.label)] * len(drawn.x) for reading in classes],
    }
    traces = [heat, _hatched(drawn, named=named), *_lane(facts.events, facts.range)]
    return _matrix_layout(facts, classes, traces)


def _hatched(drawn: Cells, *, named: bool) -> dict[str, Any]:
    """Return the signs of the cells of too few images."""
    return {
        "type": "scatter",
        "mode": "markers+text" if named else "markers",
        "text": [number for *_, number in drawn.sparse],
        "textposition": "middle center",
        "textfont": {"size": 10, "color": GREY},
        "x": [day for day, *_ in drawn.sparse],
        "y": [row for _, row, *_ in drawn.sparse],
        "hovertext": [text for _, _, text, _ in drawn.sparse],
        "hoverinfo": "text",
        "marker": {
            "symbol": "line-ne-open",
            "size": 9,
            "color": GREY,
            "line": {"width": 1.5, "color": GREY},
        },
    }


def _matrix_layout(
    facts: Overview, classes: Sequence[ClassReading], traces: list[dict[str, Any]]
) -> Figure:
    rows, lanes = _ROW_PX * len(classes), _LANE_PX * len(_LANE_NAMES)
    inner = rows + lanes + 12
    drawn = layout(inner + _TOP_PX + _BOTTOM_PX)
    names = [tick(reading.label) for reading in classes]
    left = names_px([*names, *_LANE_NAMES])
    drawn["margin"] = {"l": left, "r": 22, "t": _TOP_PX, "b": _BOTTOM_PX}
    drawn["xaxis"] |= day_axis(facts.range) | {"showgrid": False, "anchor": "y2"}
    drawn["yaxis"] |= row_axis(names) | {"domain": [1 - rows / inner, 1]}
    drawn["yaxis2"] = drawn["yaxis"] | {
        "domain": [0, lanes / inner],
        "range": [-0.5, len(_LANE_NAMES) - 0.5],
        "tickvals": list(range(len(_LANE_NAMES))),
        "ticktext": _LANE_NAMES,
        "showgrid": True,
    }
    return {"data": traces, "layout": drawn}


def _lane(happened: Events, span: Range) -> list[dict[str, Any]]:
    """Return the events as traces on the second y axis, and open flags as bars underneath."""
    bars: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": [],
        "y": [],
        "yaxis": "y2",
        "hoverinfo": "skip",
        "line": {"width": 6, "color": ORANGE},
        "opacity": 0.35,
    }
    for flag in filter(span.touches, happened.flags):
        begin, end = max(flag.since, span.first), min(flag.closed_on or span.last, span.last)
        bars["x"] += [begin.isoformat(), end.isoformat(), None]
        bars["y"] += [_LANES["alert"], _LANES["alert"], None]
    events = [event for event in listed(happened) if span.holds(event.day)]
    marks = {
        "type": "scatter",
        "mode": "markers",
        "x": [event.day.isoformat() for event in events],
        "y": [_LANES[event.kind] for event in events],
        "yaxis": "y2",
        "hovertext": [
            f"{day_text(event.day, today=span.last)}: {escaped(plain(event.title))}"
            for event in events
        ],
        "hoverinfo": "text",
        "marker": {
            "size": 11,
            "symbol": [_SYMBOLS[event.kind][0] for event in events],
            "color": [_SYMBOLS[event.kind][1] for event in events],
        },
    }
    return [bars, marks]
