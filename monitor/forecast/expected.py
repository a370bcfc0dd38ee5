"""What the confidences of a day promise about its accuracy, answer by answer, without any labels.

From the rollups of the day and what the bundle says of its reference images. It decides which
class is labelled first where the evidence does not, and opens no flag.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.stats.without_labels import shortfall
from core.store import rollups

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.store.registry import Version
    from core.store.rollups import Sureness


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of the answers of one day that named one class.

    Attributes:
        today: How sure the version was of them; None where no answer named the class.
        reference: The same of the reference images, `{"n", "correct", "confidence",
            "confident"}`; None for a bundle that was made before this was written down.
    """

    today: Sureness | None
    reference: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as `weakspot health --json` shows it; None stands for not known."""
        now, then = self.today, self.reference
        return {
            "predictions": now.n if now else 0,
            "expected_accuracy": _share(now.confidence if now else None),
            "expected_accuracy_atc": _share(now.confident if now else None),
            "reference": None
            if then is None
            else {
                "n": then["n"],
                "accuracy": _share(then["correct"] / then["n"] if then["n"] else None),
                "expected_accuracy": _share(then["confidence"]),
                "expected_accuracy_atc": _share(then["confident"]),
            },
        }


def expected(connection: Connection, version: Version, day: date) -> list[Expected]:
    """Return what is expected of a day's answers, for each of the version's labels in order."""
    today = rollups.sureness(connection, day, version.version)
    then = _reference(version)
    return [Expected(today.get(label), then.get(label)) for label in version.labels]


def fallen(found: list[Expected]) -> NDArray[np.float64]:
    """Return how far expected accuracy is below the reference's, shape (K,), 0 at least.

    By the mean confidence. 0 where there are fewer than 30 answers, or no reference.
    """
    return shortfall(
        [each.today.n if each.today else 0 for each in found],
        [each.today.confidence if each.today else math.nan for each in found],
        [_number(each.reference["confidence"] if each.reference else None) for each in found],
    )


def _reference(version: Version) -> dict[str, Any]:
    kept: dict[str, Any] = version.metrics.get("val", {}).get("without_labels", {})
    return kept.get("predicted", {})


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _share(value: float | None) -> float | None:
    # A broken model may be surer than certain.
    return None if value is None else round(min(float(value), 1.0), 4)
