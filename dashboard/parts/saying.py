"""What is said in a sentence, and how serious that is: the same on every page.

Class names stand in the sentences as `Mention`, so that the page can link them; everything else
is plain text. No word here is HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["bad", "watch", "good", "none"]


@dataclass(frozen=True, slots=True)
class Mention:
    """A class that is named in a sentence."""

    label: str


Phrase = list[str | Mention]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sentence, how serious it is, and what else should be known."""

    tone: Tone
    sentence: Phrase
    notes: list[str]


def plain(phrase: Phrase) -> str:
    """Return a phrase as plain text."""
    return "".join(part.label if isinstance(part, Mention) else part for part in phrase)
