"""How far each column of a day's predictions has moved away from the reference.

Asked of all predictions, and once more among those of every predicted class that has rows enough
on both sides. Only measured here; what is called drift is decided in monitor.drift.drift, with the
whole family in view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.bundle.profile import COLUMNS
from core.stats import separation, shares, twosample
from monitor.drift.samples import FEWEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from monitor.drift.samples import Sample

FEWEST_OF_CLASS = 30  # rows of one predicted class on either side, below which nothing is said
PREDICTED, EMBEDDING = "predicted label", "embedding"
KOLMOGOROV_SMIRNOV = "Kolmogorov-Smirnov"
SHARES = "chi-squared and largest shift, shuffled"
EVIDENTLY = f"{KOLMOGOROV_SMIRNOV} (Evidently)"

# Differences smaller than these do not matter, however sure: a distance between distribution
# functions; Cohen's w of the shares, which is 0.2 or more when a tenth of the traffic has moved
# (docs/drift.md); an area under the ROC curve (0.5 when nothing moved).
KS_FLOOR, SHARES_FLOOR, AUC_FLOOR = 0.1, 0.1, 0.6

_FEWEST_EXPECTED = 1  # of a class, in either sample: the shuffles do the rest


@dataclass(frozen=True, slots=True)
class _Shuffles:
    """How much the embedding's test may cost: rows a side, and shuffles at most."""

    rows: int
    most: int


# What a single finding needs to pass the correction sets the number of shuffles; most
# comparisons end after some tens of them.
_OVERALL, _OF_CLASS = _Shuffles(1_000, 2_000), _Shuffles(300, 10_000)
_ENOUGH = 10  # shuffles that do as well as the truth, after which no more are asked for


@dataclass(frozen=True, slots=True)
class Finding:
    """One column compared, before the correction over the family; None: not enough data.

    Attributes:
        column: What was compared.
        method: By which test.
        n: Rows of the day.
        reference_n: Rows of the reference.
        effect_floor: Below this a difference does not matter.
        statistic: The test's.
        p_value: Its p-value.
        effect: How far the column moved.
        label: Index of the predicted class; None over all of them.
        detail: What else a reader should know.
        reference: What this column was compared with, where that is not the day's reference.
    """

    column: str
    method: str
    n: int
    reference_n: int
    effect_floor: float
    statistic: float | None = None
    p_value: float | None = None
    effect: float | None = None
    label: int | None = None
    detail: str = ""
    reference: str | None = None


def compare(
    reference: Sample,
    current: Sample,
    labels: Sequence[str],
    p_values: Mapping[str, float],
    rng: np.random.Generator,
) -> list[Finding]:
    """Return how far every column moved over all predictions, and how unlikely that is by chance.

    Args:
        reference: Rows of normal traffic.
        current: Rows of the day.
        labels: The names of the classes.
        p_values: Evidently's, by column; our own test stands in where there is none.
        rng: Draws and shuffles.
    """
    return [
        *(
            _of_column(name, reference, current, FEWEST, p_values.get(name), rng)
            for name in COLUMNS
        ),
        _of_labels(reference, current, labels, rng),
        _of_embedding(reference, current, FEWEST, _OVERALL, rng),
    ]


def compare_classes(reference: Sample, current: Sample, rng: np.random.Generator) -> list[Finding]:
    """Return how far every column moved among the predictions of each class with rows enough.

    The tests are all our own: Evidently sees the sample as a whole.
    """
    k = len(current.counts)
    before = np.bincount(reference.predicted, minlength=k)
    now = np.bincount(current.predicted, minlength=k)
    found: list[Finding] = []
    for label in np.flatnonzero(np.minimum(before, now) >= FEWEST_OF_CLASS).tolist():
        pair = reference.of_label(label), current.of_label(label)
        of_class = [_of_column(name, *pair, FEWEST_OF_CLASS, None, rng) for name in COLUMNS]
        of_class.append(_of_embedding(*pair, FEWEST_OF_CLASS, _OF_CLASS, rng))
        found += [replace(each, label=label) for each in of_class if each.p_value is not None]
    return found


def distances(reference: Sample, current: Sample) -> dict[str, float]:
    """Return the effect of every column but the embedding, without a test.

    Columns without enough data are absent.
    """
    found: dict[str, float] = {}
    for name in COLUMNS:
        before, now = _finite(reference.columns[name]), _finite(current.columns[name])
        if min(len(before), len(now)) >= FEWEST:
            found[name] = twosample.kolmogorov_smirnov(before, now).effect
    bins = _bins(reference.counts, current.counts)
    if bins is not None:
        found[PREDICTED] = twosample.shift_of_shares(*bins)
    return found


def _of_column(
    name: str,
    reference: Sample,
    current: Sample,
    fewest: int,
    p_value: float | None,
    rng: np.random.Generator,
) -> Finding:
    """Compare a column of numbers: Evidently's p-value where it gave one, and our effect."""
    before, now = _finite(reference.columns[name]), _finite(current.columns[name])
    finding = Finding(name, KOLMOGOROV_SMIRNOV, len(now), len(before), KS_FLOOR)
    if min(len(before), len(now)) < fewest:
        return finding
    tied = twosample.are_tied(before, now)
    ours = twosample.kolmogorov_smirnov(before, now, ties=rng)
    theirs = None if tied else p_value
    return replace(
        finding,
        method=EVIDENTLY if theirs is not None else KOLMOGOROV_SMIRNOV + ", shuffled" * tied,
        statistic=ours.statistic,
        p_value=ours.p_value if theirs is None else theirs,
        effect=ours.effect,
    )


def _of_labels(
    reference: Sample, current: Sample, labels: Sequence[str], rng: np.random.Generator
) -> Finding:
    """Compare the mix of predicted labels, all of the day's, with rare ones counted as one."""
    n, m = int(current.counts.sum()), int(reference.counts.sum())
    finding = Finding(PREDICTED, SHARES, n, m, SHARES_FLOOR)
    bins = _bins(reference.counts, current.counts)
    if bins is None:  # too few, or most of the traffic is classes too rare to be told apart
        return finding
    found = shares.shares_two_sample(*bins, rng)
    moved = current.counts / n - reference.counts / m
    most = int(np.abs(moved).argmax())
    points = [100 * side.counts[most] / side.counts.sum() for side in (reference, current)]
    return replace(
        finding,
        statistic=found.statistic,
        p_value=found.p_value,
        effect=found.effect,
        detail=f"moved most: {labels[most]}, {points[0]:.2g} % to {points[1]:.2g} %",
    )


def _bins(
    before: NDArray[np.int64], now: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the two histograms with rare classes pooled in the last bin; None without enough."""
    m, n = int(before.sum()), int(now.sum())
    if min(n, m) < FEWEST:
        return None
    rare = (before + now) * (min(n, m) / (n + m)) < _FEWEST_EXPECTED
    if now[rare].sum() > n / 2:
        return None
    return np.append(before[~rare], before[rare].sum()), np.append(now[~rare], now[rare].sum())


def _of_embedding(
    reference: Sample,
    current: Sample,
    fewest: int,
    shuffles: _Shuffles,
    rng: np.random.Generator,
) -> Finding:
    """Ask whether a linear classifier can tell the day's embeddings from the reference."""
    before = _some(reference.embedding, shuffles.rows, rng)
    now = _some(current.embedding, shuffles.rows, rng)
    finding = Finding(EMBEDDING, "classifier two-sample", len(now), len(before), AUC_FLOOR)
    if min(len(before), len(now)) < fewest:
        return finding
    found = separation.classifier_two_sample(
        before, now, rng, permutations=shuffles.most, enough=_ENOUGH
    )
    return replace(finding, statistic=found.statistic, p_value=found.p_value, effect=found.effect)


def _some(rows: NDArray[np.float32], most: int, rng: np.random.Generator) -> NDArray[np.float32]:
    whole = rows[np.isfinite(rows).all(axis=1)]
    return whole if len(whole) <= most else whole[rng.choice(len(whole), most, replace=False)]


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
