"""Random numbers for variation: drawn on the CPU, so that every device gets the same ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """Draw n numbers between the two."""
    return low + (high - low) * torch.rand(n, generator=generator)


def chosen(n: int, probability: float, generator: Generator) -> Tensor:
    """Draw which of n are chosen, each with this probability; their places, in order."""
    return (torch.rand(n, generator=generator) < probability).nonzero().flatten()


def whole(n: int, below: int, generator: Generator) -> Tensor:
    """Draw n whole numbers from 0 to `below` - 1."""
    return torch.randint(below, (n,), generator=generator)


def beta(alpha: float, generator: Generator) -> float:
    """Draw one number of the Beta distribution that is symmetric with this parameter."""
    # torch's own takes no generator.
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))
