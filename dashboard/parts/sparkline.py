"""A class's accuracy over the range, as a picture small enough to stand in a table row.

An SVG in a data URI: it needs no script, and holds no text, so no class name either. Its colours
suit the dark and the light page.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from core.store.class_days import ClassDay

WIDTH, HEIGHT = 120, 28

_BLUE, _ORANGE, _GREY = "#3d7fc4", "#d9680f", "#868e96"
_MARGIN = 3.0


def sparkline(days: Sequence[ClassDay], span: Sequence[date], reference: float | None) -> str:
    """Return the picture's address; a day without images breaks the line.

    Args:
        days: The class's examined days, in order.
        span: All days of the range, in order.
        reference: Level drawn as a dashed line; None for none.
    """
    place = {day: i for i, day in enumerate(span)}
    seen = [day for day in days if day.n > 0 and day.day in place]
    marks = [(_x(place[day.day], len(span)), _y(day.correct / day.n)) for day in seen]
    order = [place[day.day] - i for i, day in enumerate(seen)]
    parts = [_line(_y(reference))] if reference is not None else []
    # Days that follow one another share the difference between their place and their rank.
    for _, group in groupby(zip(order, marks, strict=True), key=lambda item: item[0]):
        parts.append(_stretch([mark for _, mark in group]))
    if marks:
        low = reference is not None and seen[-1].correct / seen[-1].n < reference
        x, y = marks[-1]
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{_ORANGE if low else _BLUE}"/>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'
    )
    return "data:image/svg+xml," + quote(svg)


def _x(place: int, days: int) -> float:
    return _MARGIN + (WIDTH - 2 * _MARGIN) * place / max(days - 1, 1)


def _y(share: float) -> float:
    return _MARGIN + (HEIGHT - 2 * _MARGIN) * (1 - share)


def _line(y: float) -> str:
    return (
        f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GREY}" '
        'stroke-width="1" stroke-dasharray="3 3" opacity="0.7"/>'
    )


def _stretch(marks: list[tuple[float, float]]) -> str:
    if len(marks) == 1:
        x, y = marks[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.4" fill="{_BLUE}"/>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in marks)
    first, last, ground = marks[0][0], marks[-1][0], _y(0)
    # Filled down to zero: the height says the share, and the line does not float in its row.
    return (
        f'<polygon points="{first:.1f},{ground} {points} {last:.1f},{ground}" fill="{_BLUE}" '
        'opacity="0.16"/>'
        f'<polyline points="{points}" fill="none" stroke="{_BLUE}" stroke-width="1.6" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    )
