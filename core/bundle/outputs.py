"""What a model says of a batch of images, and the numbers read off its probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EMBEDDING_SIZE = 256


@dataclass(frozen=True, slots=True)
class Outputs:
    """The answers for N images over K labels.

    Attributes:
        probabilities: Calibrated, each row sums to 1, float32 (N, K).
        logits: After the temperature, softmax(logits) = probabilities, float32 (N, K).
        embedding: Where the image lies, of length 1, float32 (N, 256).
    """

    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]


def nothing(labels: int) -> Outputs:
    """Return the answers for no image at all, over so many labels."""
    probabilities = np.zeros((0, labels), dtype=np.float32)
    embedding = np.zeros((0, EMBEDDING_SIZE), dtype=np.float32)
    return Outputs(probabilities, probabilities.copy(), embedding)


def confidence(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the top-1 probability of each row (N, K), shape (N,)."""
    return probabilities.max(axis=1).astype(np.float64)


def margin(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return by how much the first label leads over the second, shape (N,), 0 to 1."""
    second, first = np.partition(probabilities.astype(np.float64), -2, axis=1)[:, -2:].T
    return first - second


def entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the entropy of each row (N, K) in nats, shape (N,): 0 when certain, ln K at most."""
    p = probabilities.astype(np.float64)
    # p ln p is 0 at p = 0; the floor keeps the logarithm finite there.
    return -np.sum(p * np.log(np.maximum(p, np.finfo(np.float64).tiny)), axis=1) + 0.0
