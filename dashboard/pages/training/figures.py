"""The charts of trainings and searches: the passes of a run, trials in order, and what mattered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from dashboard.pages.training.words import state_word, value_text
from dashboard.parts.drawing import (
    BLUE,
    GREY,
    ORANGE,
    Figure,
    escaped,
    layout,
    names_px,
    row_axis,
)
from dashboard.parts.wording import percent, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.store.trial_lines import Search, TrialLine

MOST_PASSES = 500

_Item = TypeVar("_Item")
_MOST_HOVERED = 6
_MOST_NUMBERED = 8
_MARGIN = 0.06
_LONGEST_NAME = 18


def passes(made: Sequence[dict[str, Any]]) -> Figure:
    """Return accuracy above, losses below, by pass; as wide as all passes that were planned.

    Args:
        made: Passes, in order, as `core.store.jobs.Job.progress` has them.
    """
    drawn = thinned(made, MOST_PASSES)
    x = [each.get("number") for each in drawn]
    traces = [
        _curve(x, drawn, "train_loss", GREY, dash="dot"),
        _curve(x, drawn, "val_loss", ORANGE, symbol="square"),
        _curve(x, drawn, "val_accuracy", BLUE) | {"yaxis": "y2"},
    ]
    best = max(made, key=lambda each: each.get("val_accuracy") or 0.0, default=None)
    if best is not None and best.get("val_accuracy") is not None:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "yaxis": "y2",
                "x": [best["number"]],
                "y": [best["val_accuracy"]],
                "hoverinfo": "skip",
                "marker": {
                    "size": 15,
                    "symbol": "diamond-open",
                    "color": BLUE,
                    "line": {"width": 2},
                },
            }
        )
    planned = max([each.get("epochs") or each.get("number") or 1 for each in made], default=1)
    figure = layout(320)
    figure["xaxis"] |= _numbered(1, planned) | {"anchor": "y"}
    reached = [each["val_accuracy"] for each in made if each.get("val_accuracy") is not None]
    figure["yaxis2"] = dict(figure["yaxis"]) | _accuracy_axis(reached) | {"domain": [0.56, 1]}
    figure["yaxis"] |= {"domain": [0, 0.44], "rangemode": "tozero", "nticks": 5}
    return {"data": traces, "layout": figure}


def _curve(
    x: list[Any], made: Sequence[dict[str, Any]], what: str, colour: str, **looks: str
) -> dict[str, Any]:
    said = {"train_loss": "training loss", "val_loss": "validation loss"}.get(what)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": [each.get(what) for each in made],
        "line": {"width": 2, "color": colour, "dash": looks.get("dash", "solid")},
        "marker": {"size": 6, "color": colour, "symbol": looks.get("symbol", "circle")},
        "hovertext": [
            f"pass {each.get('number')}<br>"
            + (f"{said} {_loss(each.get(what))}" if said else f"{_share(each.get(what))} right")
            for each in made
        ],
        "hoverinfo": "text",
    }


def history(search: Search) -> Figure:
    """Return accuracy by trial, and the best so far; what was ended early is marked."""
    marks = [
        _marks([t for t in search.trials if t.state == "PRUNED"], "x", ORANGE),
        _marks([t for t in search.trials if t.state == "RUNNING"], "circle-open", GREY),
        _marks(search.complete, "circle", BLUE),
    ]
    x, y = _best_so_far(search)
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"width": 2, "color": BLUE, "shape": "hv"},
        "hoverinfo": "skip",
    }
    first, last = (search.trials[0].number, search.trials[-1].number) if search.trials else (0, 0)
    figure = layout(280)
    figure["xaxis"] |= _numbered(first, max(last, first + 1))
    figure["yaxis"] |= _share_axis([v for mark in marks for v in mark["y"]])
    return {"data": [line, *marks], "layout": figure}


def _marks(trials: Sequence[TrialLine], symbol: str, colour: str) -> dict[str, Any]:
    shown = [each for each in trials if _reached(each) is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [each.number for each in shown],
        "y": [_reached(each) for each in shown],
        "hovertext": [hover(each) for each in shown],
        "hoverinfo": "text",
        "marker": {"size": 8, "symbol": symbol, "color": colour},
    }


def _reached(trial: TrialLine) -> float | None:
    return trial.accuracy if trial.state == "COMPLETE" else trial.last


def _best_so_far(search: Search) -> tuple[list[int], list[float]]:
    """Return the corners of the line; between them nothing became better."""
    x: list[int] = []
    y: list[float] = []
    for each in search.complete:
        accuracy = each.accuracy or 0.0
        if not y or accuracy > y[-1]:
            x.append(each.number)
            y.append(accuracy)
    if x and search.trials[-1].number > x[-1]:
        x.append(search.trials[-1].number)
        y.append(y[-1])
    return x, y


def hover(trial: TrialLine) -> str:
    """Return what is told of a trial when it is pointed at."""
    reached = _reached(trial)
    head = f"<b>trial {trial.number}</b>, {state_word(trial.state, silent=trial.silent)}"
    lines = [head if reached is None else f"{head}: {_share(reached)}"]
    options = list(trial.options.items())
    lines += [
        f"{escaped(name)} {escaped(value_text(value, 24))}"
        for name, value in options[:_MOST_HOVERED]
    ]
    if len(options) > _MOST_HOVERED:
        lines.append(f"and {len(options) - _MOST_HOVERED} more")
    return "<br>".join(lines)


def importance(search: Search) -> Figure:
    """Return how much each option mattered, as bars, what mattered most on top."""
    shares = sorted(search.importance.items(), key=lambda item: (-item[1], item[0]))
    names = [escaped(shortened(name, _LONGEST_NAME)) for name, _ in shares]
    figure = layout(40 + 30 * len(shares))
    figure["margin"] |= {"l": names_px(names), "r": 44, "t": 4}
    figure["xaxis"] |= {"tickformat": ".0%", "range": [0, 1], "nticks": 5}
    figure["yaxis"] |= row_axis(names)
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in shares],
        "y": list(range(len(shares))),
        "text": [percent(share) for _, share in shares],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertext": [f"{escaped(name)}: {percent(share)}" for name, share in shares],
        "hoverinfo": "text",
        "marker": {"color": BLUE},
    }
    return {"data": [bars], "layout": figure | {"bargap": 0.35}}


def thinned(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return at most so many of the items, evenly chosen; the first and the last are among them."""
    if len(items) <= most:
        return list(items)
    step = (len(items) - 1) / (most - 1)
    return [items[round(i * step)] for i in range(most)]


def _numbered(first: int, last: int) -> dict[str, Any]:
    """Return an axis of whole numbers, at most eight of them named."""
    step = max(1, math.ceil((last - first + 1) / _MOST_NUMBERED))
    margin = max(0.5, _MARGIN * (last - first) / 2)
    return {
        "range": [first - margin, last + margin],
        "tickvals": list(range(first, last + 1, step)),
        "tickformat": ",d",
    }


def _accuracy_axis(reached: Sequence[float]) -> dict[str, Any]:
    """Return an axis around these accuracies, never beyond what an accuracy can be."""
    low, high = min(reached, default=0.0), max(reached, default=1.0)
    room = max((high - low) * 0.12, 0.05)
    return {
        "range": [max(low - room, 0), min(high + room, 1.02)],
        "tickformat": ".0%",
        "nticks": 5,
    }


def _share_axis(shares: Sequence[float]) -> dict[str, Any]:
    """Return an axis on which these shares fill the height, with the decimals that takes."""
    low, high = min(shares, default=0.0), max(shares, default=1.0)
    room = max((high - low) * 0.12, 0.004)
    decimals = 0 if high - low > 0.06 else 1
    return {"range": [low - room, high + room], "tickformat": f".{decimals}%", "nticks": 6}


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _loss(value: float | None) -> str:
    return "no number" if value is None else f"{value:.4f}"
