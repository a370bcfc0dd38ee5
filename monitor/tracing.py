"""What an exam leaves behind of each image, so that a weakness can be explained later."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from core.images.descriptors import DESCRIPTORS
from core.stats.wrong_labels import confident_disagreements
from core.store.traces import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.evaluation import Evaluation


def traces_of(
    evaluation: Evaluation, labels: Sequence[str], *, version: str, day: date
) -> list[Trace]:
    """Return what the version saw in each image, with the labels that look wrong in this draw.

    Images whose label the version does not know are left out.

    Args:
        evaluation: The exam's, with descriptors.
        labels: The version's labels, in order.
        version: The version.
        day: The day examined.
    """
    described = evaluation.descriptors or {}
    table = np.stack([described[name] for name in DESCRIPTORS], axis=1)
    doubts = _doubts(evaluation)
    confidence = evaluation.confidence.tolist()
    found: list[Trace] = []
    for row in np.flatnonzero(evaluation.labels >= 0).tolist():
        suggested, margin = doubts.get(row, (None, None))
        found.append(
            Trace(
                version=version,
                image=evaluation.samples[row].id,
                day=day,
                label=labels[int(evaluation.labels[row])],
                predicted=labels[int(evaluation.predicted[row])],
                confidence=confidence[row],
                descriptors=table[row].tolist(),
                embedding=evaluation.embedding[row],
                suggested=None if suggested is None else labels[suggested],
                margin=margin,
            )
        )
    return found


def _doubts(evaluation: Evaluation) -> dict[int, tuple[int, float]]:
    """Return by row what else a label should be, and how surely."""
    known = np.flatnonzero(evaluation.labels >= 0)
    doubts = confident_disagreements(evaluation.probabilities[known], evaluation.labels[known])
    rows, said, margins = known[doubts.rows], doubts.suggested, doubts.margin
    return {
        row: (suggested, margin)
        for row, suggested, margin in zip(
            rows.tolist(), said.tolist(), margins.tolist(), strict=True
        )
    }
