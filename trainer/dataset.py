"""The images of one training run: a frozen list, decoded once, drawn evenly over the classes.

A snapshot names every image that the run may see, and its digest stands for exactly that list.
Its pictures are decoded and resized once, by the one recipe, into a memory-mapped array of
bytes; what changes from pass to pass is done to tensors (trainer.augment). Images that cannot be
read are counted and left out. A pool that does not fit on the local disk at the model's input
size is beyond this module.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Connection
from torch import Tensor
from torch.utils.data import IterableDataset

from core.errors import CatalogError, InvalidImageError, NotFoundError, TrainingError
from core.images.decode import decode
from core.images.preprocess import Recipe, preprocess
from core.images.source import read_bytes
from core.store import images
from core.store.images import Sample

Progress = Callable[[str, int, int], None]

_CHUNK = 512  # images decoded between two reports of progress

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
    """

    at: datetime
    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over one sorted line `sha256 label split` for each image."""
        lines = sorted(
            f"{sample.sha256} {sample.label} {sample.split}\n"
            for sample in (*self.train, *self.val, *self.test)
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Pixels:
    """Decoded images of one side, in the order of their samples.

    Attributes:
        samples: Those that could be read, n of them.
        labels: Their class numbers, int64 of shape (n,).
        images: Memory-mapped pixels, uint8 of shape (m, height, width, 3) with m >= n.
        rows: Where each sample's pixels lie in `images`, int64 of shape (n,).
        unreadable: The others, with the reason.
    """

    samples: tuple[Sample, ...]
    labels: NDArray[np.int64]
    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    unreadable: tuple[tuple[Sample, str], ...]

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the pixels at these places among the samples, (len(places), height, width, 3)."""
        return self.images[self.rows[places]]

    def batches(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Yield all pixels in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True, slots=True)
class Sides:
    """The decoded images of a run, and where it keeps things.

    Attributes:
        train: To learn from.
        weights: How often each of them is drawn, shape (n,).
        val: To choose by.
        recipe: How they were resized.
        folder: Of the run.
        features: Where features of frozen backbones are kept, beyond the run.
    """

    train: Pixels
    weights: NDArray[np.float64]
    val: Pixels
    recipe: Recipe
    folder: Path
    features: Path


def freeze(
    connection: Connection,
    *,
    at: datetime,
    labels: Sequence[str] | None = None,
    limit_per_class: int | None = None,
) -> Snapshot:
    """Freeze the pool as it stood at `at`.

    Args:
        connection: Where the pool is.
        at: Images added later are left out, and those whose label is held back as doubtful.
        labels: The classes wanted, in the model's order; None for all, alphabetically.
        limit_per_class: Most training images of a class; the other sides stay whole.

    Raises:
        TrainingError: There are fewer than two classes, one has nothing to learn from, or there
            are no validation images.
    """
    classes = tuple(images.labels(connection) if labels is None else labels)
    if len(set(classes)) < 2:
        raise TrainingError(
            f"a classifier needs two classes or more, not {list(classes)}; "
            "import images first: weakspot data import DIR"
        )
    sides = {
        split: images.samples(connection, split=split, labels=classes, added_by=at, trusted=True)
        for split in images.SPLITS
    }
    _require_training_images(classes, Counter(sample.label for sample in sides["train"]))
    if not sides["val"]:
        raise TrainingError(
            "the pool has no validation images; import with --split, such as .7/.15/.15"
        )
    train = limited(sides["train"], limit_per_class)
    return Snapshot(at, classes, tuple(train), tuple(sides["val"]), tuple(sides["test"]))


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


def decode_all(
    samples: Sequence[Sample],
    *,
    labels: Sequence[str],
    recipe: Recipe,
    path: Path,
    threads: int,
    on_progress: Progress | None = None,
) -> Pixels:
    """Decode and resize every image once, into the new file `path`.

    Raises:
        TrainingError: More than half of the images cannot be read.
    """
    shape = (max(len(samples), 1), recipe.height, recipe.width, 3)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    complaints: dict[int, str] = {}

    def put(place: int) -> None:
        try:
            pixels[place] = preprocess(decode(read_bytes(samples[place].uri)), recipe)
        except (InvalidImageError, CatalogError, NotFoundError) as error:
            complaints[place] = str(error)

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(samples), _CHUNK):
            stop = min(start + _CHUNK, len(samples))
            list(pool.map(put, range(start, stop)))
            if on_progress:
                on_progress("reading images", stop, len(samples))
    return _readable(samples, labels, pixels, complaints)


def training_weights(
    pixels: Pixels, labels: Sequence[str], *, favour: Mapping[int, float] | None = None
) -> NDArray[np.float64]:
    """Return how often each image is drawn, relative to the others, shape (n,).

    Every class is drawn as often as any other, however many images it has. `favour` says, by
    image id, which images come so many times as often, and make their class weigh more.

    Raises:
        TrainingError: A class has no image that could be read.
    """
    counts = np.bincount(pixels.labels, minlength=len(labels))
    unreadable = [label for label, n in zip(labels, counts, strict=True) if not n]
    if unreadable:
        raise TrainingError(
            f"no training image of {', '.join(map(repr, unreadable))} can be read; "
            "see: weakspot data verify"
        )
    weights = len(pixels) / (len(labels) * counts[pixels.labels])
    times = favour or {}
    return weights * np.array([times.get(sample.id, 1.0) for sample in pixels.samples])


def draw_order(
    weights: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `size` places in random order, each as often as its weight asks for.

    Systematic sampling: the number of times an image comes up differs from its expectation by
    less than one. Equal weights and `size` = n give each image exactly once, where drawing with
    replacement would leave out a third.
    """
    steps = (np.arange(size) + rng.random()) * (weights.sum() / size)
    shuffled = rng.permutation(len(weights))
    places = np.searchsorted(np.cumsum(weights[shuffled]), steps, side="right")
    # Rounding may put the last step past the end of the last cumulative weight.
    return rng.permutation(shuffled[np.minimum(places, len(weights) - 1)])


class Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """Training batches of raw pixels, a fresh order in each pass.

    Yields uint8 images (batch, height, width, 3) and class numbers (batch,). The order depends
    on the seed and the number of the pass only.
    """

    def __init__(
        self,
        pixels: Pixels,
        *,
        batch_size: int,
        weights: NDArray[np.float64] | None = None,
        seed: int = 0,
    ) -> None:
        self._pixels = pixels
        self._batch_size = batch_size
        self._weights = weights
        self._seed = seed
        self._passes = 0

    def __len__(self) -> int:
        return math.ceil(len(self._pixels) / self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = np.arange(len(self._pixels))
        if self._weights is not None:
            rng = np.random.default_rng([self._seed, self._passes])
            order = draw_order(self._weights, len(self._pixels), rng)
        self._passes += 1
        for start in range(0, len(order), self._batch_size):
            places = order[start : start + self._batch_size]
            yield (
                torch.from_numpy(self._pixels.take(places)),
                torch.from_numpy(self._pixels.labels[places]),
            )


def _require_training_images(classes: Sequence[str], counts: Mapping[str, int]) -> None:
    empty = [label for label in classes if not counts.get(label)]
    if empty:
        raise TrainingError(
            f"no training images of {', '.join(map(repr, empty))}; "
            "import some, or name the classes to train with --classes"
        )


def _readable(
    samples: Sequence[Sample],
    labels: Sequence[str],
    pixels: NDArray[np.uint8],
    complaints: Mapping[int, str],
) -> Pixels:
    if len(complaints) * 2 > len(samples):
        raise TrainingError(
            f"{len(complaints)} of {len(samples)} images cannot be read, the first because "
            f"{next(iter(complaints.values()))}; see: weakspot data verify"
        )
    if complaints:
        _logger.warning(
            "images left out because they cannot be read",
            extra={"unreadable": len(complaints), "images": len(samples)},
        )
    numbers = {label: number for number, label in enumerate(labels)}
    kept = [place for place in range(len(samples)) if place not in complaints]
    return Pixels(
        tuple(samples[place] for place in kept),
        np.array([numbers[samples[place].label] for place in kept], dtype=np.int64),
        pixels,
        np.array(kept, dtype=np.int64),
        tuple((samples[place], why) for place, why in sorted(complaints.items())),
    )
