"""The figures that a bundle states about its version, made of what the version said.

Accuracy, calibration and recall of each class; what was right and what it was taken for; and what
its confidences promise for days without labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bundle import profile
from core.bundle.outputs import EMBEDDING_SIZE
from core.bundle.profile import ReferenceProfile
from core.evaluation import Evaluation
from core.stats import calibration, classification, without_labels
from core.store.images import Sample

_PROFILE_SEED = 0


def metrics(evaluation: Evaluation, labels: Sequence[str]) -> dict[str, Any]:
    """Return top1, macro_f1, auroc, ece and recall per class; empty without images."""
    if not evaluation.samples:
        return {}
    predicted, true, classes = evaluation.predicted, evaluation.labels, len(labels)
    recalls = classification.per_class_recall(predicted, true, classes)
    several = len(np.unique(true)) > 1
    return {
        "n": len(evaluation.samples),
        "top1": classification.top1(predicted, true),
        "macro_f1": classification.macro_f1(predicted, true, classes),
        # Of one class alone nothing can be ranked.
        "auroc": classification.macro_auroc(evaluation.probabilities, true) if several else None,
        "ece": calibration.expected_calibration_error(evaluation.probabilities, true),
        "per_class": dict(zip(labels, recalls, strict=True)),
    }


def promised(evaluation: Evaluation, labels: Sequence[str]) -> dict[str, Any]:
    """Return what the confidences of the reference images promise; empty without images.

    `{"without_labels": {"confident_from": ATC's threshold, "predicted": {label: {"n", "correct",
    "confidence", "confident"}}}}`, by predicted label, as core.stats.without_labels has them.
    """
    if not evaluation.samples:
        return {}
    predicted, sure = evaluation.predicted, evaluation.confidence
    right = predicted == evaluation.labels
    least = without_labels.confident_from(sure, right)
    found = without_labels.promises(predicted, sure, right, len(labels), least)
    by_label = {label: _plain(each) for label, each in zip(labels, found, strict=True)}
    return {"without_labels": {"confident_from": least, "predicted": by_label}}


def reference(evaluation: Evaluation, labels: Sequence[str]) -> dict[str, Any]:
    """Return per label how many images there were, how many right, and what for the others."""
    counted = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counted, (evaluation.labels, evaluation.predicted), 1)
    return {
        label: {
            "n": int(row.sum()),
            "correct": int(row[place]),
            "confused": {
                other: int(n) for other, n in zip(labels, row, strict=True) if n and other != label
            },
        }
        for place, (label, row) in enumerate(zip(labels, counted, strict=True))
    }


def _plain(promise: without_labels.Promise) -> dict[str, int | float | None]:
    # The means stand in every answer about the version, so a few digits must do.
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in asdict(promise).items()
    }


def reference_profile(evaluation: Evaluation | None) -> ReferenceProfile:
    """Return up to 2,000 rows of the evaluation; none for a draft."""
    if evaluation is None:
        empty = {name: np.empty(0) for name in profile.COLUMNS}
        return ReferenceProfile(
            empty, np.empty(0, np.int64), np.empty((0, EMBEDDING_SIZE), np.float32)
        )
    n = len(evaluation.samples)
    rng = np.random.default_rng(_PROFILE_SEED)
    rows = np.sort(rng.permutation(n)[: profile.MAX_ROWS])
    columns = dict(evaluation.descriptors or {}) | {
        "confidence": evaluation.confidence,
        "entropy": evaluation.entropy,
        "margin": evaluation.margin,
    }
    return ReferenceProfile(
        {name: column[rows] for name, column in columns.items()},
        evaluation.predicted[rows],
        evaluation.embedding[rows],
        evaluation.labels[rows],
        _digests([evaluation.samples[row] for row in rows.tolist()]),
    )


def _digests(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """Return the SHA-256 of each image, uint8 (n, 32)."""
    whole = b"".join(bytes.fromhex(sample.sha256) for sample in samples)
    return np.frombuffer(whole, np.uint8).reshape(len(samples), 32).copy()
