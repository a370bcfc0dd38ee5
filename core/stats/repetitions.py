"""Classes lived through by lot, many times over, among others that share their labels.

What core.stats.how_soon_adaptive counts with: a crowd of classes and its evidence day by day,
and the rank that evidence has among healthy classes, by which labels are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from core.stats.allocation import allocate
from core.stats.evidence import RATIOS, weights_of

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

HEALTHY_DAYS = 30
# The others' evidence is that of the last days of their month.
_STANDING_DAYS = 8
_OTHERS = 8_000
_PLACES = 800
SEED = 41
GAIN_OF_A_HIT = np.log(np.array(RATIOS))


@dataclass(frozen=True, slots=True)
class Terms:
    """How many labels a day for all classes, until when, and how much sooner to be done."""

    labels: int
    threshold: float
    longest_days: int
    haste: int = 1


@dataclass(frozen=True, slots=True)
class Shared:
    """What all classes share: the labels of each rank, the terms, and the others' evidence."""

    by_rank: NDArray[np.int64]
    terms: Terms
    others: Others

    def labels_of(self, evidence: NDArray[np.float64], rng: Generator) -> NDArray[np.int64]:
        """Return the labels that a class of this evidence gets, shape as `evidence`."""
        above = self.others.share_above(evidence)
        return self.by_rank[rng.binomial(self.by_rank.size - 1, above)]


class Others:
    """The evidence of healthy classes, and which share of them is above a given one."""

    def __init__(self, evidence: NDArray[np.float64]) -> None:
        values, counts = np.unique(evidence, return_counts=True)
        # Of equals, half are above.
        above = 1 - (np.cumsum(counts) - counts / 2) / evidence.size
        # Ranks matter by their ratio, so the places are closest at the top.
        places = np.unique(np.rint(np.geomspace(1, values.size, _PLACES)).astype(np.int64))
        self._values, self._above = values[-places[::-1]], above[-places[::-1]]

    def share_above(self, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of healthy classes with more evidence, shape as `evidence`."""
        found = np.searchsorted(self._values, evidence)
        beyond = found == self._values.size
        return np.where(beyond, 0.0, self._above[np.where(beyond, 0, found)])


@dataclass(slots=True)
class Crowd:
    """Many repetitions of classes: which each is, how often it is right, M_g, and its evidence."""

    of: NDArray[np.intp]
    wrong: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    m: NDArray[np.float64]
    evidence: NDArray[np.float64]

    @classmethod
    def begin(
        cls, null: NDArray[np.float64], accuracy: NDArray[np.float64], of: NDArray[np.intp]
    ) -> Self:
        """Return repetitions of these classes, as many of each as it occurs in `of`."""
        empty = np.zeros((of.size, len(RATIOS)))
        return cls(of, gain_of_a_mistake(null)[of], accuracy[of], empty, np.zeros(of.size))

    def live(self, total: NDArray[np.int64], rng: Generator) -> NDArray[np.float64]:
        """Count a day of so many images each, and return the evidence after it."""
        correct = rng.binomial(total, self.accuracy)
        factor = correct[:, None] * GAIN_OF_A_HIT + (total - correct)[:, None] * self.wrong
        with np.errstate(over="ignore", under="ignore"):
            # Linear, not in logarithms: what is too large is an alarm, what is too small none.
            after = (self.m + 1) * np.exp(factor)
            self.m = np.where(total[:, None] > 0, after, self.m)
            self.evidence = self.m @ weights_of(RATIOS)
        return self.evidence

    def forget(self, alarmed: NDArray[np.bool_]) -> None:
        """Begin anew after an alarm."""
        self.m[alarmed] = 0
        self.evidence = np.where(alarmed, 0.0, self.evidence)

    def only(self, kept: NDArray[np.bool_]) -> Crowd:
        """Return some of them, with all they remember."""
        return Crowd(
            self.of[kept], self.wrong[kept], self.accuracy[kept], self.m[kept], self.evidence[kept]
        )


def standing(classes: NDArray[np.float64], terms: Terms) -> Others:
    """Return the evidence that healthy classes have among themselves."""
    rng = np.random.default_rng(SEED)
    null, accuracy = classes.T
    runs = max(_OTHERS // terms.haste // null.size, 2)
    which = np.arange(runs * len(classes), dtype=np.intp) % len(classes)
    crowd = Crowd.begin(null, accuracy, which)
    seen: list[NDArray[np.float64]] = []
    for day in range(HEALTHY_DAYS):
        given = allocate(crowd.evidence.reshape(runs, null.size), terms.labels)
        evidence = crowd.live(given.ravel(), rng)
        crowd.forget(evidence >= terms.threshold)
        if day >= HEALTHY_DAYS - _STANDING_DAYS:
            seen.append(crowd.evidence)
    return Others(np.concatenate(seen))


def gain_of_a_mistake(null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much a wrong answer raises log M_g, shape (K, G)."""
    return np.log1p(-null[:, None] * RATIOS) - np.log1p(-null)[:, None]
