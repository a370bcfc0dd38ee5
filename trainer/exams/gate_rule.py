"""The gate's rule on counts alone: one exam, or thousands of simulated ones, by the same lines.

For each class, of n gate images c only the challenger names rightly and b only the champion:
d = (c - b) / n with its standard error. A class is shown well where d - 1.645 se lies above the
margin, and shown worse by the exact one-sided McNemar test.

A challenger may be examined again when more images are there. What the later looks may err is
divided between them beforehand, and they ask by the score test: Wald's bound is too sure with few
images (a drop of the whole margin passes in 8 to 17 of 100, not 5, with 100 images or fewer), which
the many classes of one exam make up for and many looks would not. For the same reason a class
keeps its pass for the next look only where the score test agrees.

References:
    McNemar (1947) for repair and harm; the paired difference of two proportions and its Wald bound
    (Agresti, Categorical Data Analysis, 10.1) for the first look; Tango (1998), Equivalence test
    and confidence interval for the difference in proportions for the paired-sample design, for the
    later ones; the union bound over looks (Armitage 1975, 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from core.stats.proportions import holm, mcnemar_exact, paired_difference
from trainer.exams.sample_size import (
    FIRST_ALPHA,
    alpha_of,
    images_to_show_well,
    pairs_to_show_repair,
)

# A class's own rate of disagreement is drawn towards all classes' by the weight of these images.
PRIOR_IMAGES = 60

PROMOTE, REFUSE, MORE_IMAGES = range(3)

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]
_Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is fixed before the exam.

    Attributes:
        margin: Drop per class that must be ruled out, as a share.
        overall_margin: Drop over all gate images that must be ruled out, likewise.
        look: Which exam of this challenger this is, from 1.
    """

    margin: float = 0.05
    overall_margin: float = 0.01
    look: int = 1

    @property
    def alpha(self) -> float:
        """The error of this look."""
        return alpha_of(self.look)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier looks have shown already: a question that is answered is not asked again.

    Each look may err by its own alpha, and the union of them bounds each answer.

    Attributes:
        well: Classes shown well for good, (..., K).
        overall: Whether all images together were, (...).
        improved: Flagged classes shown to be repaired, (..., F).
    """

    well: _Flags
    overall: _Flags
    improved: _Flags


@dataclass(frozen=True, slots=True)
class Standings:
    """How classes, or the whole, stand; arrays of the counts' shape.

    Attributes:
        difference: Challenger minus champion; NaN without images, like the next three.
        error: Its standard error.
        low: One-sided lower bound.
        high: One-sided upper bound.
        well: Whether a drop of the margin is ruled out.
        worse: Whether a drop is shown, and one of the margin not ruled out.
        settled: Whether it is well for good, at later looks too.
        missing: Images lacking to be that at the next look; 0 where it is, or is shown worse.
    """

    difference: _Floats
    error: _Floats
    low: _Floats
    high: _Floats
    well: _Flags
    worse: _Flags
    settled: _Flags
    missing: _Counts


@dataclass(frozen=True, slots=True)
class Repairs:
    """Whether the flagged classes were repaired; arrays (..., F).

    Attributes:
        p: Exact one-sided McNemar p-values of "the challenger is better".
        adjusted_p: After Holm over the flagged classes.
        improved: Whether adjusted_p is at most the look's alpha.
        missing: Images lacking to show it, where too few of them disagree.
    """

    p: _Floats
    adjusted_p: _Floats
    improved: _Flags
    missing: _Counts

    @property
    def failed(self) -> _Flags:
        """Where a repair would have been seen, and was not."""
        return ~self.improved & (self.missing == 0)


@dataclass(frozen=True)
class Exam:
    """One exam, or many: counts per class, and what the rule makes of them.

    Attributes:
        n: Gate images, int64 (..., K).
        gained: Those only the challenger names rightly, likewise.
        lost: Those only the champion names rightly, likewise.
        flagged: Rows of the classes that must improve.
        terms: What is fixed beforehand.
        earlier: What the looks before have shown; None at the first.
    """

    n: _Counts
    gained: _Counts
    lost: _Counts
    flagged: Sequence[int]
    terms: Terms
    earlier: Earlier | None = None

    @cached_property
    def classes(self) -> Standings:
        """How each class stands, (..., K)."""
        usual = self._disagreement(left_out=self.flagged)[..., None]
        # A repaired class disagrees nearly everywhere, which tells nothing about the others.
        rates = (self.gained + self.lost + PRIOR_IMAGES * usual) / (self.n + PRIOR_IMAGES)
        known = self.earlier.well if self.earlier else np.zeros(self.n.shape, np.bool_)
        return self._standings((self.n, self.gained, self.lost), self.terms.margin, rates, known)

    @cached_property
    def overall(self) -> Standings:
        """How all images together stand, (...)."""
        counts = (self.n.sum(-1), self.gained.sum(-1), self.lost.sum(-1))
        known = self.earlier.overall if self.earlier else np.zeros(counts[0].shape, np.bool_)
        rate = self._disagreement()
        return self._standings(counts, self.terms.overall_margin, rate, known, classes=1)

    @cached_property
    def repairs(self) -> Repairs:
        """How the flagged classes fared, (..., F)."""
        rows = list(self.flagged)
        n, gained, lost = (each[..., rows] for each in (self.n, self.gained, self.lost))
        p = mcnemar_exact(gained, lost)
        adjusted = holm(p)
        improved = adjusted <= self.terms.alpha
        if self.earlier:
            improved = improved | self.earlier.improved
        needed = pairs_to_show_repair(max(len(rows), 1), alpha_of(self.terms.look + 1))
        enough = pairs_to_show_repair(max(len(rows), 1), self.terms.alpha)
        pairs = gained + lost
        _, high = bounds(gained, lost, np.maximum(n, 1), self.terms.alpha)
        answered = improved | ((n > 0) & ((pairs >= enough) | (high < self.terms.margin)))
        lacking = np.ceil(n * needed / np.maximum(pairs, 1)).astype(np.int64) - n
        missing = np.where(n == 0, needed, np.maximum(lacking, 1))
        return Repairs(p, adjusted, improved, np.where(answered, 0, missing))

    @property
    def decision(self) -> _Counts:
        """PROMOTE, REFUSE or MORE_IMAGES by the counts alone, (...)."""
        bad = self.classes.worse.any(-1) | self.overall.worse | self.repairs.failed.any(-1)
        good = self.classes.well.all(-1) & self.overall.well & self.repairs.improved.all(-1)
        return np.where(bad, REFUSE, np.where(good, PROMOTE, MORE_IMAGES))

    @property
    def missing(self) -> _Counts:
        """Images that each class lacks before the next look, (..., K); never all 0 before one.

        What all images together lack beyond what their classes do is divided evenly.
        """
        lacking = self.classes.missing.copy()
        rows = list(self.flagged)
        lacking[..., rows] = np.maximum(lacking[..., rows], self.repairs.missing)
        beyond = np.maximum(self.overall.missing - lacking.sum(-1), 0)
        return lacking + np.ceil(beyond / lacking.shape[-1]).astype(np.int64)[..., None]

    def remembered(self, which: _Flags) -> Earlier:
        """Return what these of many exams have shown, for their next look."""
        return Earlier(
            self.classes.settled[which], self.overall.settled[which], self.repairs.improved[which]
        )

    def _standings(
        self,
        counts: tuple[_Counts, _Counts, _Counts],
        margin: float,
        rates: _Floats,
        known: _Flags,
        classes: int = 0,
    ) -> Standings:
        n, gained, lost = counts
        classes = classes or self.n.shape[-1]
        alpha, seen = self.terms.alpha, n > 0
        some = np.maximum(n, 1)
        difference, error = paired_difference(gained, lost, some)
        low, high = bounds(gained, lost, some, alpha)
        worse = seen & shown_worse(gained, lost, some, margin, classes, alpha)
        settled = known | (score_p(gained, lost, some, margin) <= alpha)
        settled = seen & settled & ~worse
        first = shown_well(gained, lost, some, margin) if self.terms.look == 1 else False
        well = settled | (seen & first & ~worse)
        enough = images_to_show_well(rates, margin, classes, alpha_of(self.terms.look + 1))
        # With the plan fulfilled and still nothing shown, one image more is the least to ask for.
        missing = np.where(settled | worse, 0, np.maximum(enough - n, 1))
        return Standings(
            difference=np.where(seen, difference, np.nan),
            error=np.where(seen, error, np.nan),
            low=np.where(seen, low, np.nan),
            high=np.where(seen, high, np.nan),
            well=well,
            worse=worse,
            settled=settled,
            missing=missing,
        )

    def _disagreement(self, left_out: Sequence[int] = ()) -> _Floats:
        """Return the share of gate images on which only one of the two is right, (...).

        Classes in `left_out` do not count, unless nothing else does.
        """
        counts = np.ones(self.n.shape[-1], dtype=np.bool_)
        counts[list(left_out)] = False
        alone = self.n[..., counts].sum(-1) == 0
        pairs = self.gained + self.lost
        # As in the standard error: no disagreement seen is not none at all.
        own = np.maximum(pairs[..., counts].sum(-1), 1) / np.maximum(self.n[..., counts].sum(-1), 1)
        all_of_them = np.maximum(pairs.sum(-1), 1) / np.maximum(self.n.sum(-1), 1)
        return np.where(alone, all_of_them, own)


def bounds(
    gained: ArrayLike, lost: ArrayLike, total: ArrayLike, alpha: float = FIRST_ALPHA
) -> tuple[_Floats, _Floats]:
    """Return the one-sided lower and upper bound of challenger minus champion.

    d -+ z se, z the normal quantile of 1 - alpha, with d and se of
    `core.stats.proportions.paired_difference`.

    Raises:
        StatisticsError: The counts are impossible, or a class has no images.
    """
    difference, error = paired_difference(gained, lost, total)
    z = NormalDist().inv_cdf(1 - alpha)
    return difference - z * error, difference + z * error


def shown_well(gained: ArrayLike, lost: ArrayLike, total: ArrayLike, margin: float) -> _Flags:
    """Say where a drop of `margin` is ruled out at the first look: the bound lies above -margin."""
    low, _ = bounds(gained, lost, total)
    return low > -margin


def score_p(gained: ArrayLike, lost: ArrayLike, total: ArrayLike, margin: float) -> _Floats:
    """Return the one-sided p-value of "the drop is smaller than the margin", by the score test.

    z = (c - b + n m) / sqrt(n v), v = 2 q - m (1 + m), where q is the likeliest share of images
    that only the champion names rightly if the drop were exactly m: the larger root of
    2 n q^2 - (b + c + (2 n + b - c) m) q + b m (1 + m) = 0 (Tango 1998).

    Args:
        gained: Images only the challenger names rightly (c), any shape.
        lost: Images only the champion names rightly (b), the same shape.
        total: All images n of the class, the same shape, at least 1.
        margin: The drop m to be ruled out, inside (0, 1).
    """
    c, b, n = (np.asarray(each, dtype=np.float64) for each in (gained, lost, total))
    linear, constant = b + c + (2 * n + b - c) * margin, b * margin * (1 + margin)
    q = (linear + np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0))) / (4 * n)
    z = (c - b + n * margin) / np.sqrt(n * (2 * q - margin * (1 + margin)))
    return special.ndtr(-z)


def shown_worse(
    gained: ArrayLike,
    lost: ArrayLike,
    total: ArrayLike,
    margin: float,
    classes: int = 1,
    alpha: float = FIRST_ALPHA,
) -> _Flags:
    """Say where the challenger is shown to be worse, and a drop of the margin is not ruled out.

    Exact one-sided McNemar at alpha / classes: among many classes some lose a few images by
    chance, and one image of twenty is five points.

    Args:
        gained: Images only the challenger names rightly, any shape.
        lost: Images only the champion names rightly, the same shape.
        total: All images n of the class, the same shape, at least 1.
        margin: The drop to be ruled out, as a share.
        classes: How many are asked this, at least 1.
        alpha: The error of this look.
    """
    low, _ = bounds(gained, lost, total, alpha)
    return (low <= -margin) & (mcnemar_exact(lost, gained) <= alpha / classes)
