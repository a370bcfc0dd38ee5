"""Two pictures in one, and a label that says how much of each.

MixUp lays one over the other (Zhang et al. 2018), CutMix cuts a box out of one and puts it into
the other (Yun et al. 2019). A batch is mixed as a whole, each image with another of the batch.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from trainer.variation.draws import beta, uniform

MIXUP_ALPHA = 0.2
CUTMIX_ALPHA = 1.0


def mixup(images: Tensor, shares: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return images (N, 3, H, W) and the classes' shares (N, K), each laid over another."""
    others, kept = _others(images, generator), beta(MIXUP_ALPHA, generator)
    return torch.lerp(images[others], images, kept), torch.lerp(shares[others], shares, kept)


def cutmix(images: Tensor, shares: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return images (N, 3, H, W) with a box of another in each, and the classes' shares (N, K)."""
    height, width = images.shape[2:]
    others, kept = _others(images, generator), beta(CUTMIX_ALPHA, generator)
    side = math.sqrt(1 - kept)
    (top, bottom), (left, right) = (_edges(length, side, generator) for length in (height, width))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[others][:, :, top:bottom, left:right]
    # What the edge of the picture cut off the box counts for the label, too.
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, torch.lerp(shares[others], shares, kept)


def _others(images: Tensor, generator: Generator) -> Tensor:
    return torch.randperm(len(images), generator=generator).to(images.device)


def _edges(length: int, share: float, generator: Generator) -> tuple[int, int]:
    centre = float(uniform(1, 0, length, generator))
    reach = share * length / 2
    return max(round(centre - reach), 0), min(round(centre + reach), length)
