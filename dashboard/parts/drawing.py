"""What all charts share: colours, axes, and how text from outside gets into them.

A figure is a plain dictionary, not a `plotly.graph_objects` tree: that is ten times quicker to
make and to send. Colours of text and grid come from assets/dashboard.css, so that one figure fits
the dark and the light page. Plotly reads HTML in every label and hover text, so whatever came from
outside goes through `escaped`, and never into a template.
"""

from __future__ import annotations

import html
import math
import unicodedata
from datetime import date
from typing import TYPE_CHECKING, Any

from dashboard.parts.wording import count, day_text, percent, power_text, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.store.class_days import ClassDay
    from dashboard.parts.days import Range

Figure = dict[str, Any]

BLUE, ORANGE, GREY, PURPLE = "#3d7fc4", "#d9680f", "#868e96", "#8a63b8"
PALE_BLUE = "rgba(61, 127, 196, 0.18)"

LEAST_EVIDENCE = 0.05

_LABEL_LENGTH = 14
# What is narrower and wider than other characters, in any font.
_NARROW, _WIDE = " .,:;'|!()[]/ijlftrI-", "mwMW@%"
_TICK_PX = 12


def escaped(text: str) -> str:
    """Return the text so that Plotly shows it letter by letter."""
    return html.escape(text, quote=False)


def tick(label: str) -> str:
    """Return a label as an axis shows it: shortened and escaped."""
    return escaped(shortened(label, _LABEL_LENGTH))


def cell_hover(day: ClassDay, today: date, silent_days: int = 0) -> str:
    """Return what is told of one class on one day when it is pointed at.

    Args:
        day: The class on that day.
        today: The present day.
        silent_days: For how many days there had been no fresh labels; 0 where nobody counted.
    """
    head = (
        f"<b>{escaped(day.label)}</b><br>{day_text(day.day, today=today)}, {escaped(day.version)}"
    )
    if day.n == 0:
        since = f" ({count(silent_days, 'day')})" if silent_days else ""
        return f"{head}<br>no fresh labels{since}"
    return f"{head}<br>{counts_hover(day.correct, day.n, (day.low, day.high), day.confused)}"


def counts_hover(
    correct: int, n: int, interval: tuple[float, float], confused: Mapping[str, int]
) -> str:
    """Return what is told of some images of a class when they are pointed at.

    Args:
        correct: How many were answered right.
        n: Images; not 0.
        interval: Ends of the 95 % interval of their share.
        confused: The wrong answers: `{predicted label: images}`.
    """
    low, high = map(percent, interval)
    mistaken = sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:3]
    said = ", ".join(f"{escaped(label)} ({times})" for label, times in mistaken)
    return f"{correct} of {n} right ({percent(correct / n)})<br>95 % interval {low} to {high}" + (
        f"<br>mistaken for {said}" if said else ""
    )


def layout(height: int) -> dict[str, Any]:
    """Return the layout that every chart begins with, `height` pixels high."""
    axis = {"fixedrange": True, "zeroline": False, "gridcolor": "rgba(134, 142, 150, 0.25)"}
    return {
        "height": height,
        "margin": {"l": 52, "r": 22, "t": 22, "b": 28},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "font": {"family": "inherit", "size": 12, "color": GREY},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }


def row_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return an axis of named rows, the first on top; `names_px` is its margin.

    Args:
        names: Of the rows, as the axis shows them (`tick`).
    """
    return {
        "range": [len(names) - 0.5, -0.5],
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "ticklen": 4,
        "showgrid": False,
        "automargin": True,
        # A row's name always lies within the chart: Plotly would measure each of them to know.
        "ticklabeloverflow": "allow",
    }


def names_px(names: Sequence[str]) -> int:
    """Return about how wide a margin the names of rows need, in pixels, in a wide font of 12.

    Where it is too narrow Plotly widens it, and draws the whole chart a second time to do so.
    """
    widest = max((sum(map(_width_px, html.unescape(each))) for each in names), default=0.0)
    return round(widest) + _TICK_PX


def _width_px(character: str) -> float:
    if character in _WIDE or unicodedata.east_asian_width(character) in "WF":
        return 12.0
    if character in _NARROW:
        return 4.6
    return 8.4 if character.isupper() else 7.6


def day_axis(span: Range) -> dict[str, Any]:
    """Return a time axis that shows whole days, at most five of them named."""
    days = span.days
    step = -(-len(days) // 5)
    named = days[::-1][::step]
    return {
        "type": "date",
        "tickangle": 0,
        "range": [f"{_before(days[0])}", f"{days[-1].isoformat()} 13:00"],
        "tickvals": [day.isoformat() for day in named],
        "ticktext": [day_text(day, today=day) for day in named],
        "ticks": "",
    }


def log_axis(highest: float) -> dict[str, Any]:
    """Return an axis of powers of ten up to `highest`, at most six of them named."""
    top = math.ceil(math.log10(highest) + 0.3)
    step = max(1, -(-(top + 1) // 6))
    named = range(0, top + 1, step)
    return {
        "type": "log",
        "range": [math.log10(LEAST_EVIDENCE), top],
        "tickvals": [10.0**power for power in named],
        "ticktext": [f"{10**power:,}" if power < 5 else power_text(power) for power in named],
    }


def _before(day: date) -> str:
    return f"{date.fromordinal(day.toordinal() - 1).isoformat()} 11:00"
