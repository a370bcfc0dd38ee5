"""The rules that others judge classes by, to be compared with: constants and daily tests.

None of them keeps a promise about false alarms over a month, which is what the comparison
shows. They are here for `weakspot simulate --rules` and decide nothing. An alarm is the
first of the days on which a rule says "weak" without a break. ADWIN is left out: it would
need a library of its own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from core.stats.proportions import exact_lower_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES = ("day < 0.80", "7-day mean < 0.80", "7-day Wilson + BH", "7-day exact binomial + BH")
WEEK_DAYS = 7
LEAST_ACCURACY = 0.80
FALSE_SHARE = 0.05


class ThresholdRules:
    """The four rules at once, over several models with the same number of classes.

    Args:
        reference: Accuracies the two tests hold classes to, shape (models, K).
    """

    def __init__(self, reference: NDArray[np.float64]) -> None:
        self._reference = reference
        self._week: deque[tuple[NDArray[np.int64], NDArray[np.int64]]] = deque(maxlen=WEEK_DAYS)
        self._weak = [np.zeros(reference.shape, dtype=np.bool_) for _ in RULES]

    def update(
        self, correct: NDArray[np.int64], total: NDArray[np.int64]
    ) -> list[NDArray[np.bool_]]:
        """Return who raises an alarm today by each of RULES, shape (models, K) each.

        The three rules of a week are silent until there have been seven days.

        Args:
            correct: The day's right answers, shape (models, K).
            total: The day's images, shape (models, K).
        """
        self._week.append((correct, total))
        weak = [_below(correct, total)]
        if len(self._week) == WEEK_DAYS:
            k = np.sum([day[0] for day in self._week], axis=0)
            n = np.sum([day[1] for day in self._week], axis=0)
            weak += [_below(k, n), _rejected(_score_tail(k, n, self._reference))]
            weak += [_rejected(exact_lower_tail(k, n, self._reference))]
        else:
            weak += [np.zeros(correct.shape, dtype=np.bool_)] * 3
        alarms = [now & ~before for now, before in zip(weak, self._weak, strict=True)]
        self._weak = weak
        return alarms


def _below(k: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.bool_]:
    # As whole numbers, so that 8 of 10 is exactly 0.80 and not below it.
    return k * 100 < n * round(100 * LEAST_ACCURACY)


def _score_tail(
    k: NDArray[np.int64], n: NDArray[np.int64], reference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the p-value that Wilson's interval inverts: the normal tail of the score test."""
    error = np.sqrt(n * reference * (1 - reference))
    return special.ndtr((k - n * reference) / np.where(error > 0, error, 1.0))


def _rejected(p_values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return what Benjamini and Hochberg's procedure rejects in each row, at a share of 5 %."""
    classes = p_values.shape[-1]
    rising: NDArray[np.float64] = np.sort(p_values, axis=-1)
    allowed: NDArray[np.float64] = FALSE_SHARE * np.arange(1.0, classes + 1) / classes
    limit = np.where(rising <= allowed, rising, -1.0).max(axis=-1, keepdims=True)
    return np.asarray(p_values <= limit)
