"""What an import found, took in and left aside, for people and for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Literal

Reason = Literal[
    "corrupt",  # no JPEG, PNG or WebP that can be decoded
    "unreadable",  # missing, not permitted, or its address cannot be kept
    "duplicate",  # the same bytes once more
    "two_labels",  # the same bytes under another label
    "label",  # the name of its class is refused
    "misplaced",  # not inside a class folder
    "row",  # a row of the CSV that makes no sense
]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One image that was not taken in.

    Attributes:
        what: Its address, or where in the CSV it stands.
        why: A sentence.
    """

    what: str
    why: str


class SetAside:
    """Counts what was left out, by reason, and keeps the first few of each as examples."""

    def __init__(self) -> None:
        self._counts: Counter[Reason] = Counter()
        self._first: defaultdict[Reason, list[LeftOut]] = defaultdict(list)

    def add(self, reason: Reason, what: str, why: str) -> None:
        """Leave one out."""
        self._counts[reason] += 1
        if len(self._first[reason]) < _SHOWN:
            self._first[reason].append(LeftOut(showable(what), showable(why)))

    def count(self, reason: Reason | None = None) -> int:
        """Return how many were left out, for one reason or for any."""
        return self._counts.total() if reason is None else self._counts[reason]

    def first(self, reason: Reason) -> list[LeftOut]:
        """Return the first examples, twenty at most."""
        return list(self._first[reason])

    def worst(self) -> LeftOut | None:
        """Return the first example of the most frequent reason; None when nothing is left out."""
        most = self._counts.most_common(1)
        return self._first[most[0][0]][0] if most else None

    def to_dict(self) -> dict[str, Any]:
        """Return `{reason: {"count", "first": [{"what", "why"}]}}`, the most frequent first."""
        return {
            reason: {
                "count": count,
                "first": [{"what": left.what, "why": left.why} for left in self._first[reason]],
            }
            for reason, count in self._counts.most_common()
        }


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The outcome of one import.

    Attributes:
        source: What was imported: an absolute path or a URI.
        found: Images listed, readable or not.
        added: Images that are new in the pool.
        known: Images that the pool held already, under the same label.
        moved: Those of the known ones whose address was out of date, and was corrected.
        ignored: Other files, and hidden ones, that were passed over.
        set_aside: What was left out, by reason.
        classes: Images of the pool after the import, `{label: {split: n}}`, for each label found.
        near_duplicates: Added images that nearly repeat another one of the pool.
        leaks: Added images with a near-duplicate on the other side of a split that was given.
        seconds: How long it took.
    """

    source: str
    found: int
    added: int
    known: int
    moved: int
    ignored: int
    set_aside: SetAside
    classes: dict[str, dict[str, int]]
    near_duplicates: int
    leaks: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON would hold it."""
        return {
            "source": showable(self.source),
            "found": self.found,
            "added": self.added,
            "known": self.known,
            "moved": self.moved,
            "ignored": self.ignored,
            "set_aside": self.set_aside.to_dict(),
            "classes": self.classes,
            "near_duplicates": self.near_duplicates,
            "leaks": self.leaks,
            "seconds": round(self.seconds, 3),
        }


def showable(text: str) -> str:
    r"""Return text that any encoding can print: bytes of a name that are no UTF-8 become `\xNN`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
