"""Rare and common classes: how often each is drawn, and what the loss makes up for.

Three ways of drawing, and one correction of the loss. `balanced` draws every class as often as
any other, `natural` every image; `effective` lies between, because the hundredth picture of a
class tells less than the tenth. Under the latter two a network learns that common classes are
common; logit adjustment takes that out again, by as much as it is asked to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError

DEFAULT_BETA = 0.999

_UNKNOWN = "write balanced, natural, effective or effective:BETA with BETA from 0 to below 1"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How often the images of each class are drawn.

    Attributes:
        scheme: `balanced`, `natural` or `effective`.
        beta: Of `effective`: 0 is natural, towards 1 it becomes balanced.
    """

    scheme: str = "balanced"
    beta: float = DEFAULT_BETA

    def weights(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how often an image of each class is drawn, 1 on average over the images.

        With n_k images of class k, `balanced` draws each of them in proportion to 1 / n_k,
        `effective` to (1 - beta) / (1 - beta ** n_k), `natural` to 1.

        Args:
            counts: Images of each class, 1 or more, shape (K,).

        References:
            Cui et al. (2019), Class-Balanced Loss Based on Effective Number of Samples, eq. 2.
        """
        if self.scheme == "natural":
            return np.ones(len(counts))
        # From one beta on, beta ** n is 1 in floating point: the limit is `balanced`.
        effective = -np.expm1(counts * np.log(self.beta)) if self.beta else np.ones(len(counts))
        weights = 1 / (counts if self.scheme == "balanced" else effective)
        return weights * counts.sum() / (weights * counts).sum()

    def shares(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the draws that each class gets, shape (K,), 1 together."""
        drawn = self.weights(counts) * counts
        return drawn / drawn.sum()


def sampling(spec: str) -> Sampling:
    """Read `balanced`, `natural`, `effective` or `effective:BETA`.

    Raises:
        UsageError: It is none of these.
    """
    scheme, _, number = spec.partition(":")
    if scheme not in {"balanced", "natural", "effective"} or (number and scheme != "effective"):
        raise UsageError(f"sampling {spec!r} is unknown; {_UNKNOWN}")
    try:
        beta = float(number or DEFAULT_BETA)
    except ValueError as error:
        raise UsageError(f"sampling {spec!r} has no number for BETA; {_UNKNOWN}") from error
    if not 0 <= beta < 1:
        raise UsageError(f"sampling {spec!r} has BETA {beta:g}; {_UNKNOWN}")
    return Sampling(scheme, beta)


def logit_offset(
    counts: NDArray[np.int64], scheme: Sampling, strength: float
) -> NDArray[np.float32]:
    """Return what is added to the logits in the loss, and only there: strength * log prior.

    A network that is trained with its prior added need not learn it, so that without it all
    classes start level. The prior is the share of the draws that a class gets; images that a
    retraining favours do not count into it, or the favour would be taken back here.

    Args:
        counts: Training images of each class, 1 or more, shape (K,).
        scheme: How they are drawn.
        strength: The paper's tau; 1 aims at the lowest balanced error, 0 does nothing.

    References:
        Menon et al. (2021), Long-tail learning via logit adjustment, eq. 10.
    """
    return (strength * np.log(scheme.shares(counts))).astype(np.float32)
