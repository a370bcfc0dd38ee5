"""The charts of the drift page: verdicts by day, both sides of one column, and the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dashboard.address import image_address
from dashboard.pages.drift.facts import ORDER
from dashboard.parts.drawing import (
    BLUE,
    GREY,
    Figure,
    day_axis,
    escaped,
    layout,
    names_px,
    row_axis,
    tick,
)
from dashboard.parts.wording import count, day_text, percent, shortened

if TYPE_CHECKING:
    from core.store.drift import DriftVerdict
    from core.store.drift_pictures import Histogram, Histograms, Points
    from dashboard.pages.drift.facts import Drift

MOST_LABELS = 12

_ROW_PX = 26
_PALE_GREY = "rgba(134, 142, 150, 0.25)"
# Pale where the effect is small, blue up to the floor; what is called drift is orange.
_COLOURS = [[0.0, "#dbe9f5"], [0.499, "#7fb0dc"], [0.5, "#fdbb78"], [1.0, "#d9680f"]]
_LONGEST_HOVER = 40


def matrix(facts: Drift) -> Figure:
    """Return the verdict on every column and day; a triangle marks drift, hatching too little.

    assets/drift.js finds the address of a cell by its day and by the name of its row.
    """
    days = [day.isoformat() for day in facts.range.days]
    # A year has four thousand cells: what they share is written once.
    named = [day_text(day, today=facts.now.date()) for day in facts.range.days]
    place = {day: i for i, day in enumerate(facts.range.days)}
    rows = _rows(facts)
    row_of = {name: i for i, name in enumerate(rows)}
    z: list[list[float | None]] = [[None] * len(days) for _ in rows]
    hover: list[list[str]] = [[""] * len(days) for _ in rows]
    signs: dict[str, list[tuple[str, int]]] = {"drift": [], "not enough data": []}
    for each in _one_a_day(facts):
        column, row = place[each.day], row_of[each.column]
        hover[row][column] = _told(each, named[column])
        if each.verdict != "not enough data":
            z[row][column] = _shade(each)
        if each.verdict in signs:
            signs[each.verdict].append((days[column], row))
    heat = {
        "type": "heatmap",
        "x": days,
        "y": list(range(len(rows))),
        "z": z,
        "zmin": 0,
        "zmax": 1,
        "hovertext": hover,
        "hoverinfo": "text",
        "hoverongaps": False,
        "xgap": 2,
        "ygap": 2,
        "colorscale": _COLOURS,
        "showscale": False,
    }
    symbols = [
        _signs(signs["drift"], "triangle-up", "#5c2a00", 8),
        _signs(signs["not enough data"], "line-ne-open", GREY, 8),
        *_frame(facts, rows),
    ]
    drawn = layout(_ROW_PX * len(rows) + 44)
    drawn["margin"] = {"l": names_px(rows), "r": 22, "t": 8, "b": 34}
    drawn["xaxis"] |= day_axis(facts.range) | {"showgrid": False}
    for names in ("tickvals", "ticktext"):  # The names of the rows leave less room than elsewhere.
        drawn["xaxis"][names] = drawn["xaxis"][names][::2]
    drawn["yaxis"] |= row_axis(rows)
    return {"data": [heat, *symbols], "layout": drawn}


def _rows(facts: Drift) -> list[str]:
    seen = {each.column for each in facts.matrix}
    return [name for name in ORDER if name in seen] + sorted(seen.difference(ORDER))


def _one_a_day(facts: Drift) -> list[DriftVerdict]:
    """Return one check for each cell: of two versions on a day, the one that answered more."""
    cells: dict[tuple[Any, str], DriftVerdict] = {}
    for each in facts.matrix:
        other = cells.get((each.day, each.column))
        if other is None or other.n <= each.n:
            cells[each.day, each.column] = each
    return list(cells.values())


def _shade(check: DriftVerdict) -> float:
    """Return 0 to 0.49 up to the floor, 0.5 to 1 for drift up to three times the floor."""
    # An area under the curve of a half says that nothing moved.
    base = 0.5 if check.column == "embedding" else 0.0
    share = ((check.effect or 0.0) - base) / (check.effect_floor - base)
    if check.verdict == "drift":
        return 0.5 + 0.5 * min(max(share - 1, 0.0) / 2, 1.0)
    return 0.49 * min(max(share, 0.0), 1.0)


def _told(check: DriftVerdict, day: str) -> str:
    head = f"<b>{escaped(check.column)}</b>, {day}"
    lines = [f"{head}, {escaped(check.version)}", check.verdict]
    if check.effect is not None and check.adjusted_p is not None:
        lines.append(f"effect {check.effect:.3f}, floor {check.effect_floor:g}")
        lines.append(f"p corrected {check.adjusted_p:.2g}")
    lines.append(f"{check.n:,} rows against {check.reference_n:,}")
    return "<br>".join(lines)


def _signs(cells: list[tuple[str, int]], symbol: str, colour: str, size: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [day for day, _ in cells],
        "y": [row for _, row in cells],
        "hoverinfo": "skip",
        "marker": {
            "symbol": symbol,
            "size": size,
            "color": colour,
            "line": {"width": 1.5, "color": colour},
        },
    }


def _frame(facts: Drift, rows: list[str]) -> list[dict[str, Any]]:
    """Return the frame around the cell that is looked at, where it is on the chart."""
    if facts.chosen is None or facts.column not in rows or not facts.range.holds(facts.chosen.day):
        return []
    cell = (facts.chosen.day.isoformat(), rows.index(facts.column))
    return [_signs([cell], "square-open", "#10161c", 20)]


def distribution(found: Histogram) -> Figure:
    """Return both sides of one column as shares of their rows, bin by bin."""
    centres = (found.edges[:-1] + found.edges[1:]) / 2
    width = float(found.edges[1] - found.edges[0])
    traces = []
    for name, counts, look in (
        ("reference", found.reference, {"fillcolor": _PALE_GREY, "line": _line(GREY, "dash")}),
        ("the day", found.current, {"line": _line(BLUE, "solid"), "fill": "none"}),
    ):
        total = max(int(counts.sum()), 1)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [float(f"{each:.5g}") for each in centres.tolist()],
                "y": [round(each / total, 5) for each in counts.tolist()],
                "fill": "tozeroy",
                "hoverinfo": "text",
                "hovertext": [
                    f"{low:.3g} to {low + width:.3g}<br>{name}: {each:,} ({percent(each / total)})"
                    for low, each in zip(found.edges[:-1].tolist(), counts.tolist(), strict=True)
                ],
                **look,
            }
        )
    drawn = layout(280)
    drawn["margin"] |= {"b": 34}
    drawn["xaxis"] |= {"nticks": 7, "tickangle": 0}
    drawn["yaxis"] |= {"tickformat": ".0%", "rangemode": "tozero", "nticks": 5}
    return {"data": traces, "layout": drawn}


def _line(colour: str, dash: str) -> dict[str, Any]:
    return {"color": colour, "width": 2, "dash": dash, "shape": "hvh"}


def mix(found: Histograms) -> Figure:
    """Return the shares of the predicted labels, those that moved most on top."""
    before, now = (side / max(int(side.sum()), 1) for side in found.mix)
    order = np.argsort(-np.abs(now - before), kind="stable")[:MOST_LABELS].tolist()
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [round(float(shares[place]), 5) for place in order],
            "y": list(range(len(order))),
            "text": [percent(float(shares[place])) for place in order],
            "textposition": "outside",
            "cliponaxis": False,
            "hovertext": [
                f"{escaped(shortened(found.labels[place], _LONGEST_HOVER))}<br>{name}: "
                f"{int(counts[place]):,} of {int(counts.sum()):,}"
                for place in order
            ],
            "hoverinfo": "text",
            "marker": {"color": colour, "pattern": {"shape": pattern, "size": 5}},
        }
        for name, shares, counts, colour, pattern in (
            ("the day", now, found.mix[1], BLUE, ""),
            ("reference", before, found.mix[0], GREY, "/"),
        )
    ]
    names = [tick(found.labels[place]) for place in order]
    drawn = layout(48 + 38 * len(order))
    drawn["margin"] |= {"l": names_px(names), "r": 52, "t": 4}
    drawn["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero", "nticks": 6}
    drawn["yaxis"] |= row_axis(names)
    drawn |= {"barmode": "group", "bargap": 0.25, "bargroupgap": 0.1}
    return {"data": traces, "layout": drawn}


def embedding_map(found: Points, label: str | None) -> Figure:
    """Return the embeddings as points of a plane: circles of the reference, dots of the day.

    Args:
        found: The points.
        label: Only those predicted as this class; None for all.
    """
    wanted = np.ones(len(found.label), dtype=bool)
    if label is not None:
        wanted = found.label == (found.labels.index(label) if label in found.labels else -1)
    names = [escaped(shortened(each, _LONGEST_HOVER)) for each in found.labels]
    traces = []
    for side, is_current, look in (
        ("reference", False, {"symbol": "circle-open", "color": GREY, "size": 6}),
        ("the day", True, {"symbol": "circle", "color": BLUE, "size": 6, "opacity": 0.8}),
    ):
        rows = np.flatnonzero(wanted & (found.is_current == is_current))
        images = found.image[rows].tolist()
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [round(each, 4) for each in found.xy[rows, 0].tolist()],
                "y": [round(each, 4) for each in found.xy[rows, 1].tolist()],
                "marker": look,
                "hovertext": [
                    f"{names[place]}, {side}" + ("<br>click: its picture" if image else "")
                    for place, image in zip(found.label[rows].tolist(), images, strict=True)
                ],
                "hoverinfo": "text",
                "customdata": [image_address(each) if each else "" for each in images],
            }
        )
    drawn = layout(440)
    for axis, share in zip(("xaxis", "yaxis"), found.explained, strict=True):
        drawn[axis] |= {
            "range": _around(found.xy[:, 0 if axis == "xaxis" else 1]),
            "title": {"text": f"{percent(share)} of the variance", "font": {"size": 12}},
            "nticks": 6,
        }
    drawn["margin"] = {"l": 52, "r": 12, "t": 12, "b": 46}
    return {"data": traces, "layout": drawn}


def _around(values: np.ndarray[Any, Any]) -> list[float]:
    """Return a range with all values in it: filtering must not move the picture."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    room = max(high - low, 1e-6) / 20
    return [low - room, high + room]


def points_text(found: Points, label: str | None) -> str:
    """Say how many points the map shows."""
    wanted = np.ones(len(found.label), dtype=bool)
    if label is not None and label in found.labels:
        wanted = found.label == found.labels.index(label)
    day = int((wanted & found.is_current).sum())
    return f"{count(day, 'row')} of the day, {int(wanted.sum()) - day:,} of the reference."
