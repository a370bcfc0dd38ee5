"""The running average of a network's weights, which is judged and kept in its place.

Steps of a high rate swing about the minimum; their exponential average lies nearer to it.
"""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from trainer.networks.architectures import Network


class Average(nn.Module):
    """Weights and statistics of a network, averaged over its steps.

    After step t each average moves by 1 - d towards the weight, with d = min(decay, (1 + t) /
    (10 + t)): a fixed decay would hold on to the first weights for longer than a short run is.

    Attributes:
        network: A copy that holds the averages.
        steps: How many went into them.
    """

    steps: Tensor

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take in the weights after one more step; counters are copied."""
        self.steps += 1
        step = int(self.steps)
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        pairs = zip(_tensors(self.network), _tensors(network), strict=True)
        for mean, tensor in pairs:
            if mean.is_floating_point():
                mean.lerp_(tensor, share)
            else:
                mean.copy_(tensor)


def _tensors(network: Network) -> chain[Tensor]:
    return chain(network.parameters(), network.buffers())
