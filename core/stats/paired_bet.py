"""Whether a version answers worse than the one it replaced, asked anew every day.

Both answer the same labelled images. Only those count on which one is right and the other wrong;
while the new version is not worse, each of them is at least as likely to speak for the new one.
Somebody who bets against that at fair odds has, on the average, never more than what he began
with, and by Ville's inequality a thousandfold only with a probability of 1/1000, however often and
whenever one looks. So the evidence is his capital: no number of looks has to be fixed beforehand,
and the images may be chosen by what was seen before.

The whole and each class have a bet of their own. Half of the risk is the whole's, half is shared by
the classes: a version that is nowhere worse is found worse somewhere with a probability of alpha at
most, whatever the dependence between the classes (Bonferroni).

References:
    McNemar (1947), Note on the sampling error of the difference between correlated proportions:
    only the discordant pairs speak.
    Ville (1939), Etude critique de la notion de collectif.
    Ramdas, Gruenwald, Vovk, Shafer (2023), Game-theoretic statistics and safe anytime-valid
    inference, Statistical Science 38: testing by betting; 3.2 for mixtures of stakes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# A stake s bets that of the discordant images (1 + s) / 2 speak for the old version: from 55 % of
# them to nearly all.
STAKES = (0.1, 0.2, 0.35, 0.55, 0.75, 0.95)

_LARGEST_LOG = 690.0  # e**690 is still a float


@dataclass(frozen=True, slots=True)
class PairedEvidence:
    """How sure it is that the new version answers worse.

    Attributes:
        whole: Evidence over all images.
        classes: Evidence of each class, float64 (K,).
        whole_threshold: What `whole` must reach: 2 / alpha.
        class_threshold: What a class must reach: 2 K / alpha.
    """

    whole: float
    classes: NDArray[np.float64]
    whole_threshold: float
    class_threshold: float

    @property
    def worse_classes(self) -> NDArray[np.int64]:
        """The classes that are shown to be worse, by number."""
        return np.flatnonzero(self.classes >= self.class_threshold)

    @property
    def is_worse(self) -> bool:
        """Whether anything is shown to be worse."""
        return self.whole >= self.whole_threshold or bool(self.worse_classes.size)


def paired_evidence(
    difference: ArrayLike, times: ArrayLike, number: ArrayLike, *, classes: int, alpha: float
) -> PairedEvidence:
    """Return the evidence that the new version is worse, as a whole and class by class.

    A group of images that belong together (one session, one cluster of near-duplicates; mostly a
    single image) is one bet. With d = (right by the new one alone - right by the old one alone) / n
    of a group, its mean is 0 or more while the new version is not worse, so the capital

        E = mean_s prod_groups (1 - s d)        s in STAKES

    is a non-negative supermartingale that begins at 1.

    Args:
        difference: d of each kind of group, -1 to 1, shape (G,); G = 0 is allowed.
        times: How many groups of that kind there are, shape (G,).
        number: Their class, 0 to K - 1, shape (G,).
        classes: Number of classes K.
        alpha: Probability that a version that is nowhere worse is ever found worse.

    Raises:
        StatisticsError: Shapes differ, a difference lies outside -1 to 1, a class does not exist,
            or alpha lies outside 0 to 1.
    """
    d, n = np.asarray(difference, dtype=np.float64), np.asarray(times, dtype=np.float64)
    of = np.asarray(number, dtype=np.int64)
    if not d.shape == n.shape == of.shape or d.ndim != 1:
        raise StatisticsError(f"differences {d.shape}, times {n.shape}, classes {of.shape} differ")
    if not 0 < alpha < 1 or classes < 1:
        raise StatisticsError(f"alpha {alpha} must lie between 0 and 1, and {classes} be 1 or more")
    if d.size and not (np.abs(d) <= 1).all():
        raise StatisticsError("a difference lies outside -1 to 1, or is NaN")
    if d.size and not (0 <= of.min() <= of.max() < classes):
        raise StatisticsError(f"a class lies outside 0 to {classes - 1}")
    won = n[:, None] * log_bets(d)
    by_class = np.zeros((classes, len(STAKES)))
    np.add.at(by_class, of, won)
    return PairedEvidence(
        whole=float(capital(won.sum(axis=0))),
        classes=capital(by_class),
        whole_threshold=2 / alpha,
        class_threshold=2 * classes / alpha,
    )


def log_bets(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(1 - s d) of each difference and stake, shape (..., S)."""
    return np.log1p(-np.asarray(STAKES) * difference[..., None])


def capital(log_won: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the stakes of exp(log_won), over the last axis; capped near 1e299."""
    most = log_won.max(axis=-1, keepdims=True)
    mean = most[..., 0] + np.log(np.exp(log_won - most).mean(axis=-1))
    return np.exp(np.minimum(mean, _LARGEST_LOG))
