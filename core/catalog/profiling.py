"""What the pool looks like: how many images of each class, how large, and in what colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from core.catalog.reading import side_by_side
from core.errors import CatalogError, InvalidImageError, NotFoundError
from core.images.decode import decode
from core.images.source import read_bytes
from core.store import images
from core.store.database import transaction
from core.store.images import Sample

OnProgress = Callable[[str, int, int], None]

QUANTILES = {
    "min": 0.0,
    "p5": 0.05,
    "p25": 0.25,
    "median": 0.5,
    "p75": 0.75,
    "p95": 0.95,
    "max": 1.0,
}

_PIXELS = 1_000_000  # of a larger picture every k-th row and column is measured


@dataclass(frozen=True, slots=True)
class ClassSize:
    """How many images of one class lie on each side.

    Attributes:
        label: The class.
        train: Images to learn from.
        val: Images to tune on.
        test: Images for the gate and the daily draw.
    """

    label: str
    train: int
    val: int
    test: int

    @property
    def total(self) -> int:
        """Images on all sides together."""
        return self.train + self.val + self.test


@dataclass(frozen=True, slots=True)
class Profile:
    """The pool at a glance.

    Attributes:
        classes: The classes, the largest first.
        sizes: Quantiles of `width`, `height` (pixels) and `bytes`, named as in `QUANTILES`.
        mean: Mean of the red, green and blue channel, from 0 to 1; None without a sample.
        std: Standard deviation of each, over pixels of all pictures alike.
        sampled: Pictures that the channels were measured on.
        unreadable: Pictures of the sample that could not be read.
    """

    classes: tuple[ClassSize, ...]
    sizes: dict[str, dict[str, float]]
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    sampled: int
    unreadable: int

    @property
    def total(self) -> int:
        """Images in the pool."""
        return sum(size.total for size in self.classes)

    @property
    def imbalance(self) -> float:
        """Images of the largest class for one of the smallest."""
        return self.classes[0].total / self.classes[-1].total

    def below(self, minimum: int) -> list[str]:
        """Return the classes with fewer images than `minimum`, the smallest first."""
        return [size.label for size in reversed(self.classes) if size.total < minimum]

    def to_dict(self, minimum: int = 0) -> dict[str, Any]:
        """Return the profile as JSON would hold it."""
        return {
            "images": self.total,
            "classes": [
                {
                    "label": size.label,
                    "n": size.total,
                    "train": size.train,
                    "val": size.val,
                    "test": size.test,
                }
                for size in self.classes
            ],
            "imbalance": round(self.imbalance, 3),
            "min_per_class": minimum,
            "below_min_per_class": self.below(minimum),
            "sizes": self.sizes,
            "channels": {
                "mean": self.mean,
                "std": self.std,
                "sampled": self.sampled,
                "unreadable": self.unreadable,
            },
        }


def profile(engine: Engine, *, sample: int = 500, on_progress: OnProgress | None = None) -> Profile:
    """Count and measure the pool.

    Counts and sizes are of all images. Colours are measured on a sample by digest, which is
    as good as one by chance and the same every time; each picture counts alike.

    Args:
        engine: The database.
        sample: Pictures to read for the colours.
        on_progress: Told (stage, done, total).

    Raises:
        CatalogError: The pool is empty.
    """
    with transaction(engine) as connection:
        counts = images.counts(connection)
        quantiles = images.quantiles(connection, list(QUANTILES.values()))
        samples = images.samples(connection, limit=sample)
    if not counts:
        raise CatalogError("the pool holds no images yet; run: weakspot data import FOLDER")
    moments: list[NDArray[np.float64]] = []
    for done, moment in enumerate(side_by_side(_moments, samples), start=1):
        if moment is not None:
            moments.append(moment)
        if on_progress is not None:
            on_progress("measuring colours", done, len(samples))
    mean, std = _mean_and_std(moments)
    return Profile(
        classes=_classes(counts),
        sizes={
            name: dict(zip(QUANTILES, values, strict=True)) for name, values in quantiles.items()
        },
        mean=mean,
        std=std,
        sampled=len(moments),
        unreadable=len(samples) - len(moments),
    )


def _classes(counts: list[images.ClassCount]) -> tuple[ClassSize, ...]:
    sides: dict[str, dict[str, int]] = {}
    for count in counts:
        sides.setdefault(count.label, dict.fromkeys(images.SPLITS, 0))[count.split] = count.n
    sizes = [ClassSize(label, **split) for label, split in sides.items()]
    return tuple(sorted(sizes, key=lambda size: (-size.total, size.label)))


def _moments(sample: Sample) -> NDArray[np.float64] | None:
    """Return mean and mean square of each channel, shape (2, 3); None if it cannot be read."""
    try:
        image = decode(read_bytes(sample.uri))
    except (CatalogError, InvalidImageError, NotFoundError):
        return None
    step = int(np.ceil(np.sqrt(image.shape[0] * image.shape[1] / _PIXELS)))
    pixels = image[::step, ::step].reshape(-1, 3) / 255.0
    return np.stack([pixels.mean(axis=0), np.square(pixels).mean(axis=0)])


_Channels = tuple[float, float, float] | None


def _mean_and_std(moments: list[NDArray[np.float64]]) -> tuple[_Channels, _Channels]:
    if not moments:
        return None, None
    mean, square = np.mean(moments, axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return _three(mean), _three(std)


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = np.round(values, 6).tolist()
    return red, green, blue
