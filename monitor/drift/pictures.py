"""Draws what people look at of a day's drift, from the samples that were compared.

Histograms over the same bins of both sides, and a map of the embeddings. Nothing is decided here:
the verdicts are monitor.drift.drift's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.bundle.profile import COLUMNS
from core.stats.projection import principal_components
from core.store import images
from core.store.drift_pictures import Histograms, Pictures, Points
from monitor.drift.columns import FEWEST_OF_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from monitor.drift.samples import Sample

MOST_POINTS = 2_000  # of either side
_BINS = 24
_OUTER = (0.005, 0.995)  # quantiles at which the outermost bins begin


def draw(
    connection: Connection, reference: Sample, current: Sample, labels: Sequence[str]
) -> Pictures:
    """Return the pictures of a day.

    Args:
        connection: Where the pool is: points that are pictures of it are told by their number.
        reference: Rows of normal traffic.
        current: Rows of the day.
        labels: The classes of the version.
    """
    digests = sorted({*reference.digests, *current.digests})
    known = images.ids(connection, digests) if digests else {}
    return Pictures(
        histograms(reference, current, labels), points((reference, current), labels, known)
    )


def histograms(reference: Sample, current: Sample, labels: Sequence[str]) -> Histograms:
    """Return every column of numbers counted, over all rows and within classes with rows enough."""
    edges = np.stack([_edges(reference.columns[name], current.columns[name]) for name in COLUMNS])
    k = len(labels)
    seen = [np.bincount(side.predicted, minlength=k) for side in (reference, current)]
    classes = np.flatnonzero(np.minimum(*seen) >= FEWEST_OF_CLASS)
    return Histograms(
        columns=list(COLUMNS),
        edges=edges,
        classes=[labels[place] for place in classes.tolist()],
        reference=_counted(reference, edges, classes, k),
        current=_counted(current, edges, classes, k),
        labels=list(labels),
        mix=np.stack([reference.counts, current.counts]),
    )


def _edges(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.concatenate([before, now])
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, _OUTER) if len(values) else (0.0, 1.0)
    if high <= low:  # All alike: one bar, with room on both sides.
        room = max(abs(float(low)) / 10, 0.5)
        low, high = low - room, high + room
    return np.linspace(low, high, _BINS + 1)


def _counted(
    side: Sample, edges: NDArray[np.float64], classes: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """Return the rows in each bin, int64 (1 + classes, columns, bins); what is NaN is in none."""
    counted = np.zeros((1 + len(classes), len(COLUMNS), _BINS), dtype=np.int64)
    row_of = np.zeros(k, dtype=np.int64)
    row_of[classes] = 1 + np.arange(len(classes))
    for place, name in enumerate(COLUMNS):
        values = side.columns[name]
        is_there = np.isfinite(values)
        inner = edges[place, 1:-1]
        bins = np.searchsorted(inner, values[is_there], side="right")
        rows = row_of[side.predicted[is_there]]
        both = np.bincount(rows * _BINS + bins, minlength=counted.shape[0] * _BINS)
        of_rows = both.reshape(-1, _BINS)
        counted[:, place] = of_rows
        # What is of no class counted by itself stands in the first row, with all the others.
        counted[0, place] = of_rows.sum(axis=0)
    return counted


def points(sides: tuple[Sample, Sample], labels: Sequence[str], known: Mapping[str, int]) -> Points:
    """Return some rows of both sides on their two principal components.

    Args:
        sides: The reference, and the day.
        labels: The classes of the version.
        known: Numbers of the pool's pictures, by digest.
    """
    chosen = [_spread(side) for side in sides]
    embedding = np.concatenate(
        [side.embedding[rows] for side, rows in zip(sides, chosen, strict=True)]
    )
    predicted = [side.predicted[rows] for side, rows in zip(sides, chosen, strict=True)]
    numbers = [_numbers(side, rows, known) for side, rows in zip(sides, chosen, strict=True)]
    is_current = np.repeat([False, True], [len(rows) for rows in chosen])
    xy, explained = np.zeros((len(embedding), 2)), (0.0, 0.0)
    if len(embedding) >= 2:
        found = principal_components(embedding)
        xy, explained = found.points, (float(found.explained[0]), float(found.explained[1]))
    return Points(
        xy=xy.astype(np.float32),
        is_current=is_current,
        label=np.concatenate(predicted),
        image=np.concatenate(numbers),
        labels=list(labels),
        explained=explained,
    )


def _spread(side: Sample) -> NDArray[np.int64]:
    """Return which rows are shown: evenly over all that have an embedding."""
    whole = np.flatnonzero(np.isfinite(side.embedding).all(axis=1))
    if len(whole) <= MOST_POINTS:
        return whole
    return whole[np.linspace(0, len(whole) - 1, MOST_POINTS).astype(np.int64)]


def _numbers(side: Sample, rows: NDArray[np.int64], known: Mapping[str, int]) -> NDArray[np.int64]:
    if not side.digests:
        return np.zeros(len(rows), dtype=np.int64)
    return np.array([known.get(side.digests[row], 0) for row in rows.tolist()], dtype=np.int64)
