"""Near-duplicates among new images and the pool."""

from __future__ import annotations

import numpy as np

from core.catalog.neighbours import Neighbour, Newcomer, group, look_alikes
from core.images.phash import near_duplicates


def _new(phash: int) -> Newcomer:
    return Newcomer(f"{phash:064x}", phash, "Cat", None)


class TestGroup:
    """What has to stand together."""

    def test_joins_a_copy_with_its_original_in_the_pool(self):
        """A recompressed copy may come years later."""
        original = Neighbour(0xABCD << 40, cluster=7, split="test")

        (joined,) = group([_new((0xABCD << 40) | 0b111)], [original])

        assert joined.pool == [original]
        assert joined.cluster([_new(0)]) == 7

    def test_leaves_out_groups_of_the_pool_alone(self):
        """Only new images are divided."""
        pool = [Neighbour(0xFF << 32, 1, "train"), Neighbour(0xFF00FF << 40, 2, "val")]

        groups = group([_new(0xABCD)], pool)

        assert [(len(one.pool), one.new) for one in groups] == [(0, [0])]

    def test_asks_the_closest_where_the_pool_disagrees(self):
        """An owner's split may part near-duplicates; a third copy goes to the more similar."""
        base = 0xABCDEF << 30
        pool = [Neighbour(base | 0b1111, 1, "train"), Neighbour(base, 2, "test")]

        (joined,) = group([_new(base | 0b1)], pool)

        nearest = joined.nearest([_new(base | 0b1)])
        assert nearest is not None
        assert nearest.split == "test"

    def test_is_empty_without_new_images(self):
        """Nothing new, nothing to divide."""
        assert group([], []) == []


class TestLookAlikes:
    """Clusters in which chains do not swallow the pool."""

    def test_are_near_duplicates_where_chains_are_short(self):
        """In ordinary pools the rule is six bits, whatever the chain."""
        rng = np.random.default_rng(0)
        hashes = [int(value) for value in rng.integers(0, 2**63, 500)]
        hashes += [value ^ 0b11 for value in hashes[:100]]

        assert np.array_equal(look_alikes(hashes), near_duplicates(hashes, max_distance=6))

    def test_cut_a_chain_of_different_pictures(self):
        """Silhouettes come within six bits of one another all along a long chain."""
        chain = [(1 << 60) - 1]
        rng = np.random.default_rng(1)
        while len(chain) < 400:
            flips = sum(1 << int(bit) for bit in rng.choice(60, 6, replace=False))
            chain.append(chain[-1] ^ flips)

        assert len(set(near_duplicates(chain, max_distance=6).tolist())) == 1
        assert np.bincount(look_alikes(chain)).max() <= 200

    def test_keep_equal_hashes_together_however_many(self):
        """A thousand frames of one still scene are one bet."""
        assert len(set(look_alikes([42] * 1000).tolist())) == 1
