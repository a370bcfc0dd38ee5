"""Whether confidence means what it says, and what it promises on days without labels.

One temperature for the whole model: it makes confidences honest on average and changes
no answer. Expected accuracy is only as good as the calibration under today's images; it
raises a class's priority for labelling and never pages by itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import optimize  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.classification import checked_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LOWEST_TEMPERATURE = 0.05
HIGHEST_TEMPERATURE = 20.0
# Probabilities that were float32 add up to one only about so well.
_ROUNDING = 1e-5


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the T that makes softmax(logits / T) most likely on labelled images.

    Found on a logarithmic scale within [0.05, 20]. A model that is never wrong here asks for
    no doubt at all and gets a value near the lower bound, so use images it has not learnt.

    Args:
        logits: Shape (N, K), finite.
        labels: True class numbers, shape (N,).

    Raises:
        StatisticsError: The shapes do not fit, a label is no class, or a logit is not finite.

    References:
        Guo, Pleiss, Sun, Weinberger (2017), On Calibration of Modern Neural Networks.
    """
    scores, true = _checked_rows("logits", logits, labels)
    # With each row's largest logit at zero, no scale can overflow.
    centred = scores - scores.max(axis=1, keepdims=True)
    chosen = centred[np.arange(true.size), true]

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        losses: NDArray[np.float64] = np.log(np.exp(centred * scale).sum(axis=1)) - chosen * scale
        return float(losses.mean())

    bounds = (math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE))
    found = cast("Any", optimize).minimize_scalar(
        loss, bounds=bounds, method="bounded", options={"xatol": 1e-8}
    )
    return math.exp(float(found.x))


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, bins: int = 15
) -> float:
    """Return how far the top-1 confidence lies from the accuracy, averaged over images.

    Images fall into equally wide bins (low, high] by confidence; per bin the distance
    |accuracy - mean confidence| weighs as many images as it holds. 0 is honest, 1 the worst.

    Args:
        probabilities: Shape (N, K), each within 0 to 1.
        labels: True class numbers, shape (N,).
        bins: How many bins, at least 1.

    Raises:
        StatisticsError: The shapes do not fit, or a value is no probability.

    References:
        Naeini, Cooper, Hauskrecht (2015), Obtaining Well Calibrated Probabilities Using
        Bayesian Binning; top-1 form of Guo et al. (2017).
    """
    shares, true = _checked_rows("probabilities", probabilities, labels)
    if bins < 1:
        raise StatisticsError(f"{bins} bins cannot hold any image; use at least 1")
    return calibration_error(shares.max(axis=1), shares.argmax(axis=1) == true, bins)


def calibration_error(confidences: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Return `expected_calibration_error` of answers whose top-1 confidences are known.

    Example:
        >>> calibration_error([0.75, 0.75, 0.75, 0.75], [1, 1, 1, 0])
        0.0

    Args:
        confidences: Top-1 probabilities, shape (N,), N at least 1.
        right: Whether each answer was right, shape (N,).
        bins: How many bins, at least 1.

    Raises:
        StatisticsError: There is none, the shapes differ, or a value is no probability.
    """
    sure = _checked_confidences(confidences)
    hits = np.asarray(right, dtype=np.float64)
    if hits.shape != sure.shape:
        raise StatisticsError(f"{sure.size} confidences for {hits.size} answers")
    surplus = np.bincount(_bins(sure, bins), weights=sure - hits)
    return float(np.abs(surplus).sum() / sure.size)


def error_by_chance(
    confidences: ArrayLike, *, chance: float = 0.05, bins: int = 15, draws: int = 400
) -> float:
    """Return the calibration error that a calibrated model exceeds in a share `chance` of exams.

    The error of few images is large without any fault: it is drawn `draws` times for images that
    are right with exactly the probability that is their confidence (consistency resampling).
    The draws are the same for the same confidences.

    Args:
        confidences: Top-1 probabilities, shape (N,), N at least 1.
        chance: Inside (0, 1).
        bins: As in `expected_calibration_error`.
        draws: How many.

    Raises:
        StatisticsError: There is no confidence, or one is no probability.

    References:
        Broecker & Smith (2007), Increasing the Reliability of Reliability Diagrams.
    """
    sure = _checked_confidences(confidences)
    bin_of_image = _bins(sure, bins)
    rng = np.random.default_rng(0)
    right = rng.random((draws, sure.size)) < sure
    # Summed bin by bin: a product of matrices would wait for threads on a busy machine.
    order = np.argsort(bin_of_image, kind="stable")
    begins = np.flatnonzero(np.diff(bin_of_image[order], prepend=-1))
    surplus = np.abs(np.add.reduceat((sure - right)[:, order], begins, axis=1)).sum(axis=1)
    return float(np.quantile(surplus / sure.size, 1 - chance))


def expected_accuracy(confidences: ArrayLike) -> float:
    """Return the accuracy to expect without labels: the mean calibrated confidence.

    Example:
        >>> expected_accuracy([1.0, 0.75, 0.5])
        0.75

    Args:
        confidences: Top-1 probabilities after the temperature, shape (N,), N at least 1.

    Raises:
        StatisticsError: There is none, or a value is no probability.

    References:
        NannyML's confidence-based performance estimation (CBPE), for accuracy.
    """
    return float(_checked_confidences(confidences).mean())


def _bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.digitize(confidence, inner_edges, right=True)


def _checked_confidences(confidences: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(confidences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise StatisticsError(f"confidences must be one non-empty row (N,), not {values.shape}")
    return _checked_probabilities(values)


def _checked_rows(
    name: str, values: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0 or not np.isfinite(rows).all():
        raise StatisticsError(f"{name} of shape {rows.shape} must be (N, K) and finite")
    true = checked_labels(labels, rows.shape[1])
    if true.size != rows.shape[0]:
        raise StatisticsError(f"{rows.shape[0]} rows of {name} for {true.size} labels")
    return rows, true


def _checked_probabilities(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.all((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)):
        raise StatisticsError("a probability lies outside 0 to 1, or is NaN")
    return np.clip(values, 0.0, 1.0)
