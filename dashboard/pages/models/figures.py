"""The chart of two versions: a line from one's recall to the other's, for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.parts.drawing import BLUE, GREY, ORANGE, Figure, escaped, layout, tick
from dashboard.parts.wording import percent, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.shown.comparing import Comparison, Row

MOST_DRAWN = 40

_ROW_PX = 26


def drawn_rows(found: Comparison) -> list[Row]:
    """Return the classes that are drawn: those that differ most, the largest loss first."""
    known = [row for row in found.rows if row.difference is not None]
    if len(known) <= MOST_DRAWN:
        return known
    most = sorted(known, key=lambda row: -abs(row.difference or 0.0))[:MOST_DRAWN]
    chosen = {row.label for row in most}
    return [row for row in known if row.label in chosen]


def dumbbells(found: Comparison) -> Figure:
    """Return recall of both versions by class, joined by a line; the largest loss on top."""
    rows = drawn_rows(found)
    places = list(range(len(rows)))
    joins: list[float | None] = []
    heights: list[int | None] = []
    for place, row in zip(places, rows, strict=True):
        joins += [row.a, row.b, None]
        heights += [place, place, None]
    hovers = [_hover(row, found) for row in rows]
    traces = [
        _line(joins, heights),
        _dots([row.a for row in rows], places, hovers, found.a, "circle-open", GREY),
        _dots([row.b for row in rows], places, hovers, found.b, "diamond", BLUE),
    ]
    return _figure(traces, rows, _axis(_share_range(rows), percentages=True))


def intervals(found: Comparison) -> Figure:
    """Return the difference by class with its interval; the largest loss on top."""
    rows = drawn_rows(found)
    places = list(range(len(rows)))
    ends = [(row.low or 0.0, row.difference or 0.0, row.high or 0.0) for row in rows]
    trace = _dots(
        [each[1] for each in ends],
        places,
        [_hover(row, found) for row in rows],
        found.b,
        "diamond",
        BLUE,
    )
    trace["marker"]["color"] = [ORANGE if high < 0 else BLUE for _, _, high in ends]
    trace["error_x"] = {
        "type": "data",
        "symmetric": False,
        "array": [high - middle for _, middle, high in ends],
        "arrayminus": [middle - low for low, middle, _ in ends],
        "color": GREY,
        "thickness": 1.5,
        "width": 3,
    }
    lowest, highest = min(low for low, _, _ in ends), max(high for _, _, high in ends)
    axis = _axis([min(lowest, 0) - 0.03, max(highest, 0) + 0.03], percentages=False)
    figure = _figure([trace], rows, axis)
    figure["layout"]["shapes"] = [
        {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
         "line": {"color": GREY, "width": 1, "dash": "dot"}}
    ]  # fmt: skip
    return figure


def _line(x: list[float | None], y: list[int | None]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": GREY, "width": 2},
        "hoverinfo": "skip",
    }


def _dots(
    x: Sequence[float | None],
    y: Sequence[int],
    hovers: list[str],
    name: str,
    symbol: str,
    colour: str,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escaped(name),
        "x": list(x),
        "y": list(y),
        "text": hovers,
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2}},
    }


def _hover(row: Row, found: Comparison) -> str:
    lines = [f"<b>{escaped(row.label or 'all images')}</b>"]
    for version, recall in ((found.a, row.a), (found.b, row.b)):
        if recall is not None:
            lines.append(f"{escaped(version)}: {percent(recall)}")
    if row.difference is not None:
        lines.append(f"{points(row.difference)} points")
    if row.low is not None and row.high is not None:
        lines.append(f"95 % interval {points(row.low)} to {points(row.high)}")
    if row.n is not None:
        lines.append(f"{row.n:,} images")
    return "<br>".join(lines)


def _share_range(rows: Sequence[Row]) -> list[float]:
    known = [each for row in rows for each in (row.a, row.b) if each is not None]
    lowest = min(known, default=0.0)
    return [max(lowest - 0.05, -0.02), 1.02]


def _axis(span: list[float], *, percentages: bool) -> dict[str, Any]:
    suffix = {"tickformat": ".0%"} if percentages else {"tickformat": "+.0%"}
    return {"range": span, "nticks": 6, **suffix}


def _figure(traces: list[dict[str, Any]], rows: Sequence[Row], axis: dict[str, Any]) -> Figure:
    shape = layout(56 + _ROW_PX * max(len(rows), 2))
    shape["margin"] = {"l": 120, "r": 22, "t": 8, "b": 34}
    shape["xaxis"] |= axis
    shape["yaxis"] |= {
        "tickvals": list(range(len(rows))),
        "ticktext": [tick(row.label or "all images") for row in rows],
        "range": [len(rows) - 0.5, -0.5],
        "showgrid": False,
    }
    return {"data": traces, "layout": shape}
