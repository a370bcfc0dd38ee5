"""What confidences promise about a day without labels, for the images given one answer.

Two estimates of the accuracy, per predicted class, for the true class is not known: the mean
calibrated confidence (CBPE), and the share of answers at least so sure that on the reference
images as many were right (average thresholded confidence, ATC). Neither sees a model that is
surely wrong. Both are for setting priorities and open no flag.

References:
    NannyML's confidence-based performance estimation (CBPE), for accuracy.
    Garg, Balakrishnan, Lipton, Neyshabur, Sedghi (2022), Leveraging Unlabeled Data to Predict
    Out-of-Distribution Performance (ATC, with the confidence as the score).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError
from core.stats.calibration import expected_accuracy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# With fewer answers than this a class's mean confidence is mostly chance.
LEAST_ANSWERS = 30


@dataclass(frozen=True, slots=True)
class Promise:
    """What the images that were given one answer promised, and how many of them were right.

    Attributes:
        n: Images that were given this answer.
        correct: How many of them rightly.
        confidence: Their mean calibrated confidence; None without images.
        confident: The share of them whose confidence reaches the threshold; None without.
    """

    n: int
    correct: int
    confidence: float | None
    confident: float | None


def confident_from(confidences: ArrayLike, right: ArrayLike) -> float:
    """Return ATC's threshold: as many images are at least so sure as are answered rightly.

    Where several images have the confidence at the threshold, they all count as sure.

    Args:
        confidences: Top-1 probabilities of the reference images, shape (N,), N at least 1.
        right: Whether each was answered rightly, shape (N,).

    Raises:
        StatisticsError: There is no image, the shapes differ, or a value is no probability.

    Example:
        >>> confident_from([0.9, 0.8, 0.7, 0.6], [True, True, False, True])
        0.7
    """
    sure, hits = _checked(confidences, right)
    correct = int(hits.sum())
    if correct == 0:
        # The next number in single precision, in which confidences are kept.
        return float(np.nextafter(np.float32(sure.max()), np.float32(np.inf)))
    return float(np.sort(sure)[::-1][correct - 1])


def promises(
    predicted: ArrayLike, confidences: ArrayLike, right: ArrayLike, classes: int, threshold: float
) -> list[Promise]:
    """Return what the reference images promised, for each of `classes` answers.

    Args:
        predicted: The answers, shape (N,), from 0 to classes - 1.
        confidences: Top-1 probabilities, shape (N,).
        right: Whether each answer was right, shape (N,).
        classes: How many classes there are.
        threshold: As `confident_from` gives it.

    Raises:
        StatisticsError: As `confident_from`, or an answer is no class.
    """
    sure, hits = _checked(confidences, right)
    answers = np.asarray(predicted)
    if answers.shape != sure.shape or not np.all((answers >= 0) & (answers < classes)):
        raise StatisticsError(f"answers of shape {answers.shape} must be (N,), 0 to {classes - 1}")
    return [
        _promise(sure[of], hits[of], threshold) for of in (answers == i for i in range(classes))
    ]


def shortfall(n: ArrayLike, confidence: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Return how far expected accuracy has fallen below the reference's, shape (K,), 0 at least.

    Args:
        n: Answers of the day that named each class, shape (K,). Below 30 nothing is said.
        confidence: Their mean calibrated confidence, shape (K,); NaN where there is none.
        reference: The same of the reference images, shape (K,); NaN where there is none.
    """
    fallen = np.asarray(reference, dtype=np.float64) - np.asarray(confidence, dtype=np.float64)
    known = np.isfinite(fallen) & (np.asarray(n) >= LEAST_ANSWERS)
    return np.where(known, np.maximum(fallen, 0.0), 0.0)


def _promise(sure: NDArray[np.float64], hits: NDArray[np.bool_], threshold: float) -> Promise:
    if not sure.size:
        return Promise(0, 0, None, None)
    share = float((sure >= threshold).mean())
    return Promise(int(sure.size), int(hits.sum()), expected_accuracy(sure), share)


def _checked(
    confidences: ArrayLike, right: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    sure, hits = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    if sure.ndim != 1 or not sure.size or sure.shape != hits.shape:
        raise StatisticsError(f"confidences {sure.shape} and answers {hits.shape} must be one row")
    if not np.all((sure >= 0) & (sure <= 1 + 1e-5)):
        raise StatisticsError("a probability lies outside 0 to 1, or is NaN")
    return sure, hits
