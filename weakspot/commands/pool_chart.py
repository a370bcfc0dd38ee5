"""The profile of the pool as a picture for a browser: plain SVG, no script, nothing fetched.

Class names come from whoever named the folders, so every one is escaped.
"""

from __future__ import annotations

from html import escape

from core.catalog import ClassSize, Profile
from weakspot.commands.pool_text import colours

_COLOURS = {"train": "#4c78a8", "val": "#eeca3b", "test": "#54a24b"}
_FEW = "#c0392b"

_WIDTH, _LEFT, _RIGHT = 960, 230, 150
_ROW, _TOP = 22, 40
_LABEL = 30  # characters of a name that fit beside its bar
_TAIL_HEIGHT = 140
_TAIL_FROM = 40  # classes from which the long tail gets a picture of its own


def html(found: Profile, minimum: int) -> str:
    """Return a page with the bars, the sizes and the colours."""
    few = found.below(minimum)
    warning = (
        f"<p class='few'>{len(few)} classes have fewer than {minimum} images: "
        f"{escape(', '.join(few))}</p>"
        if few
        else ""
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>The pool of labelled images</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; color: #222 }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em; text-align: right }}
th:first-child {{ text-align: left }} .few {{ color: {_FEW} }}
</style>
</head>
<body>
<h1>{found.total:,} images in {len(found.classes):,} classes</h1>
<p>The largest class has {found.imbalance:.1f} times the images of the smallest.</p>
{warning}
{svg(found, minimum)}
<h2>Sizes</h2>
{_sizes(found)}
<h2>Colours</h2>
<p>{escape(colours(found))}</p>
</body>
</html>
"""


def svg(found: Profile, minimum: int) -> str:
    """Return the images per class as bars, the largest on top; before them, the long tail."""
    tail = len(found.classes) >= _TAIL_FROM
    top = _TOP + (_TAIL_HEIGHT + _TOP if tail else 0)
    height = top + _ROW * len(found.classes) + 10
    largest = found.classes[0].total
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="13" '
        'role="img" aria-label="Images per class">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        *_legend(),
        *(_tail(found) if tail else ()),
    ]
    for place, size in enumerate(found.classes):
        parts += _row(size, top + _ROW * place, largest, minimum)
    return "\n".join([*parts, "</svg>"])


def _legend() -> list[str]:
    parts: list[str] = []
    for place, (side, colour) in enumerate(_COLOURS.items()):
        x = _LEFT + 90 * place
        parts.append(f'<rect x="{x}" y="10" width="14" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{x + 20}" y="22" fill="#222">{side}</text>')
    return parts


def _tail(found: Profile) -> list[str]:
    """Return every class as one thin column, by rank."""
    bottom, width = _TOP + _TAIL_HEIGHT, _WIDTH - 20
    column = width / len(found.classes)
    largest = found.classes[0].total
    heights = [_TAIL_HEIGHT * size.total / largest for size in found.classes]
    parts = [
        f'<rect x="{10 + column * place:.2f}" y="{bottom - height:.2f}" '
        f'width="{max(column * 0.9, 0.3):.2f}" height="{height:.2f}" fill="#888"/>'
        for place, height in enumerate(heights)
    ]
    caption = f'<text x="10" y="{bottom + 18}" fill="#666">all classes by number of images</text>'
    return [*parts, caption]


def _row(size: ClassSize, top: float, largest: int, minimum: int) -> list[str]:
    room = _WIDTH - _LEFT - _RIGHT
    name = size.label if len(size.label) <= _LABEL else f"{size.label[: _LABEL - 1]}…"
    colour = _FEW if size.total < minimum else "#222"
    parts = [
        f'<text x="{_LEFT - 10}" y="{top + 15}" text-anchor="end" fill="{colour}">{escape(name)}'
        f"<title>{escape(size.label)}</title></text>"
    ]
    x = float(_LEFT)
    for side, fill in _COLOURS.items():
        count = getattr(size, side)
        width = room * count / largest
        parts.append(
            f'<rect x="{x:.2f}" y="{top + 2}" width="{width:.2f}" height="{_ROW - 6}" '
            f'fill="{fill}"><title>{count} {side}</title></rect>'
        )
        x += width
    few = f" (fewer than {minimum})" if size.total < minimum else ""
    parts.append(f'<text x="{x + 8:.2f}" y="{top + 15}" fill="{colour}">{size.total:,}{few}</text>')
    return parts


def _sizes(found: Profile) -> str:
    names = list(next(iter(found.sizes.values()), {}))
    head = "".join(f"<th>{name}</th>" for name in ("", *names))
    rows = "".join(
        f"<tr><th>{name}</th>" + "".join(f"<td>{value:,.0f}</td>" for value in values.values())
        for name, values in found.sizes.items()
    )
    return f"<table><tr>{head}</tr>{rows}</table>"
