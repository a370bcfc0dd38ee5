"""How far each column of a day's predictions has moved away from the reference.

Only measured here; what is called drift is decided in monitor.drift, with all columns in view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.bundle.profile import COLUMNS
from core.stats import twosample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FEWEST = 50  # predictions, below which nothing is said
PREDICTED, EMBEDDING = "predicted label", "embedding"

# Differences smaller than these do not matter, however sure: a distance between distribution
# functions; a population stability index; an area under the ROC curve (0.5 when nothing moved).
KS_FLOOR, PSI_FLOOR, AUC_FLOOR = 0.1, 0.1, 0.6

_EMBEDDINGS = 1_000  # rows a side: 0.7 s for 200 permutations
_FEWEST_EXPECTED = 5  # of a class, in either sample, before the chi-squared law may be trusted


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one side, by column.

    Attributes:
        columns: COLUMNS, float64; what was not finite is left out, so lengths may differ.
        predicted: Index of the predicted label, int64 (n,).
        embedding: float32 (m, 256), of the rows that have one.
    """

    columns: dict[str, NDArray[np.float64]]
    predicted: NDArray[np.int64]
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Finding:
    """One column compared, before the correction over the family; None: not enough data."""

    column: str
    method: str
    n: int
    reference_n: int
    effect_floor: float
    statistic: float | None = None
    p_value: float | None = None
    effect: float | None = None


def compare(
    reference: Sample,
    current: Sample,
    p_values: Mapping[str, float],
    rng: np.random.Generator,
) -> list[Finding]:
    """Return how far every column moved, and how unlikely that is by chance.

    Args:
        reference: Rows of normal traffic.
        current: Rows of the day.
        p_values: Evidently's, by column; our own test stands in where there is none.
        rng: Draws and permutes the embeddings.
    """
    return [
        *(_of_column(name, reference, current, p_values.get(name)) for name in COLUMNS),
        _of_labels(reference, current),
        _of_embedding(reference, current, rng),
    ]


def _of_column(name: str, reference: Sample, current: Sample, p_value: float | None) -> Finding:
    """Compare a column of numbers: Evidently's p-value where it gave one, and our effect."""
    before, now = reference.columns[name], current.columns[name]
    method = "Kolmogorov-Smirnov" if p_value is None else "Kolmogorov-Smirnov (Evidently)"
    finding = Finding(name, method, len(now), len(before), KS_FLOOR)
    if min(len(before), len(now)) < FEWEST:
        return finding
    ours = twosample.kolmogorov_smirnov(before, now)
    return replace(
        finding,
        statistic=ours.statistic,
        p_value=ours.p_value if p_value is None else p_value,
        effect=ours.effect,
    )


def _of_labels(reference: Sample, current: Sample) -> Finding:
    """Compare the mix of predicted labels, with rare ones counted as one."""
    n, m = len(current.predicted), len(reference.predicted)
    finding = Finding(PREDICTED, "chi-squared", n, m, PSI_FLOOR)
    if min(n, m) < FEWEST:
        return finding
    labels = 1 + int(max(current.predicted.max(), reference.predicted.max()))
    before = np.bincount(reference.predicted, minlength=labels)
    now = np.bincount(current.predicted, minlength=labels)
    rare = (before + now) * min(n, m) / (n + m) < _FEWEST_EXPECTED
    before = np.append(before[~rare], before[rare].sum())
    now = np.append(now[~rare], now[rare].sum())
    if now[-1] > n / 2:  # most of the traffic is classes too rare to be told apart
        return finding
    found = twosample.chi_squared(before, now)
    seen = before + now > 0
    effect = twosample.population_stability_index(before[seen], now[seen])
    return replace(finding, statistic=found.statistic, p_value=found.p_value, effect=effect)


def _of_embedding(reference: Sample, current: Sample, rng: np.random.Generator) -> Finding:
    """Ask whether a linear classifier can tell the day's embeddings from the reference."""
    before = _some(reference.embedding, rng)
    now = _some(current.embedding, rng)
    finding = Finding(EMBEDDING, "classifier two-sample", len(now), len(before), AUC_FLOOR)
    if min(len(before), len(now)) < FEWEST:
        return finding
    found = twosample.classifier_two_sample(before, now, rng)
    return replace(finding, statistic=found.statistic, p_value=found.p_value, effect=found.effect)


def _some(rows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    if len(rows) <= _EMBEDDINGS:
        return rows
    return rows[rng.choice(len(rows), _EMBEDDINGS, replace=False)]
