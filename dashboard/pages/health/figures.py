"""The charts of one class: its accuracy, the evidence of a drop, and what it is mistaken for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from core.shown import confusions
from core.stats.proportions import confidence_sequence
from dashboard.parts.drawing import (
    BLUE,
    GREY,
    LEAST_EVIDENCE,
    ORANGE,
    PALE_BLUE,
    PURPLE,
    Figure,
    cell_hover,
    day_axis,
    escaped,
    layout,
    log_axis,
    names_px,
    row_axis,
    tick,
)
from dashboard.parts.wording import day_text, evidence_text, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.shown.confusions import Confusions
    from core.store.class_days import ClassDay
    from core.store.class_state import ClassState
    from dashboard.pages.health.facts import OneClass

_MOST_CONFUSIONS = 8

_SERIES = (BLUE, ORANGE, PURPLE)


@dataclass(frozen=True, slots=True)
class Series:
    """What a class was mistaken for, as shares of its images, and how that is drawn."""

    name: str
    colour: str
    shares: dict[str, float]


def accuracy(facts: OneClass) -> Figure:
    """Return accuracy by day with its intervals, the confidence sequence and the reference."""
    days = [day for day in facts.reading.days if day.n > 0]
    share = [day.correct / day.n for day in days]
    traces = [trace for version in facts.epochs for trace in _sequence(facts, version)]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [day.day.isoformat() for day in days],
            "y": share,
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [day.high - s for day, s in zip(days, share, strict=True)],
                "arrayminus": [s - day.low for day, s in zip(days, share, strict=True)],
                "color": GREY,
                "thickness": 1,
                "width": 0,
            },
            "marker": {
                "size": 8,
                "color": [ORANGE if day.high < _reference(facts, day) else BLUE for day in days],
            },
            "hovertext": [cell_hover(day, facts.now.date()) for day in days],
            "hoverinfo": "text",
        }
    )
    traces.append(_reference_line(facts))
    drawn = layout(300)
    drawn["xaxis"] |= day_axis(facts.range)
    drawn["yaxis"] |= {"range": [-0.02, 1.02], "tickformat": ".0%", "dtick": 0.25}
    return _with_versions({"data": traces, "layout": drawn}, facts)


def _sequence(facts: OneClass, version: str) -> list[dict[str, Any]]:
    """Return a version's accuracy since its beginning, as a line in its confidence sequence."""
    days = [day for day in facts.epochs[version] if day.n > 0]
    correct, total, running = 0, 0, []
    for day in days:
        correct, total = correct + day.correct, total + day.n
        running.append((correct, total))
    shown = [i for i, day in enumerate(days) if facts.range.holds(day.day)]
    if not shown:
        return []
    low, high = confidence_sequence([k for k, _ in running], [n for _, n in running])
    x = [days[i].day.isoformat() for i in shown]
    edge = {"type": "scatter", "mode": "lines", "x": x, "hoverinfo": "skip"}
    return [
        edge | {"y": [float(high[i]) for i in shown], "line": {"width": 0}},
        edge
        | {
            "y": [float(low[i]) for i in shown],
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": PALE_BLUE,
        },
        edge
        | {
            "y": [running[i][0] / running[i][1] for i in shown],
            "line": {"width": 2, "color": BLUE},
        },
    ]


def _reference(facts: OneClass, day: ClassDay) -> float:
    return next((s.reference for s in facts.states if s.day == day.day), 0.0)


def _reference_line(facts: OneClass) -> dict[str, Any]:
    x, y = _by_version(facts.states, lambda state: state.reference)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"width": 1.5, "color": ORANGE, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _by_version(
    states: list[ClassState], value: Callable[[ClassState], float]
) -> tuple[list[str | None], list[float | None]]:
    """Return x and y of a line with one stretch a version; None between two lifts the pen."""
    x: list[str | None] = []
    y: list[float | None] = []
    for _, group in groupby(states, key=lambda state: state.version):
        for state in group:
            x.append(state.day.isoformat())
            y.append(value(state))
        x.append(None)
        y.append(None)
    return x, y


def evidence(facts: OneClass) -> Figure:
    """Return the evidence against a class, day by day, and the threshold of an alarm."""
    states = facts.states
    alarms = [state for state in states if state.alarm]
    x, y = _by_version(states, lambda state: max(state.evidence, LEAST_EVIDENCE))
    limit_x, limit_y = _by_version(states, lambda state: state.threshold)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": y,
            "line": {"width": 2, "color": BLUE},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [state.day.isoformat() for state in states],
            "y": [max(state.evidence, LEAST_EVIDENCE) for state in states],
            "marker": {"size": 6, "color": BLUE},
            "hovertext": [
                f"{day_text(state.day, today=facts.now.date())}, {escaped(state.version)}<br>"
                f"evidence {evidence_text(state.evidence)} of {evidence_text(state.threshold)}"
                for state in states
            ],
            "hoverinfo": "text",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": limit_x,
            "y": limit_y,
            "line": {"width": 1.5, "color": ORANGE, "dash": "dash"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [state.day.isoformat() for state in alarms],
            "y": [state.evidence for state in alarms],
            "marker": {"size": 13, "symbol": "triangle-up", "color": ORANGE},
            "hoverinfo": "skip",
        },
    ]
    drawn = layout(260)
    drawn["xaxis"] |= day_axis(facts.range)
    highest = max([1.0, *(max(state.threshold, state.evidence) for state in states)])
    drawn["yaxis"] |= log_axis(highest)
    return _with_versions({"data": traces, "layout": drawn}, facts)


def confusion(facts: OneClass) -> Figure:
    """Return what a class was mistaken for, by version in the range, beside the reference."""
    series = confusion_series(facts)
    largest: dict[str, float] = {}
    for each in series:
        for label, share in each.shares.items():
            largest[label] = max(share, largest.get(label, 0.0))
    labels = sorted(largest, key=lambda label: (-largest[label], label))[:_MOST_CONFUSIONS]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [each.shares.get(label, 0.0) for label in labels],
            "y": list(range(len(labels))),
            "text": [
                percent(each.shares[label]) if label in each.shares else "" for label in labels
            ],
            "textposition": "outside",
            "cliponaxis": False,
            "hovertext": [
                f"{escaped(label)}: {percent(each.shares.get(label, 0.0))}<br>{escaped(each.name)}"
                for label in labels
            ],
            "hoverinfo": "text",
            "marker": {"color": each.colour},
        }
        for each in series
    ]
    names = [tick(label) for label in labels]
    drawn = layout(48 + len(labels) * (12 + 15 * len(traces)))
    drawn["margin"] |= {"l": names_px(names), "r": 44, "t": 4}
    drawn["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero", "nticks": 6}
    drawn["yaxis"] |= row_axis(names)
    drawn |= {"barmode": "group", "bargap": 0.25, "bargroupgap": 0.1}
    return {"data": traces, "layout": drawn}


def confusion_series(facts: OneClass) -> list[Series]:
    """Return the bars of `confusion`: the versions, the newest first, then the reference."""
    *of_versions, reference = counted(facts)
    return [
        *[
            Series(_named(each, facts), colour, each.shares)
            for each, colour in zip(of_versions, _SERIES, strict=False)
        ],
        Series(f"reference of {reference.version} (n = {reference.n})", GREY, reference.shares),
    ]


def counted(facts: OneClass) -> list[Confusions]:
    """Return what a class was mistaken for, the reference last."""
    return confusions.of_class(
        facts.epochs,
        facts.range.first,
        facts.range.last,
        flag=facts.reading.flag,
        newest=facts.versions[0],
        label=facts.reading.label,
    )


def _named(each: Confusions, facts: OneClass) -> str:
    if each.stretch == "since the fall" and each.first is not None:
        return f"{each.version}, since {day_text(each.first, today=facts.now.date())}"
    before = each.stretch == "before the fall"
    return f"{each.version}, {'before in this range' if before else 'this range'}"


def _with_versions(figure: Figure, facts: OneClass) -> Figure:
    """Mark the days on which another version took over."""
    changes = [move for move in facts.events.moves if facts.range.holds(move.at)]
    figure["layout"]["shapes"] = [
        {
            "type": "line",
            "x0": move.at.date().isoformat(),
            "x1": move.at.date().isoformat(),
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"width": 1, "dash": "dot", "color": GREY},
        }
        for move in changes
    ]
    figure["layout"]["annotations"] = [
        {
            "x": move.at.date().isoformat(),
            "yref": "paper",
            "y": 1,
            "yanchor": "bottom",
            "text": escaped(move.version),
            "showarrow": False,
        }
        for move in changes
    ]
    return figure
