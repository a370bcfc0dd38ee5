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
    lead = _leads(evaluation)
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
                lead=lead[row],
            )
        )
    return found


def _leads(evaluation: Evaluation) -> list[float]:
    """Return by how much each answer's logit lies above the label's; 0 for an unknown label."""
    n, labels = len(evaluation.labels), evaluation.labels
    # Of float32 probabilities; one that has vanished stands for the smallest there is.
    logs = np.log(np.maximum(evaluation.probabilities, np.finfo(np.float32).tiny))
    rows = np.arange(n)
    own = np.where(labels >= 0, labels, evaluation.predicted)
    return (logs[rows, evaluation.predicted] - logs[rows, own]).astype(np.float64).tolist()


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
