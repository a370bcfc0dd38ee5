"""Whether a class is now called by another's name more often than when it was examined.

The alarm says that a class has sunk; this says into what. For each other class j a bet is placed
against "an image of this class is called j with probability q_j at most", where q_j is a careful
upper level of the reference confusion. As the day it began is not known beforehand, one such bet
starts on every day, and their mean is what is told: an e-value, whose expectation is at most 1
while the class is called j as often as the reference allows. So it reaches 1/a with probability a
at most (Ville), whichever day turns out to be the worst.

Images that belong together are mistaken together, so a session or a cluster of near-duplicates is
one bet, the mean of its images' own, as in core.stats.day_bet.

The class most mistaken is chosen after looking. Divided by the number of classes it was chosen
from, the largest e-value is one again: it is at most the mean of them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.counts import checked_counts, whole_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Alternatives: the odds of being called j, as multiples of those at the reference.
ODDS = (1.5, 2.0, 3.0, 5.0, 9.0, 18.0, 40.0, 100.0)
# The upper level is held as the reference level of accuracy is, seen from the other side.
_QUANTILE = 0.90
_SLACK = 0.02
_HIGHEST = 0.995
_PSEUDO_IMAGES = 20.0
_LARGEST_LOG = math.log(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Together:
    """Images that are one bet a group.

    Attributes:
        day: The day of each group, as its place among the D days, shape (groups,).
        called: Its images called j, shape (J, groups); in any order of the groups.
        total: Its images, shape (groups,).
    """

    day: NDArray[np.int64]
    called: NDArray[np.int64]
    total: NDArray[np.int64]


def confusion_levels(called: ArrayLike, images: int, usual: ArrayLike) -> NDArray[np.float64]:
    """Return how often, at most, a class may be called each of J others: q_j, shape (J,).

    The share called j is Beta(m_j + s u_j, n - m_j + s (1 - u_j)) after the reference, where u_j
    is the usual share of any class called j and counts as s = 20 images: a class with few
    reference images is taken to be mistaken as classes usually are. The level is its 90 %
    quantile and 0.02 more, at most 0.995.

    Args:
        called: Reference images m_j of this class that were called j, shape (J,).
        images: Reference images n of this class; 0 is allowed.
        usual: Share of all other classes' reference images called j, shape (J,), in [0, 1].

    Raises:
        StatisticsError: The counts are impossible, or the shapes differ.

    References:
        Gelman et al. (2013), Bayesian Data Analysis, 3rd edition, 2.4: the conjugate prior.
    """
    m, n = checked_counts(called, np.full(np.shape(called), images))
    shares = np.asarray(usual, dtype=np.float64)
    if m.ndim != 1 or shares.shape != m.shape or not np.all((shares >= 0) & (shares <= 1)):
        raise StatisticsError(f"usual shares {shares.shape} must be probabilities, one a count")
    # Never quite 0 or 1, where a Beta law is none.
    prior = _PSEUDO_IMAGES * np.clip(shares, 1e-4, 1 - 1e-4)
    upper = cast("Any", special).betaincinv(m + prior, n - m + _PSEUDO_IMAGES - prior, _QUANTILE)
    return np.minimum(np.asarray(upper, dtype=np.float64) + _SLACK, _HIGHEST)


def confusion_e_values(
    called: ArrayLike, total: ArrayLike, levels: ArrayLike, together: Together | None = None
) -> NDArray[np.float64]:
    """Return the evidence that images are called j more often than allowed, for each j; (J,).

    With q the level and q' an alternative of odds o q / (1 - q), an image called j multiplies by
    q'/q and any other by (1 - q')/(1 - q), a group by the mean over its images. e_j is the mean,
    over the alternatives and over the D days on which it may have begun, of the products from that
    day to the last.

    Args:
        called: Images called j on each day, shape (J, D).
        total: Images of the class on each day, shape (D,).
        levels: q_j, shape (J,), inside (0, 1).
        together: Which of these images are one bet a group; None when each is its own.

    Returns:
        e-values, saturating at the largest float; 1 where there was no image at all.

    Raises:
        StatisticsError: The counts are impossible, or a shape or level does not fit.

    Example:
        >>> confusion_e_values([[0, 4], [1, 0]], [10, 10], [0.05, 0.05]).round(1).tolist()
        [43.4, 0.3]

    References:
        Vovk, Wang (2021), E-values: Calibration, Combination and Applications: means of e-values.
        Shin, Ramdas, Rinaldo (2022-24), E-detectors: a bet for every day it may have begun.
    """
    n = whole_numbers("total", total)
    q = np.asarray(levels, dtype=np.float64)
    if n.ndim != 1 or q.ndim != 1 or not np.all((q > 0) & (q < 1)):
        raise StatisticsError("days must be one row (D,) and levels one row (J,) inside 0 to 1")
    k, n_each = checked_counts(called, np.broadcast_to(n, (q.size, n.size)))
    if k.size == 0:
        return np.ones(q.size)
    odds = np.array(ODDS) * (q / (1 - q))[:, None]
    raised = odds / (1 + odds)
    hit = np.log(raised) - np.log(q)[:, None]
    miss = np.log1p(-raised) - np.log1p(-q)[:, None]
    in_groups = np.zeros((q.size, len(ODDS), n.size))
    if together is not None:
        k, n_each, in_groups = _bets_of_groups(k, n_each, together, (hit, miss))
    daily = k[:, None, :] * hit[:, :, None] + (n_each - k)[:, None, :] * miss[:, :, None]
    # From each day to the last: cumulative from behind.
    since = np.cumsum((daily + in_groups)[:, :, ::-1], axis=2).reshape(q.size, -1)
    log_mean: NDArray[np.float64] = np.logaddexp.reduce(since, axis=1) - math.log(since.shape[1])
    return np.exp(np.minimum(log_mean, _LARGEST_LOG))


def _bets_of_groups(
    k: NDArray[np.int64],
    n: NDArray[np.int64],
    together: Together,
    log_bets: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the images that stand alone, called j and in all, (J, D), and what groups win."""
    day, images = whole_numbers("day", together.day), whole_numbers("group", together.total)
    shape = (k.shape[0], images.size)
    inside, each = checked_counts(together.called, np.broadcast_to(images, shape))
    if day.shape != images.shape or (day.size and (day.max() >= n.shape[1] or images.min() == 0)):
        raise StatisticsError(f"every group needs images, and one of {n.shape[1]} days")
    # Which day a group lies on, as a table, so that a product adds up the groups of each.
    lies_on: NDArray[np.int64] = np.eye(n.shape[1], dtype=np.int64)[day]
    alone_k, alone_n = checked_counts(k - inside @ lies_on, n - each @ lies_on)
    share = (inside / images)[:, None, :]
    hit, miss = (np.exp(bet)[:, :, None] for bet in log_bets)
    won = np.log(share * hit + (1 - share) * miss) @ lies_on
    return alone_k, alone_n, np.asarray(won, dtype=np.float64)
