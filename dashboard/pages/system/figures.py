"""The charts of the system page: predictions by hour, and how long they took."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dashboard.parts.days import Range
from dashboard.parts.drawing import BLUE, ORANGE, Figure, day_axis, layout
from dashboard.parts.moment import hovered
from dashboard.parts.wording import day_text

if TYPE_CHECKING:
    from core.shown.system import System
    from core.store.rollups import HourTraffic

_HOUR = timedelta(hours=1)


def traffic(facts: System) -> Figure:
    """Return predictions by hour."""
    trace = {
        "type": "bar",
        "x": _middles(facts),
        "y": [each.n for each in facts.hours],
        "width": 3_600_000 * 0.9,
        "marker": {"color": BLUE, "line": {"width": 0}},
        "hovertext": [f"{_hour(each, facts)}<br>{each.n:,} predictions" for each in facts.hours],
        "hoverinfo": "text",
        **hovered([each.hour for each in facts.hours], _HOUR),
    }
    return _framed(facts, [trace], {"rangemode": "tozero", "nticks": 5, "tickformat": ",d"})


def latency(facts: System) -> Figure:
    """Return the mean latency by hour."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": _middles(facts),
        "y": [round(each.latency_ms, 2) for each in facts.hours],
        "line": {"color": ORANGE, "width": 1.5},
        "marker": {"color": ORANGE, "size": 4},
        "hovertext": [
            f"{_hour(each, facts)}<br>{each.latency_ms:.1f} ms on average" for each in facts.hours
        ],
        "hoverinfo": "text",
        **hovered([each.hour for each in facts.hours], _HOUR),
    }
    return _framed(facts, [trace], {"rangemode": "tozero", "nticks": 5, "ticksuffix": " ms"})


def _middles(facts: System) -> list[str]:
    return [(each.hour + _HOUR / 2).replace(tzinfo=None).isoformat() for each in facts.hours]


def _hour(each: HourTraffic, facts: System) -> str:
    until = each.hour + _HOUR
    when = day_text(each.hour.date(), today=facts.now.date())
    return f"{when}, {each.hour:%H:%M} to {until:%H:%M} UTC"


def _framed(facts: System, traces: list[dict[str, Any]], y: dict[str, Any]) -> Figure:
    drawn = layout(220)
    span = Range(facts.first_day, facts.now.date())
    days = span.days
    drawn["xaxis"] |= day_axis(span) | {
        "range": [
            f"{days[0] - timedelta(days=1)} 18:00",
            (days[-1] + timedelta(days=1)).isoformat(),
        ],
        # Unseen, they keep the first day away from the zero beside it.
        "ticks": "outside",
        "ticklen": 6,
        "tickcolor": "rgba(0, 0, 0, 0)",
    }
    drawn["yaxis"] |= y
    drawn["margin"] |= {"l": 64}
    return {"data": traces, "layout": drawn}
