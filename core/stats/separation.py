"""Whether a classifier can tell two sets of rows apart: today's embeddings and the reference.

No list of columns can say how an embedding of 256 numbers has moved. A classifier that learns to
tell the two sets apart can: what it reaches on rows it has not seen is the effect, and shuffles
of the two names say what it would have reached by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from core.errors import StatisticsError
from core.stats.classification import areas_under_roc
from core.stats.permutation import permutation_p_value
from core.stats.twosample import TwoSample, checked_sample

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

_FOLDS = 5


def classifier_two_sample(
    reference: ArrayLike,
    current: ArrayLike,
    rng: Generator,
    permutations: int = 200,
    *,
    enough: int | None = None,
) -> TwoSample:
    """Test whether a linear classifier can tell current rows from reference rows.

    A ridge regression on the standardised columns (penalty d, closed form, so that all
    permutations share one factorisation) scores the rows of each of five folds after
    learning from the other four. The statistic, and the effect, is the AUC: how often a
    current row outranks a reference row of its fold; 0.5 when nothing can be told. Labels are
    permuted within the folds, and p = (k + 1) / (B + 1) with the k of B permutations that do
    as well: exact at any sample size. It sees shifts of the mean, not of the spread alone.

    Args:
        reference: Shape (n, d), finite, n at least 5.
        current: Shape (m, d), finite, m at least 5.
        rng: Deals the folds and the permutations; the same seed gives the same answer.
        permutations: B, at least 1; p cannot fall below 1 / (B + 1).
        enough: Ends the permutations early, as in `permutation_p_value`; None runs them all.

    Raises:
        StatisticsError: A sample is too small or not finite, or the widths differ.

    References:
        Lopez-Paz, Oquab (2017), Revisiting Classifier Two-Sample Tests.
        Phipson, Smyth (2010), Permutation P-values Should Never Be Zero.
    """
    before, now = checked_sample("reference", reference, 2), checked_sample("current", current, 2)
    if before.shape[1] != now.shape[1] or permutations < 1:
        raise StatisticsError(
            f"rows of width {before.shape[1]} and {now.shape[1]} at {permutations} permutations:"
            " widths must be equal and permutations at least 1"
        )
    if min(len(before), len(now)) < _FOLDS:
        raise StatisticsError(f"each sample needs {_FOLDS} rows, not {len(before)} and {len(now)}")
    rows = _standardised(np.concatenate([before, now]))
    dealt = np.concatenate([_dealt(len(before), rng), _dealt(len(now), rng)])
    is_current = np.arange(len(rows)) >= len(before)
    folds = [_fold(rows, dealt == number) for number in range(_FOLDS)]

    def shuffled(count: int) -> NDArray[np.float64]:
        return _areas(folds, _shuffled(is_current, folds, count, rng))

    area = float(_areas(folds, is_current[:, None])[0])
    p_value = permutation_p_value(area, shuffled, most=permutations, enough=enough)
    return TwoSample(area, p_value, area, len(before), len(now))


@dataclass(frozen=True, slots=True)
class _Fold:
    """One fold: its rows, held out, and how their scores follow from the labels of the others.

    Attributes:
        held_out: Which rows are scored, shape (N,).
        scores_of: Turns labels of the other rows into scores, shape (held out, others).
    """

    held_out: NDArray[np.bool_]
    scores_of: NDArray[np.float64]


def _fold(rows: NDArray[np.float64], held_out: NDArray[np.bool_]) -> _Fold:
    known, unknown = rows[~held_out], rows[held_out]
    centre = known.mean(axis=0)
    centred = known - centre
    penalised = centred.T @ centred + rows.shape[1] * np.eye(rows.shape[1])
    weights_of = cast("NDArray[np.float64]", np.linalg.solve(penalised, centred.T))
    return _Fold(held_out, (unknown - centre) @ weights_of)


def _areas(folds: list[_Fold], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the AUC of each column of labels, averaged over folds by pairs compared, (C,)."""
    areas, pairs = np.zeros(labels.shape[1]), 0
    for fold in folds:
        known, unknown = labels[~fold.held_out], labels[fold.held_out]
        current = int(unknown[:, 0].sum())
        weight = current * (len(unknown) - current)
        areas += weight * areas_under_roc(fold.scores_of @ known.astype(np.float64), unknown)
        pairs += weight
    return areas / pairs


def _shuffled(
    is_current: NDArray[np.bool_], folds: list[_Fold], count: int, rng: Generator
) -> NDArray[np.bool_]:
    """Return `count` shuffles of the labels within the folds, shape (N, count)."""
    labels = np.repeat(is_current[:, None], count, axis=1)
    for fold in folds:
        labels[fold.held_out] = rng.permuted(labels[fold.held_out], axis=0)
    return labels


def _standardised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns with mean 0 and spread 1; one that is constant becomes 0."""
    spread = rows.std(axis=0)
    return (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _dealt(rows: int, rng: Generator) -> NDArray[np.int64]:
    """Return a fold for each row, all folds as equal in size as can be."""
    return rng.permutation(np.arange(rows) % _FOLDS)
