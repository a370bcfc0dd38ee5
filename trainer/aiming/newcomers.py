"""What came into the pool since the champion's snapshot, and how often it is drawn.

New images are what a retraining learns from; the champion's own come along so that it forgets
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from core.errors import TrainingError
from core.store import images
from core.store.images import Sample
from core.store.registry import Version
from trainer.images.snapshot import Snapshot, freeze, limited

# Fewer new images of a flagged class than these, and the class as a whole is drawn more often.
FEW = 5

_WHOLE_CLASS_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class Newcomers:
    """The images themselves, per side of the split."""

    sides: dict[str, list[Sample]]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return `{label: {split: n}}`."""
        found: dict[str, dict[str, int]] = {}
        for split, samples in self.sides.items():
            for label, n in Counter(sample.label for sample in samples).items():
                found.setdefault(label, {})[split] = n
        return found

    def to_learn_from(self, label: str) -> list[Sample]:
        """Return the new training images of one class."""
        return [sample for sample in self.sides["train"] if sample.label == label]


def since(connection: Connection, champion: Version, now: datetime) -> tuple[Snapshot, Newcomers]:
    """Return the pool as it stands, and what is new in it since the champion's snapshot.

    Raises:
        TrainingError: There is nothing to learn from, or nothing to examine a challenger on.
    """
    snapshot = freeze(connection, at=now, labels=champion.labels)
    if not snapshot.test:
        raise TrainingError(
            "there are no gate images to examine a challenger on; import some with split `test`"
        )
    sides = {
        split: images.samples(
            connection,
            split=split,
            labels=champion.labels,
            added_after=champion.snapshot_at,
            added_by=now,
            trusted=True,
        )
        for split in images.SPLITS
    }
    fresh = {sample.id for sample in sides["train"]}
    old = [sample for sample in snapshot.train if sample.id not in fresh]
    # The champion's own limit goes on for what it learnt from; every new image counts.
    kept = limited(old, champion.config.get("limit_per_class"))
    return replace(snapshot, train=(*kept, *sides["train"])), Newcomers(sides)


def favoured(
    snapshot: Snapshot, new: Newcomers, flagged: Sequence[str], weight: float
) -> Mapping[int, float]:
    """Return how many times as often, by image id, the flagged classes' images are drawn."""
    times: dict[int, float] = {}
    for label in flagged:
        fresh = new.to_learn_from(label)
        if len(fresh) < FEW:
            times |= {s.id: _WHOLE_CLASS_WEIGHT for s in snapshot.train if s.label == label}
        times |= {sample.id: weight for sample in fresh}
    return times


def notes(new: Newcomers, flagged: Sequence[str]) -> list[str]:
    """Return what a person should know about the images a retraining had."""
    return [
        f"only {len(new.to_learn_from(label))} new training images of {label}; "
        "the class as a whole was drawn more often"
        for label in flagged
        if len(new.to_learn_from(label)) < FEW
    ]
