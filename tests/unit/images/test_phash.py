"""The perceptual hash and the clusters made of it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse.csgraph import connected_components

from core.errors import UsageError
from core.images.decode import decode
from core.images.phash import (
    from_signed,
    hamming,
    near_duplicates,
    perceptual_hash,
    to_signed,
)
from tests.images import jpeg, photo

hashes = st.integers(0, 2**64 - 1)


def _noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (90, 70, 3), dtype=np.uint8)


def _flip(value: int, bits: NDArray[np.int64]) -> int:
    for bit in bits:
        value ^= 1 << int(bit)
    return value


class TestPerceptualHash:
    """64 bits that say what a picture looks like."""

    def test_is_the_sign_of_the_lowest_cosines_against_their_median(self):
        """Agrees with SciPy's transform, and so with the hashes others publish."""
        image = _noise(1)
        grey = Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
        low = np.asarray(dctn(np.asarray(grey, float)))[:8, :8]

        bits = "".join("1" if value > np.median(low) else "0" for value in low.ravel())

        assert perceptual_hash(image) == int(bits, 2)

    def test_stays_close_when_resized_and_recompressed(self):
        """That is the whole point of it."""
        image = photo(400, 300, seed=5)
        smaller = np.array(Image.fromarray(image).resize((200, 150)))

        again = decode(jpeg(smaller, quality=60))

        assert hamming(perceptual_hash(image), perceptual_hash(again)) <= 6

    def test_keeps_different_pictures_apart(self):
        """Half the bits differ between strangers, give or take."""
        distances = [
            hamming(perceptual_hash(_noise(n)), perceptual_hash(_noise(n + 1))) for n in range(20)
        ]

        assert min(distances) > 12

    @pytest.mark.parametrize("level", [1, 77, 128, 255])
    @pytest.mark.parametrize("size", [(1, 1), (32, 32), (10_000, 1)])
    def test_is_one_and_the_same_for_flat_pictures(self, level: int, size: tuple[int, int]):
        """What floating point leaves of an absent frequency must not decide a bit."""
        assert perceptual_hash(np.full((*size, 3), level, np.uint8)) == 1 << 63


class TestSigned:
    """Postgres has no unsigned bigint."""

    @settings(deadline=None)  # a busy machine is no fault
    @given(hashes)
    def test_survives_the_journey_into_a_bigint(self, value: int):
        """A sign lost on the way would be a different picture."""
        assert -(2**63) <= to_signed(value) < 2**63
        assert from_signed(to_signed(value)) == value


class TestNearDuplicates:
    """Clusters that must stay on one side of a split."""

    @pytest.mark.parametrize("distance", [0, 1, 3, 6, 10])
    def test_agrees_with_comparing_every_pair(self, distance: int):
        """The bands may not lose a pair."""
        rng = np.random.default_rng(distance)
        values = [int(value) for value in rng.integers(0, 2**64, 150, dtype=np.uint64)]
        values += [
            _flip(values[rng.integers(150)], rng.choice(64, rng.integers(1, 12), replace=False))
            for _ in range(250)
        ]
        array = np.array(values, np.uint64)
        close = np.bitwise_count(array[:, None] ^ array[None, :]) <= distance
        expected = connected_components(close, directed=False)[1]

        clusters = near_duplicates(values, max_distance=distance)

        pairs = set(zip(clusters.tolist(), expected.tolist(), strict=True))
        assert len(pairs) == len(set(clusters.tolist())) == len(set(expected.tolist()))

    @settings(deadline=None)  # a busy machine is no fault
    @given(hashes, st.sets(st.integers(0, 63), max_size=6))
    def test_finds_a_pair_wherever_its_bits_differ(self, value: int, bits: set[int]):
        """At the distance itself, not only below."""
        other = _flip(value, np.array(sorted(bits), np.int64))

        assert near_duplicates([value, other]).tolist() == [0, 0]

    def test_numbers_clusters_as_they_appear(self):
        """So that the same list always gives the same answer."""
        apart = [0, 2**64 - 1, 0b11, (1 << 20) - 1, 2**64 - 2]

        assert near_duplicates(apart).tolist() == [0, 1, 0, 2, 1]

    def test_links_through_a_chain(self):
        """Neighbours of neighbours belong together, or a split would cut between them."""
        assert near_duplicates([0, 0b111111, 0b111111 << 6 | 0b111111]).tolist() == [0, 0, 0]

    def test_takes_nothing_and_one(self):
        """An empty folder is no error here."""
        assert near_duplicates([]).tolist() == []
        assert near_duplicates([7]).tolist() == [0]

    def test_puts_a_million_flat_pictures_together_at_once(self):
        """Scanned blank pages share one hash; comparing them pairwise would take days."""
        started = time.process_time()

        clusters = near_duplicates([1 << 63] * 1_000_000)

        assert not clusters.any()
        assert time.process_time() - started < 5

    def test_bounds_the_work_for_a_crowd_of_look_alikes(self):
        """Frames of one fixed camera are all close to each other, and all different."""
        rng = np.random.default_rng(0)
        crowd = [_flip(0x0123456789ABCDEF, rng.choice(64, 3, replace=False)) for _ in range(8000)]
        started = time.process_time()

        clusters = near_duplicates(crowd)

        assert not clusters.any()
        assert time.process_time() - started < 10

    def test_refuses_a_distance_at_which_everything_is_alike(self):
        """Strangers differ in about 32 bits; the bands get too narrow long before."""
        with pytest.raises(UsageError, match="0 to 12"):
            near_duplicates([1, 2], max_distance=13)
