"""The complete trials of a search side by side: parallel coordinates, one row an option.

Drawn from plain lines. Plotly's own kind needs WebGL and code made at run time, which the content
policy forbids; and rows, unlike columns, fit a telephone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboard.pages.training.figures import hover, thinned
from dashboard.pages.training.words import value_text
from dashboard.parts.drawing import BLUE, GREY, ORANGE, Figure, escaped, layout
from dashboard.parts.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.store.trial_lines import Search, TrialLine

MOST_LINES = 200
MOST_ROWS = 12

_ROW_PX = 58
_LONGEST_NAME = 18
_LONGEST_TICK = 11
_MOST_TICKS = 4
# By this much two trials of one choice stand apart, in shares of the row.
_APART = 0.03


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a quantity, and where its values stand.

    Attributes:
        name: What it is called.
        choices: Where each choice stands, from 0 to 1, by its JSON; empty for a range.
        low: The smallest number of a range.
        high: The largest.
        log: Whether a range is drawn by orders of magnitude.
        is_share: Whether its numbers are read as percent.
    """

    name: str
    choices: Mapping[str, float]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    is_share: bool = False

    def place(self, value: Any, number: int) -> float | None:
        """Return where a trial's value stands, from 0 to 1; None where it has no place.

        Args:
            value: The value.
            number: The trial's, by which it stands a little beside the others of its choice.
        """
        if self.choices:
            at = self.choices.get(json.dumps(value))
            return None if at is None else at + _APART * ((0.618 * number) % 1 - 0.5)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.high <= self.low:
            return 0.5
        low, high, here = self.low, self.high, float(value)
        if self.log:
            if min(low, here) <= 0:
                return None
            low, high, here = math.log(low), math.log(high), math.log(here)
        return (here - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return where the row is labelled, and with what."""
        if self.choices:
            named = [(at, value_text(json.loads(text))) for text, at in self.choices.items()]
            return thinned(named, _MOST_TICKS)
        if self.high <= self.low:
            return [(0.5, self._said(self.low))]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        places = ((0.0, self.low), (0.5, middle), (1.0, self.high))
        return [(at, self._said(value)) for at, value in places]

    def _said(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.is_share else value_text(value)


def parallel(search: Search) -> Figure:
    """Return the complete trials as lines through their accuracy and their options.

    At most `MOST_LINES` of them, taken evenly by accuracy, the best one among them; at most
    `MOST_ROWS` rows, what mattered most first.
    """
    ranked = sorted(search.complete, key=lambda each: (each.accuracy or 0.0, -each.number))
    shown = thinned(ranked, MOST_LINES)
    axes = rows(search)
    figure = layout(_ROW_PX * len(axes) + 36)
    figure["margin"] |= {"l": 8, "r": 26, "t": 14, "b": 22}
    figure["xaxis"] |= {"range": [-0.04, 1.04], "showgrid": False, "showticklabels": False}
    figure["yaxis"] |= {
        "range": [len(axes) - 0.5, -0.4],
        "tickvals": list(range(len(axes))),
        "ticktext": [escaped(shortened(each.name, _LONGEST_NAME)) for each in axes],
        "ticklen": 4,
        "automargin": True,
        "showgrid": False,
    }
    figure["shapes"] = [_rail(i) for i in range(len(axes))]
    figure["annotations"] = [
        _tick_label(at, i, text) for i, each in enumerate(axes) for at, text in each.ticks()
    ]
    traces = [_lines(group, axes, looks) for group, looks in _groups(shown)]
    return {"data": traces, "layout": figure}


def rows(search: Search) -> list[Row]:
    """Return the rows: accuracy, then the options, what mattered most first."""
    shares = [each.accuracy or 0.0 for each in search.complete]
    first = Row("accuracy", {}, min(shares, default=0.0), max(shares, default=1.0), is_share=True)
    return [first, *(_row(search, name) for name in search.options[: MOST_ROWS - 1])]


def _row(search: Search, name: str) -> Row:
    """Return the row of an option, as the search's space has it, else as its trials have it."""
    space = search.space.get(name)
    if isinstance(space, dict) and "low" in space and "high" in space:
        low, high = float(space["low"]), float(space["high"])
        return Row(name, {}, low, high, bool(space.get("log")) and low > 0)
    values = [each.options[name] for each in search.trials if name in each.options]
    choices = space if isinstance(space, list) else values
    texts = list(dict.fromkeys(json.dumps(each) for each in choices))
    # The ends stay free, so that a label at either of them has room.
    return Row(name, {text: (i + 0.5) / len(texts) for i, text in enumerate(texts)})


def _groups(ranked: Sequence[TrialLine]) -> list[tuple[list[TrialLine], dict[str, Any]]]:
    """Return the trials in four groups by accuracy, the lowest first, and how each is drawn."""
    if not ranked:
        return []
    *others, best = ranked
    quarter = len(ranked) // 4
    lowest, middle, top = others[:quarter], others[quarter : -quarter or None], []
    if quarter:
        top = others[-quarter:]
    return [
        (lowest, {"width": 1, "dash": "dot", "color": GREY}),
        (middle, {"width": 1, "dash": "solid", "color": GREY}),
        (top, {"width": 1.6, "dash": "solid", "color": BLUE}),
        ([best], {"width": 3, "dash": "solid", "color": ORANGE}),
    ]


def _lines(
    trials: Sequence[TrialLine], axes: Sequence[Row], looks: dict[str, Any]
) -> dict[str, Any]:
    """Return many trials as one trace; None between two of them lifts the pen."""
    x: list[float | None] = []
    y: list[int | None] = []
    told: list[str] = []
    for trial in trials:
        text = hover(trial)
        values = [trial.accuracy, *(trial.options.get(each.name) for each in axes[1:])]
        for i, (row, value) in enumerate(zip(axes, values, strict=True)):
            x.append(row.place(value, trial.number))
            y.append(i)
            told.append(text)
        x.append(None)
        y.append(None)
        told.append("")
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": y,
        "hovertext": told,
        "hoverinfo": "text",
        "line": looks,
        "marker": {"size": 4 + looks["width"], "color": looks["color"]},
        "opacity": 1 if looks["width"] > 2 else 0.7,
    }


def _rail(row: int) -> dict[str, Any]:
    line = {"width": 1, "color": GREY}
    return {
        "type": "line", "x0": 0, "x1": 1, "y0": row, "y1": row,
        "layer": "below", "opacity": 0.6, "line": line,
    }  # fmt: skip


def _tick_label(at: float, row: int, text: str) -> dict[str, Any]:
    return {
        "x": at,
        "y": row,
        "xanchor": "left" if at <= 0 else "right" if at >= 1 else "center",
        "yshift": -13,
        "text": escaped(value_text(text, _LONGEST_TICK)),
        "showarrow": False,
        "font": {"size": 11},
        "bgcolor": "rgba(0, 0, 0, 0)",  # assets/dashboard.css gives it the colour of the paper.
        "borderpad": 1,
    }
