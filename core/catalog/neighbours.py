"""Which new images nearly repeat one another, or an image of the pool.

Near-duplicates are found by perceptual hash: bursts, resized and recompressed copies. What
follows from it for the split is decided in `splits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.catalog.layout import Split
from core.images.phash import hamming, near_duplicates, to_signed

NEAR_BITS = 6
# A chain of look-alikes this long, or this share of all images, says more about the hash than
# about the images: silhouettes and night scenes come close to one another without being the
# same. There only closer pairs count, or a tenth of a pool would have to stand on one side.
_LONGEST_CHAIN = 200
_LARGEST_SHARE = 50  # the chain is also long when it holds one image in so many
_CLOSER = (4, 2, 0)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An image of the pool, as far as new ones have to respect it."""

    phash: int
    cluster: int
    split: Split


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A new image.

    Attributes:
        sha256: Its digest, in hex.
        phash: Its perceptual hash, 0 to 2**64 - 1.
        label: What it shows.
        split: The side it was given; None when it is to be drawn.
    """

    sha256: str
    phash: int
    label: str
    split: Split | None


@dataclass(frozen=True, slots=True)
class Group:
    """Near-duplicates: those of the pool, and the new ones in the order of their digests.

    Attributes:
        pool: Images of the pool.
        new: Places in the list of new images; never empty.
    """

    pool: list[Neighbour]
    new: list[int]

    def nearest(self, newcomers: Sequence[Newcomer]) -> Neighbour | None:
        """Return the image of the pool that speaks for all: the closest, where they disagree."""
        if len({(image.split, image.cluster) for image in self.pool}) <= 1:
            return self.pool[0] if self.pool else None
        first = newcomers[self.new[0]].phash
        return min(self.pool, key=lambda image: (hamming(image.phash, first), image.phash))

    def cluster(self, newcomers: Sequence[Newcomer]) -> int:
        """Return the number that near-duplicates share in Postgres: the first one's hash."""
        nearest = self.nearest(newcomers)
        if nearest is not None:
            return nearest.cluster
        return min(to_signed(newcomers[place].phash) for place in self.new)


def group(newcomers: Sequence[Newcomer], pool: Sequence[Neighbour]) -> list[Group]:
    """Return the groups of near-duplicates that hold a new image; most hold just one."""
    hashes = [image.phash for image in pool] + [image.phash for image in newcomers]
    clusters = look_alikes(hashes)
    old, new = clusters[: len(pool)].tolist(), clusters[len(pool) :].tolist()
    groups: dict[int, Group] = {}
    for place in sorted(range(len(newcomers)), key=lambda place: newcomers[place].sha256):
        groups.setdefault(new[place], Group([], [])).new.append(place)
    for image, cluster in zip(pool, old, strict=True):
        if cluster in groups:
            groups[cluster].pool.append(image)
    return list(groups.values())


def look_alikes(hashes: Sequence[int]) -> NDArray[np.int64]:
    """Return the cluster of each perceptual hash, where long chains are cut at closer pairs."""
    clusters = near_duplicates(hashes, max_distance=NEAR_BITS)
    longest = max(_LONGEST_CHAIN, len(hashes) // _LARGEST_SHARE)
    for bits in _CLOSER:
        crowded = np.flatnonzero(np.bincount(clusters)[clusters] > longest)
        if not crowded.size:
            break
        finer = near_duplicates([hashes[int(place)] for place in crowded], max_distance=bits)
        clusters[crowded] = clusters.max() + 1 + finer
    return clusters
