"""The charts of a class by weeks: precision, recall and confidence; and how honest that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.parts.drawing import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    Figure,
    day_axis,
    layout,
)
from dashboard.parts.wording import count, day_text, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.shown.weeks import Week
    from dashboard.pages.health.facts import OneClass

# Of each line: how it is called, its colour, its dash and its mark; told apart without colour, too.
LINES: tuple[tuple[str, str, str, str], ...] = (
    ("recall", BLUE, "solid", "circle"),
    ("precision", ORANGE, "dash", "square"),
    ("confidence", PURPLE, "dot", "diamond"),
)


def shares(facts: OneClass) -> Figure:
    """Return recall, precision and mean confidence by week."""
    values: list[Callable[[Week], float | None]] = [
        lambda week: week.recall,
        lambda week: week.precision,
        lambda week: week.confidence,
    ]
    traces = [_line(facts, line, value) for line, value in zip(LINES, values, strict=True)]
    drawn = _layout(facts, 240)
    drawn["yaxis"] |= {"range": [-0.02, 1.04], "tickformat": ".0%", "dtick": 0.25}
    return {"data": traces, "layout": drawn}


def calibration(facts: OneClass) -> Figure:
    """Return the calibration error by week, and what chance makes of a calibrated model."""
    measured = _line(facts, ("error", BLUE, "solid", "circle"), lambda week: week.error)
    chance = _line(facts, ("chance", GREY, "dot", "circle"), lambda week: week.by_chance)
    drawn = _layout(facts, 240)
    drawn["yaxis"] |= {"rangemode": "tozero", "nticks": 5, "tickformat": ".2f"}
    # Small marks: a single week would be no line at all.
    plain = {"marker": {"size": 4, "color": GREY}, "hoverinfo": "skip"}
    return {"data": [chance | plain, measured], "layout": drawn}


def _line(
    facts: OneClass,
    line: tuple[str, str, str, str],
    value: Callable[[Week], float | None],
) -> dict[str, Any]:
    name, colour, dash, mark = line
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [week.last.isoformat() for week in facts.weeks],
        "y": [value(week) for week in facts.weeks],
        "line": {"width": 2, "color": colour, "dash": dash},
        "marker": {"size": 8, "color": colour, "symbol": mark},
        "hovertext": [_hover(facts, week, name, value(week)) for week in facts.weeks],
        "hoverinfo": "text",
        "connectgaps": False,
    }


def _hover(facts: OneClass, week: Week, name: str, value: float | None) -> str:
    today = facts.now.date()
    first, last = day_text(week.first, today=today), day_text(week.last, today=today)
    shown = "" if value is None else f"{value:.3f}" if name == "error" else percent(value)
    of = count(week.n if name == "recall" else week.called, "image")
    return f"{name} {shown}<br>{first} to {last}, {of}"


def _layout(facts: OneClass, height: int) -> dict[str, Any]:
    drawn = layout(height)
    drawn["xaxis"] |= day_axis(facts.range)
    return drawn
