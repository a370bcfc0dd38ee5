"""Which side a new image goes to."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.neighbours import Neighbour, Newcomer
from core.catalog.splits import SIDES, Division, divide, parse_split
from core.errors import UsageError

FRACTIONS = (0.7, 0.15, 0.15)


def _digest(seed: object) -> str:
    return hashlib.sha256(repr(seed).encode()).hexdigest()


def _images(count: int, label: str = "Cat", salt: object = 0) -> list[Newcomer]:
    """Return images none of which looks like another: random hashes are 32 bits apart."""
    digests = [_digest((label, salt, number)) for number in range(count)]
    return [Newcomer(digest, int(digest[:16], 16), label, None) for digest in digests]


def _counts(division: Division) -> list[int]:
    counts = Counter(division.splits)
    return [counts[side] for side in SIDES]


class TestDivide:
    """Sides for new images."""

    @given(
        st.integers(1, 300),
        st.tuples(*[st.integers(0, 10)] * 3).filter(any),
        st.integers(0, 1000),
    )
    def test_divides_a_class_as_asked_to_one_image(
        self, count: int, shares: tuple[int, int, int], salt: int
    ):
        """A class of ten keeps an image for the test, a class of a thousand its exact share."""
        fractions = parse_split("/".join(map(str, shares)))

        counts = _counts(divide(_images(count, salt=salt), [], fractions))

        for number, fraction in zip(counts, fractions, strict=True):
            assert abs(number - fraction * count) < 1
            assert fraction > 0 or number == 0

    def test_gives_single_images_their_chance_of_each_side(self):
        """Images labelled one a day must fill the test side, too."""
        alone = [divide(_images(1, salt=day), [], FRACTIONS).splits[0] for day in range(2000)]

        counts = Counter(alone)
        expected = np.array([1400, 300, 300])
        spread = np.sqrt(expected * (1 - expected / 2000))
        assert np.all(np.abs([counts[side] for side in SIDES] - expected) < 4 * spread)

    def test_does_not_depend_on_the_order_of_the_files(self):
        """The same images are divided in the same way on every machine."""
        images = _images(50)
        forward = dict(zip(images, divide(images, [], FRACTIONS).splits, strict=True))

        backward = divide(images[::-1], [], FRACTIONS).splits

        assert backward == [forward[image] for image in images[::-1]]

    def test_keeps_near_duplicates_on_one_side_also_across_labels(self):
        """A test image whose twin was taught tests nothing."""
        originals = _images(60) + _images(60, "Dog")
        copies = [
            Newcomer(_digest(image.sha256), image.phash ^ 0b101, label, None)
            for image, label in zip(originals, ["Dog"] * 60 + ["Cat"] * 60, strict=True)
        ]

        division = divide(originals + copies, [], FRACTIONS)

        assert division.splits[:120] == division.splits[120:]
        assert division.clusters[:120] == division.clusters[120:]
        assert (division.near_duplicates, division.leaks) == (120, 0)

    def test_keeps_the_shares_of_a_class_with_bursts(self):
        """Single images make up for what groups leave uneven."""
        singles = _images(200)
        bursts = [
            Newcomer(_digest((image.sha256, shot)), image.phash ^ shot, "Cat", None)
            for image in _images(10, salt="burst")
            for shot in range(8)
        ]

        counts = _counts(divide(singles + bursts, [], FRACTIONS))

        assert np.allclose(counts, [196, 42, 42], atol=2)

    def test_puts_a_look_alike_of_the_pool_on_its_side(self):
        """An image of the pool never changes sides; its copies follow it."""
        pool = [
            Neighbour(image.phash, number, SIDES[number % 3])
            for number, image in enumerate(_images(90))
        ]
        copies = [Newcomer(_digest(n.phash), n.phash ^ 0b11, "Cat", None) for n in pool]

        division = divide(copies, pool, FRACTIONS)

        assert division.splits == [neighbour.split for neighbour in pool]
        assert division.clusters == [neighbour.cluster for neighbour in pool]

    def test_keeps_given_sides_and_counts_where_they_leak(self):
        """The owner's split stands, and the owner is told what is wrong with it."""
        image = _images(1)[0]
        twins = [
            Newcomer(_digest(side), image.phash ^ bit, "Cat", side)
            for bit, side in enumerate(["train", "train", "test"])
        ]

        division = divide([*twins, *_images(3, salt="others")], [], FRACTIONS)

        assert division.splits[:3] == ["train", "train", "test"]
        assert division.leaks == 1

    def test_lets_an_undecided_image_follow_its_given_twin(self):
        """A list may name sides for some of its rows only."""
        image = _images(1)[0]
        twin = Newcomer(_digest("twin"), image.phash ^ 1, "Cat", "test")

        assert divide([image, twin], [], (1.0, 0.0, 0.0)).splits == ["test", "test"]

    def test_has_nothing_to_say_about_no_images(self):
        """A second import of the same folder."""
        assert divide([], [Neighbour(1, 1, "val")], FRACTIONS).splits == []


class TestParseSplit:
    """What a person writes on the command line."""

    @pytest.mark.parametrize("text", ["70/15/15", "0.7/0.15/0.15", "14/3/3"])
    def test_takes_shares_in_any_unit(self, text: str):
        """Percent and fractions mean the same."""
        assert parse_split(text) == pytest.approx(FRACTIONS)

    @pytest.mark.parametrize(
        "text", ["", "70/30", "a/b/c", "1/-1/1", "0/0/0", "nan/1/1", "inf/1/1"]
    )
    def test_refuses_what_is_no_split(self, text: str):
        """And shows one that is."""
        with pytest.raises(UsageError, match="70/15/15"):
            parse_split(text)
