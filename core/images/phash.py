"""A 64-bit fingerprint that stays nearly the same when a picture is resized or recompressed.

Two pictures whose hashes differ in few bits (6 is the customary limit) are near-duplicates:
they must not stand on both sides of a train/test split. The hash sees coarse shape only:
flat pictures all share one hash, and simple drawings of different things may come close.
Turned or mirrored pictures count as different.

References:
    Zauner (2010), Implementation and Benchmarking of Perceptual Image Hash Functions.
    Norouzi, Punjani, Fleet (2012), Fast Search in Hamming Space with Multi-Index Hashing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]  # SciPy ships no types

from core.errors import UsageError

MAX_DISTANCE = 12

_SIDE = 32  # pixels a side that the cosine transform sees
_LOW = 8  # lowest frequencies a side that make the hash
# The type II cosine transform of one axis, up to a factor: row k holds cos(pi k (2n + 1) / 64).
_COSINES = np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(_LOW), 2 * np.arange(_SIDE) + 1))

_SHARED_BANDS = 3
# A hash is compared with at most so many of those that share bands with it and follow it
# in order. Real pictures stay far below; the cap keeps a crowd of look-alikes from costing
# the square of its size.
_MAX_COMPARED = 1000


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """Return the 64-bit hash of a picture, from 0 to 2**64 - 1.

    The grey picture is brought to 32 x 32; each of its 8 x 8 lowest cosine frequencies
    gives one bit, set where it lies above their median, row by row from the highest bit.

    Args:
        image: Upright RGB, shape (H, W, 3), any size from 1 x 1.
    """
    grey = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    # Rounding drops what floating point leaves where a frequency is absent, so that all
    # flat pictures agree.
    low = np.round(_COSINES @ np.asarray(grey, np.float64) @ _COSINES.T, 6)
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def hamming(first: int, second: int) -> int:
    """Return the number of bits in which two hashes differ, 0 to 64.

    Example:
        >>> hamming(0b1100, 0b1010)
        2
    """
    return (first ^ second).bit_count()


def to_signed(value: int) -> int:
    """Return the hash as Postgres' bigint holds it: the same 64 bits, read as signed."""
    return value - 2**64 if value >= 2**63 else value


def from_signed(value: int) -> int:
    """Return the hash that `to_signed` turned into a bigint."""
    return value % 2**64


def near_duplicates(hashes: Sequence[int], *, max_distance: int = 6) -> NDArray[np.int64]:
    """Return the cluster of each hash: those linked by steps of few bits share one.

    Clusters are numbered from 0 in the order in which they first appear. Linking is
    transitive: the ends of a long chain may lie further apart than `max_distance`.

    The 64 bits are cut into `max_distance` + 3 bands. Hashes within the distance agree
    on at least three whole bands, so only those are compared that do, for every choice of
    three. That finds every pair, unless more than 1,000 different hashes share the same
    three bands; then pairs far apart in that crowd may be missed, and nothing else.

    Args:
        hashes: Values from 0 to 2**64 - 1, shape (n,); a million takes under a minute.
        max_distance: Bits, 0 to 12.

    Raises:
        UsageError: The distance is out of range.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise UsageError(f"max_distance must be 0 to {MAX_DISTANCE} bits, not {max_distance}")
    distinct, which = np.unique(np.array(hashes, dtype=np.uint64), return_inverse=True)
    clusters = np.arange(len(distinct))
    if max_distance > 0 and len(distinct) > 1:
        for mask in _band_masks(max_distance + _SHARED_BANDS):
            first, second = _close_pairs(distinct, clusters, mask, max_distance)
            clusters = _join(clusters, first, second)
    return _number_by_appearance(clusters[which])


def _band_masks(bands: int) -> list[np.uint64]:
    """Return a bit mask for every choice of three of the bands that 64 bits are cut into."""
    edges = [64 * number // bands for number in range(bands + 1)]
    masks = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    return [np.uint64(sum(chosen)) for chosen in combinations(masks, _SHARED_BANDS)]


def _close_pairs(
    hashes: NDArray[np.uint64], clusters: NDArray[np.int64], mask: np.uint64, max_distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return index pairs of different clusters that agree under the mask and lie close."""
    order = np.argsort(hashes & mask, kind="stable")
    values, own = hashes[order], clusters[order]
    keys = values & mask
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    alive = _unsettled(keys, own)
    for step in range(1, min(_MAX_COMPARED, len(values) - 1) + 1):
        alive = alive[: np.searchsorted(alive, len(values) - step)]
        alive = alive[keys[alive] == keys[alive + step]]
        if not alive.size:
            break
        apart = alive[own[alive] != own[alive + step]]
        close = apart[np.bitwise_count(values[apart] ^ values[apart + step]) <= max_distance]
        firsts.append(order[close])
        seconds.append(order[close + step])
    return np.concatenate(firsts), np.concatenate(seconds)


def _unsettled(keys: NDArray[np.uint64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices, keys being sorted, whose key occurs in more than one cluster."""
    _, starts, sizes = np.unique(keys, return_index=True, return_counts=True)
    settled = np.minimum.reduceat(clusters, starts) == np.maximum.reduceat(clusters, starts)
    return np.flatnonzero(np.repeat(~settled, sizes))


def _join(
    clusters: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the clusters after merging those that the pairs link."""
    count = len(clusters)
    links = (np.ones(len(first), np.bool_), (clusters[first], clusters[second]))
    untyped: Any = sparse
    graph = untyped.coo_array(links, shape=(count, count))
    merged: NDArray[np.int32] = untyped.csgraph.connected_components(graph, directed=False)[1]
    return merged.astype(np.int64)[clusters]


def _number_by_appearance(clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first_seen, which = np.unique(clusters, return_index=True, return_inverse=True)
    rank = np.empty(len(first_seen), np.int64)
    rank[np.argsort(first_seen)] = np.arange(len(first_seen))
    return rank[which]
