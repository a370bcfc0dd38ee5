"""The loss: cross-entropy with smoothed labels and adjusted logits, for networks and heads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


class Loss(nn.Module):
    """What is minimised.

    Attributes:
        offset: Added to the logits, shape (K,) or (1,); see trainer.images.imbalance.
        label_smoothing: Share of the label given to all classes alike.
    """

    offset: Tensor

    def __init__(
        self, offset: NDArray[np.float32] | None = None, *, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        added = torch.zeros(1) if offset is None else torch.from_numpy(offset)
        self.register_buffer("offset", added, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each image, shape (N,).

        Args:
            logits: Shape (N, K).
            targets: Class numbers (N,), or shares of each class (N, K) where images are mixed.
        """
        return functional.cross_entropy(
            logits + self.offset, targets, reduction="none", label_smoothing=self.label_smoothing
        )
