"""The images of one training run: decoded once, and drawn as often as the run wants them.

The pictures of a snapshot are decoded and resized once, by the one recipe, into a memory-mapped
array of bytes; what changes from pass to pass is done to tensors (trainer.variation.augment).
Images that cannot be read are counted and left out. A pool that does not fit on the local disk at
the model's input size is beyond this module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from core.errors import CatalogError, InvalidImageError, NotFoundError, TrainingError
from core.images.decode import decode
from core.images.preprocess import Recipe, preprocess
from core.images.source import read_bytes
from core.store.images import Sample
from trainer.images import decoded
from trainer.images.imbalance import Sampling
from trainer.ranks import Rank

Progress = Callable[[str, int, int], None]

_Item = TypeVar("_Item")

_CHUNK = 512  # images decoded between two reports of progress

_logger = logging.getLogger(__name__)


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


def decode_all(
    samples: Sequence[Sample],
    *,
    labels: Sequence[str],
    recipe: Recipe,
    path: Path,
    threads: int,
    on_progress: Progress | None = None,
) -> Pixels:
    """Decode and resize every image once, into the file `path`; what is whole there is kept.

    Raises:
        TrainingError: More than half of the images cannot be read, or the disk is full.
    """
    key = decoded.key_of(samples, recipe)
    if (kept := decoded.find(path, key)) is not None:
        return _readable(samples, labels, *kept)
    shape = (max(len(samples), 1), recipe.height, recipe.width, 3)
    pixels = decoded.create(path, shape)
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
    decoded.keep(path, key, pixels, complaints)
    return _readable(samples, labels, pixels, complaints)


def training_weights(
    pixels: Pixels,
    labels: Sequence[str],
    *,
    sampling: Sampling | None = None,
    favour: Mapping[int, float] | None = None,
) -> NDArray[np.float64]:
    """Return how often each image is drawn, relative to the others, shape (n,).

    Without a sampling every class is drawn as often as any other, however many images it has.
    `favour` says, by image id, which images come so many times as often, and make their class
    weigh more.

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
    weights = (sampling or Sampling()).weights(counts)[pixels.labels]
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


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items, the next one being made meanwhile in another thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


class Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """Training batches of raw pixels, a fresh order in each pass.

    Yields uint8 images (batch, height, width, 3) and class numbers (batch,). The order depends
    on the seed and the number of the pass only. Many ranks share out each batch; a few images of
    a pass are left for another then, so that all have as many to learn from. An image that would
    be alone in the last batch joins the one before: of one alone no variance can be had.
    """

    def __init__(
        self,
        pixels: Pixels,
        *,
        batch_size: int,
        weights: NDArray[np.float64] | None = None,
        seed: int = 0,
        rank: Rank | None = None,
        ahead: bool = False,
    ) -> None:
        """Make them.

        Args:
            pixels: The images.
            batch_size: Of all ranks together.
            weights: How often each image is drawn; None for each once, in order.
            seed: Of the order.
            rank: Whose share it is; None where there is one alone.
            ahead: Whether the next batch is gathered while one is worked on: worth a thread
                where another device does the work.
        """
        self._ahead = ahead
        self._rank = rank or Rank()
        self._pixels = pixels
        self._batch_size = batch_size // self._rank.of
        self._weights = weights
        self._seed = seed
        self._passes = 0

    def __len__(self) -> int:
        return len(self._starts(len(self._mine(np.arange(len(self._pixels))))))

    def begin(self, number: int) -> None:
        """Make the next pass the one of that number, counted from 0."""
        self._passes = number

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # A generator: Lightning asks for it before it says which pass it is about to make.
        order = np.arange(len(self._pixels))
        if self._weights is not None:
            rng = np.random.default_rng([self._seed, self._passes])
            order = draw_order(self._weights, len(self._pixels), rng)
        self._passes += 1
        order = self._mine(order)
        parts = np.split(order, self._starts(len(order))[1:])
        batches = self._gathered(parts)
        yield from one_ahead(batches) if self._ahead else batches

    def _gathered(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[tuple[Tensor, Tensor]]:
        for places in parts:
            yield (
                torch.from_numpy(self._pixels.take(places)),
                torch.from_numpy(self._pixels.labels[places]),
            )

    def _mine(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        of = self._rank.of
        whole = len(order) if self._weights is None else len(order) - len(order) % of
        return order[:whole][self._rank.number :: of]

    def _starts(self, size: int) -> range:
        """Return where batches begin."""
        starts = range(0, size, self._batch_size)
        alone = self._weights is not None and len(starts) > 1 and size - starts[-1] == 1
        return starts[:-1] if alone else starts


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
