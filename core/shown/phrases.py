"""Words that pages and messages share.

A phrase is a sentence in parts, in which classes and moments are named, so that a page can do more
with them. Everything else is plain text. No word here is HTML.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

_HARDLY_SURER: Final = 0.999


@dataclass(frozen=True, slots=True)
class Mention:
    """A class that is named in a sentence."""

    label: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment that is named in a sentence: when, aware; and how that is written, in UTC."""

    at: datetime
    words: str


Part = str | Mention | Moment
Phrase = list[Part]


def plain(phrase: Phrase) -> str:
    """Return a phrase as plain text.

    Example:
        >>> plain([Mention("Dog"), " became weak"])
        'Dog became weak'
    """
    return "".join(map(_text, phrase))


def _text(part: Part) -> str:
    if isinstance(part, Mention):
        return part.label
    return part.words if isinstance(part, Moment) else part


def sure_text(certainty: float) -> str:
    """Return a probability as `96 % sure`; it is never rounded up.

    Args:
        certainty: The probability, in [0, 1].
    """
    if certainty >= _HARDLY_SURER:
        return f"over {100 * _HARDLY_SURER:.1f} % sure"
    tenths = math.floor(1000 * certainty)
    return f"{tenths / 10:.1f} % sure" if tenths > 990 else f"{tenths // 10} % sure"
