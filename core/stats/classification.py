"""How good a classifier's answers are, as a whole and class by class.

Predictions and labels are class numbers 0 to K - 1. A class without images has no
recall and no AUC: it is left out or None, never 0 and never NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.counts import whole_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Scores ranked at once: enough to be quick, too few to fill the memory at 2,500 classes.
_BLOCK = 4_000_000


def checked_labels(labels: ArrayLike, classes: int, name: str = "labels") -> NDArray[np.int64]:
    """Return class numbers as int64 of shape (N,), N at least 1, each below `classes`.

    Raises:
        StatisticsError: The shape is not (N,), there is none, or one is no class number.
    """
    numbers = whole_numbers(name, labels)
    if numbers.ndim != 1 or numbers.size == 0:
        raise StatisticsError(f"{name} must be one non-empty row (N,), not {numbers.shape}")
    if numbers.max() >= classes:
        raise StatisticsError(f"{name} names class {numbers.max()} of only {classes}")
    return numbers


def top1(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of images whose prediction is their label.

    Args:
        predicted: Class numbers predicted, shape (N,).
        labels: Class numbers that are true, shape (N,).

    Raises:
        StatisticsError: The shapes differ, or there is no image.

    Example:
        >>> top1([0, 1, 1, 2], [0, 1, 2, 2])
        0.75
    """
    said, true = whole_numbers("predicted", predicted), whole_numbers("labels", labels)
    if said.shape != true.shape or said.ndim != 1 or said.size == 0:
        raise StatisticsError(
            f"predictions {said.shape} and labels {true.shape} must be equal, non-empty rows"
        )
    return int(np.count_nonzero(said == true)) / said.size


def confusion_matrix(predicted: ArrayLike, labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return how often each class (row) was predicted as each class (column).

    Args:
        predicted: Class numbers predicted, shape (N,).
        labels: Class numbers that are true, shape (N,).
        classes: Number of classes K.

    Returns:
        Counts, shape (K, K); the diagonal holds the right answers, row sums the images.

    Raises:
        StatisticsError: The shapes differ, there is no image, or a number is no class.

    Example:
        >>> confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], classes=3)
        array([[1, 0, 0],
               [0, 1, 0],
               [0, 1, 1]])
    """
    said = checked_labels(predicted, classes, "predicted")
    true = checked_labels(labels, classes)
    if said.shape != true.shape:
        raise StatisticsError(f"predictions {said.shape} and labels {true.shape} differ in shape")
    pairs = np.bincount(true * classes + said, minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.int64)


def per_class_recall(
    predicted: ArrayLike, labels: ArrayLike, classes: int
) -> tuple[float | None, ...]:
    """Return the share of each class's images that were recognised.

    One value a class, in order: what a manifest or JSON can hold as it is. A class without
    images has None.

    Raises:
        StatisticsError: As `confusion_matrix`.

    Example:
        >>> per_class_recall([0, 1, 1, 2], [0, 1, 2, 2], classes=4)
        (1.0, 1.0, 0.5, None)
    """
    matrix = confusion_matrix(predicted, labels, classes)
    right, images = np.diagonal(matrix).tolist(), matrix.sum(axis=1).tolist()
    return tuple(k / n if n else None for k, n in zip(right, images, strict=True))


def macro_f1(predicted: ArrayLike, labels: ArrayLike, classes: int) -> float:
    """Return the mean of the classes' F1 scores, each class weighing the same.

    F1 = 2 TP / (2 TP + FP + FN). Classes that are neither true nor predicted anywhere are
    left out, as scikit-learn does; one that is predicted but never true scores 0.

    Raises:
        StatisticsError: As `confusion_matrix`.
    """
    matrix = confusion_matrix(predicted, labels, classes)
    mentions = matrix.sum(axis=0) + matrix.sum(axis=1)
    seen = mentions > 0
    scores: NDArray[np.float64] = 2 * np.diagonal(matrix)[seen] / mentions[seen]
    return float(scores.mean())


def macro_auroc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean one-vs-rest area under the ROC curve, each class weighing the same.

    Classes that no image has, or all have, are left out.

    Args:
        probabilities: Shape (N, K), or any scores that rank the images per class.
        labels: Class numbers that are true, shape (N,).

    Raises:
        StatisticsError: The shapes do not fit, a score is NaN, or all labels are one class.
    """
    scores = np.asarray(probabilities)
    if scores.ndim != 2:
        raise StatisticsError(f"probabilities must be of shape (N, K), not {scores.shape}")
    true = checked_labels(labels, scores.shape[1])
    if true.size != scores.shape[0]:
        raise StatisticsError(f"{scores.shape[0]} rows of probabilities for {true.size} labels")
    present = np.unique(true)
    if present.size < 2:
        raise StatisticsError("an AUC needs images of at least two classes")
    width = max(1, _BLOCK // true.size)
    areas = [
        areas_under_roc(scores[:, block], true[:, None] == block)
        for block in np.split(present, range(width, present.size, width))
    ]
    return float(np.mean(np.concatenate(areas)))


def areas_under_roc(
    scores: NDArray[np.floating], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return, per column, how often a positive outranks a negative; ties count half.

    The Mann-Whitney form: (R - P (P + 1) / 2) / (P Q), for the positives' rank sum R, the P
    positives and the Q negatives.

    Args:
        scores: Shape (N, C).
        positive: Which rows are positive in each column, shape (N, C).

    Returns:
        Areas between 0 and 1, shape (C,); 0.5 where the scores say nothing.

    Raises:
        StatisticsError: A score is NaN, the shapes differ, or a column lacks either kind.
    """
    if scores.shape != positive.shape or np.isnan(scores).any():
        raise StatisticsError("scores must be numbers, one for each row and column of positives")
    positives = positive.sum(axis=0)
    negatives = positive.shape[0] - positives
    if np.any(positives == 0) or np.any(negatives == 0):
        raise StatisticsError("an AUC needs a positive and a negative in every column")
    rank_sums = np.where(positive, _ranks(scores), 0.0).sum(axis=0)
    return (rank_sums - positives * (positives + 1) / 2) / (positives * negatives)


def _ranks(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ranks from 1 within each column, ties sharing their mean."""
    return np.asarray(cast("Any", stats).rankdata(scores, axis=0), dtype=np.float64)
