"""The frozen list of images of one training run.

A snapshot names every image that the run may see, and its digest stands for exactly that list.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from core.errors import TrainingError
from core.store import images
from core.store.images import Sample

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The frozen list of images of one run.

    Attributes:
        at: The moment it was frozen.
        labels: The classes, in the order of the model's outputs.
        train: What the weights are learnt from.
        val: What temperature, best pass and reference levels are taken from.
        test: The gate's; never learnt from.
        left_out: Classes that had too few training images, and how many they had.
    """

    at: datetime
    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over one sorted line `sha256 label split` for each image."""
        lines = sorted(
            f"{sample.sha256} {sample.label} {sample.split}\n"
            for sample in (*self.train, *self.val, *self.test)
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def freeze(
    connection: Connection,
    *,
    at: datetime,
    labels: Sequence[str] | None = None,
    min_per_class: int | None = None,
    limit_per_class: int | None = None,
) -> Snapshot:
    """Freeze the pool as it stood at `at`.

    Args:
        connection: Where the pool is.
        at: Images added later are left out, and those whose label is held back as doubtful.
        labels: The classes wanted, in the model's order; None for all, alphabetically.
        min_per_class: Classes with fewer training images are left out of all sides, which is
            logged and told by the snapshot; None leaves out none.
        limit_per_class: Most training images of a class; the other sides stay whole.

    Raises:
        TrainingError: There are fewer than two classes, one has nothing to learn from, or there
            are no validation images.
    """
    classes = tuple(images.labels(connection) if labels is None else labels)
    _require_two(classes, "import images first: weakspot data import DIR")
    sides = {
        split: images.samples(connection, split=split, labels=classes, added_by=at, trusted=True)
        for split in images.SPLITS
    }
    counts = Counter(sample.label for sample in sides["train"])
    left_out = _left_out(classes, counts, min_per_class)
    if left_out:
        classes = tuple(each for each in classes if each not in left_out)
        sides = {
            split: [sample for sample in samples if sample.label not in left_out]
            for split, samples in sides.items()
        }
    _require_training_images(classes, counts)
    if not sides["val"]:
        raise TrainingError(
            "the pool has no validation images; import with --split, such as .7/.15/.15"
        )
    train = limited(sides["train"], limit_per_class)
    return Snapshot(at, classes, tuple(train), tuple(sides["val"]), tuple(sides["test"]), left_out)


def limited(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """Return at most `limit` samples of each class, in order; all of them without a limit."""
    if limit is None:
        return list(samples)
    taken: Counter[str] = Counter()
    kept: list[Sample] = []
    # Samples come ordered by digest, so the same few are kept whenever this is repeated.
    for sample in samples:
        taken[sample.label] += 1
        if taken[sample.label] <= limit:
            kept.append(sample)
    return kept


def _require_two(classes: Sequence[str], advice: str) -> None:
    if len(set(classes)) < 2:
        raise TrainingError(
            f"a classifier needs two classes or more, not {list(classes)}; {advice}"
        )


def _require_training_images(classes: Sequence[str], counts: Mapping[str, int]) -> None:
    empty = [label for label in classes if not counts.get(label)]
    if empty:
        raise TrainingError(
            f"no training images of {', '.join(map(repr, empty))}; "
            "import some, or name the classes to train with --classes"
        )


def _left_out(
    classes: Sequence[str], counts: Mapping[str, int], least: int | None
) -> dict[str, int]:
    """Return the classes with fewer training images, and how many they have; log them."""
    few = {each: counts.get(each, 0) for each in classes if counts.get(each, 0) < (least or 0)}
    if few:
        _logger.warning(
            "classes left out because they have too few training images",
            extra={"classes": few, "min_per_class": least},
        )
        others = [each for each in classes if each not in few]
        _require_two(others, f"the others have fewer than {least} training images each")
    return few
