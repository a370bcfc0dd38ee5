"""What is said in a sentence, and how serious that is: the same on every page.

Class names stand in the sentences as `Mention`, so that the page can link them, and moments as
`Moment`, so that it can tell them in the reader's own time; everything else is plain text. No word
here is HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.shown.phrases import Mention, Moment, Phrase, plain

__all__ = ["Mention", "Moment", "Phrase", "Tone", "Verdict", "plain"]

Tone = Literal["bad", "watch", "good", "none"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sentence, how serious it is, and what else should be known."""

    tone: Tone
    sentence: Phrase
    notes: Sequence[str | Phrase]
