"""One bet for images that belong together: a session, a burst, a cluster of near-duplicates.

Near-duplicates are right or wrong together, so a bet on each of them as if it stood alone
is far too sure of itself: a correlation of 0.1 within a day turns 0.03 false alarms a month
into 42. A group of n images with k right answers is one bet instead, the mean of its images'
own bets on the same alternative q,

    L = k/n q/r + (1 - k/n) (1 - q)/(1 - r) = 1 + lambda (r - k/n),   lambda = (r - q)/(r (1 - r)),

whose expectation is 1 at most whenever the group's expected share is r or more, however its
images depend on each other. A group of one is the bet of core.stats.evidence. Groups are
independent given the past. What it costs is power; so the estimated correlation decides which
bet is used.

References:
    Waudby-Smith, Ramdas (2024), Estimating Means of Bounded Random Variables by Betting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import StatisticsError
from core.stats.counts import checked_counts, whole_numbers
from core.stats.evidence import (
    RATIOS,
    RATIOS_UP,
    advance,
    carried_over,
    checked_levels,
    checked_ratios,
    evidence_of,
    step,
    weights_of,
)

# Of the alternatives of core.stats.evidence. A group of ten says little, so most goes to those
# that win on drops worth an alarm; see docs/adr/0017-weights-of-the-alternatives.md.
GROUP_WEIGHTS = (1 / 48, 1 / 48, 2 / 48, 3 / 48, 8 / 48, 20 / 48, 10 / 48, 3 / 48)
# Above this correlation images of a group are one bet.
MOST_CORRELATION = 0.02


@dataclass(frozen=True, slots=True)
class Answers:
    """What K classes answered on one day.

    Attributes:
        correct: Right answers, shape (K,).
        total: Images, shape (K,).
        groups: Which images are one bet: for each group its class, right answers and images,
            each of shape (groups,), together all images of the day. None when each is its own.
    """

    correct: NDArray[np.int64]
    total: NDArray[np.int64]
    groups: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None = None

    def of(self, chosen: NDArray[np.bool_]) -> Answers:
        """Return the same day of some classes alone, in their order; `chosen` has shape (K,)."""
        groups = self.groups
        if groups is not None:
            kept, place = chosen[groups[0]], np.cumsum(chosen) - 1
            groups = (place[groups[0][kept]], groups[1][kept], groups[2][kept])
        return Answers(self.correct[chosen], self.total[chosen], groups)

    def mistakes(self) -> Answers:
        """Return the same day with wrong and right exchanged, for bets on recovery."""
        groups = self.groups
        turned = None if groups is None else (groups[0], groups[2] - groups[1], groups[2])
        return Answers(self.total - self.correct, self.total, turned)


def bet(
    log_m: NDArray[np.float64],
    answers: Answers,
    reference: NDArray[np.float64],
    ratios: Sequence[float] = RATIOS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log M after one more day, and the evidence E against "p >= reference".

    By image or by group, as the answers say; shapes and errors are those of
    core.stats.evidence.step.
    """
    if answers.groups is None:
        return step(log_m, answers.correct, answers.total, reference, ratios)
    return day_bet_step(log_m, answers.groups, reference, ratios)


def bet_on_recovery(
    log_m: NDArray[np.float64],
    answers: Answers,
    level: NDArray[np.float64],
    ratios_up: Sequence[float] = RATIOS_UP,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log M after one more day, and the evidence against "p <= level".

    `bet` on the mistakes, as core.stats.evidence.recovery_step is `step` on them.
    """
    return bet(log_m, answers.mistakes(), 1 - checked_levels(level), ratios_up)


def day_bet_step(
    log_m: NDArray[np.float64],
    groups: tuple[ArrayLike, ArrayLike, ArrayLike],
    reference: NDArray[np.float64],
    ratios: Sequence[float] = RATIOS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log M after one more day of groups, and the evidence E against "p >= reference".

    The recursion is that of core.stats.evidence.step, with the product of the groups' bets
    as the day's factor. It does not depend on the order in which groups come, not in the
    last bit.

    Args:
        log_m: Logarithms of M_g, shape (K, G).
        groups: Of each group of the day the class it belongs to (0 to K - 1), its right
            answers and its images (at least 1), each of shape (groups,). An image that
            belongs to nobody is a group of one. A class may have none.
        reference: Accuracies r of the null, shape (K,), inside (0, 1).
        ratios: The alternatives as shares of r, shape (G,), inside (0, 1).

    Raises:
        StatisticsError: A count is impossible, a group is empty, or a shape does not fit.
    """
    null, grid = checked_levels(reference), checked_ratios(ratios)
    owner, k, n = _checked_groups(groups, null.size)
    if log_m.shape != (null.size, grid.size):
        raise StatisticsError(
            f"a state of shape {log_m.shape} does not fit {null.size} classes"
            f" and {grid.size} alternatives"
        )
    # Sums of floats depend on their order, so the groups are put into one that is their own.
    order = np.lexsort((k, n, owner))
    owner, k, n = owner[order], k[order], n[order]
    level, share = null[owner][:, None], (k / n)[:, None]
    lost = (1 - level * grid) / (1 - level)
    won = np.log(share * grid + (1 - share) * lost)
    factor = np.zeros(log_m.shape)
    np.add.at(factor, owner, won)
    touched = np.bincount(owner, minlength=null.size) > 0
    return advance(log_m, factor, touched, group_weights_of(ratios))


def group_weights_of(ratios: Sequence[float]) -> NDArray[np.float64]:
    """Return the share of each alternative where groups are bets, together 1, shape (G,)."""
    return np.array(GROUP_WEIGHTS) if tuple(ratios) == RATIOS else weights_of(ratios)


def changed_bet(log_m: NDArray[np.float64], *, to_groups: bool) -> NDArray[np.float64]:
    """Return the memory with which a class goes on when its bet changes between two days.

    The alternatives are the same but their weights are not; so that the evidence is no other
    for the change, every M_g becomes E. Shape (K, G), as `log_m`, for RATIOS.

    Args:
        log_m: Logarithms of M_g, by the bet so far.
        to_groups: Whether groups are bets from now on, and images were so far.
    """
    weights = weights_of(RATIOS) if to_groups else group_weights_of(RATIOS)
    return carried_over(evidence_of(log_m, weights), len(RATIOS))


def intraclass_correlation(correct: ArrayLike, total: ArrayLike, stratum: ArrayLike) -> float:
    """Return how alike the outcomes within a group are, between 0 and 1.

    The analysis-of-variance estimate for yes-or-no outcomes, rho = (B - W) / (B + (m - 1) W),
    with the mean squares between (B) and within (W) groups and the mean group size m. Groups
    are compared within their stratum only, so that classes of unequal difficulty, or days
    before and after a drop, are not taken for correlation. 0 where nothing can be compared.

    Args:
        correct: Right answers of each group, shape (groups,).
        total: Images of each group, the same shape; empty groups are left out.
        stratum: What each group belongs to, such as its class, as a number from 0.

    Raises:
        StatisticsError: The counts are impossible, or the shapes differ.

    Example:
        >>> intraclass_correlation([10, 0, 10, 0], [10, 10, 10, 10], [0, 0, 0, 0])
        1.0

    References:
        Ridout, Demetrio, Firth (1999), Estimating Intraclass Correlation for Binary Data.
    """
    k, n = checked_counts(correct, total)
    where = whole_numbers("stratum", stratum)
    if not k.shape == where.shape or k.ndim != 1:
        raise StatisticsError(f"groups {k.shape} and strata {where.shape} must be one row each")
    k, n, where = k[n > 0], n[n > 0], where[n > 0]
    images, right = np.bincount(where, n), np.bincount(where, k)
    squares = np.bincount(where, n.astype(np.float64) ** 2)
    seen = images > 0
    freedom = float(n.size - seen.sum())
    inner_freedom = float(n.sum() - n.size)
    if freedom <= 0 or inner_freedom <= 0:
        return 0.0
    size = float((images[seen] - squares[seen] / images[seen]).sum()) / freedom
    mean = right / np.maximum(images, 1)
    between = float((n * (k / n - mean[where]) ** 2).sum()) / freedom
    within = float((k * (n - k) / n).sum()) / inner_freedom
    spread = between + (size - 1) * within
    return min(max((between - within) / spread, 0.0), 1.0) if spread > 0 else 0.0


def needs_day_bet(correlation: float) -> bool:
    """Say whether images this alike must be one bet a group."""
    return correlation > MOST_CORRELATION


def _checked_groups(
    groups: tuple[ArrayLike, ArrayLike, ArrayLike], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    owner = whole_numbers("class", groups[0])
    k, n = checked_counts(groups[1], groups[2])
    if owner.shape != k.shape or k.ndim != 1:
        raise StatisticsError(f"owners {owner.shape} and counts {k.shape} must be one row each")
    if owner.size and (owner.max() >= classes or n.min() == 0):
        raise StatisticsError(f"every group needs images, and one of {classes} classes")
    return owner, k, n
