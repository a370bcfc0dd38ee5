"""Idempotency-Keys over all fronts of a service, in the engine process.

A key is one front's at a time; the next one gets it when that has let go, or is gone. What one
front comes to know of a key all others hear before they get it; what lies in the spool is kept
here as well, for a front that starts later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

Grant = Callable[[], None]
_Place = tuple[str, str]


class KeyTurns:
    """Whose turn it is with each key, and which keys are in the spool."""

    def __init__(self) -> None:
        self._lines: dict[_Place, deque[tuple[int, Grant]]] = {}
        self._pinned: dict[_Place, dict[str, Any]] = {}

    def __len__(self) -> int:
        """Return how many keys are somebody's just now."""
        return len(self._lines)

    def join(self, place: _Place, front: int, grant: Grant) -> None:
        """Put a front into the line of a key.

        Args:
            place: The caller and the key.
            front: Which. It may ask for its next turn before its last one's end is heard here.
            grant: Called when it is its turn, at once where nobody else is in the line.
        """
        line = self._lines.setdefault(place, deque())
        line.append((front, grant))
        if len(line) == 1:
            grant()

    def leave(self, place: _Place, front: int) -> None:
        """Take a front's earliest place out of a key's line, whether it was its turn or not yet."""
        line = self._lines.get(place, ())
        index = next((i for i, (each, _) in enumerate(line) if each == front), None)
        if index is not None:
            self._free(place, index)

    def forget(self, front: int) -> None:
        """Take a front that is gone out of every line."""
        for place, line in list(self._lines.items()):
            # From behind, so that no turn is given to a place that is taken out next.
            for i in reversed([i for i, (each, _) in enumerate(line) if each == front]):
                self._free(place, i)

    def note(self, state: str, kept: list[dict[str, Any]]) -> None:
        """Keep what lies in the spool.

        Args:
            state: `pinned` for what does from now on, `unpinned` for what does no more.
            kept: Answers under their keys, as JSON.
        """
        for each in kept:
            place = (each["caller"], each["key"])
            if state == "pinned":
                self._pinned[place] = each
            elif state == "unpinned":
                self._pinned.pop(place, None)

    def pinned(self, *, at_once: int) -> Iterator[list[dict[str, Any]]]:
        """Yield what lies in the spool, so many at a time."""
        kept = list(self._pinned.values())
        for begin in range(0, len(kept), at_once):
            yield kept[begin : begin + at_once]

    def _free(self, place: _Place, index: int) -> None:
        line = self._lines[place]
        del line[index]
        if not line:
            del self._lines[place]
        elif index == 0:
            line[0][1]()
