"""What people were told of a class: counts over some days, as an alert keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """Counts that people were told of.

    Attributes:
        since: The first day counted.
        until: The last.
        n: Images of the class on these days.
        correct: How many were answered right.
    """

    since: date
    until: date
    n: int
    correct: int

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Told:
        """Read what `to_json` wrote."""
        since, until = (date.fromisoformat(kept[name]) for name in ("since", "until"))
        return cls(since, until, kept["n"], kept["correct"])

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return asdict(self) | {"since": f"{self.since}", "until": f"{self.until}"}
