"""Sentences in parts, in which classes and moments are named, so that a page can do more with them.

Everything else is plain text. No word here is HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


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
