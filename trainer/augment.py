"""How training images are varied from pass to pass, on tensors and all at once.

Mirroring, a small shift and zoom, and changed brightness, contrast and saturation: what leaves
the label of a natural picture as it is. Everything random comes from the generator handed in.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

LARGEST_SHIFT = 0.08  # as a share of the side
LARGEST_ZOOM = 0.10
LARGEST_JITTER = 0.2

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


def augment(images: Tensor, generator: Generator, *, mirror: bool = True) -> Tensor:
    """Return a varied copy of float images (N, 3, H, W) valued 0 to 255."""
    return _jittered(_moved(images, generator, mirror=mirror), generator)


def _moved(images: Tensor, generator: Generator, *, mirror: bool) -> Tensor:
    """Mirror half of the images, and shift and zoom each by a little; edges are repeated."""
    n = len(images)
    zoom = 1 + _uniform(n, LARGEST_ZOOM, images, generator)
    sign = torch.ones(n, device=images.device)
    if mirror:
        heads = torch.rand(n, generator=generator, device=generator.device) < 0.5
        sign = torch.where(heads.to(images.device), -1.0, 1.0)
    moves = torch.zeros(n, 2, 3, device=images.device)
    moves[:, 0, 0] = zoom * sign
    moves[:, 1, 1] = zoom
    # The grid runs from -1 to 1, so a share of the side counts twice.
    moves[:, 0, 2] = _uniform(n, 2 * LARGEST_SHIFT, images, generator)
    moves[:, 1, 2] = _uniform(n, 2 * LARGEST_SHIFT, images, generator)
    grid = functional.affine_grid(moves, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _jittered(images: Tensor, generator: Generator) -> Tensor:
    n = len(images)
    brightness, contrast, saturation = (
        1 + _uniform(n, LARGEST_JITTER, images, generator).view(n, 1, 1, 1) for _ in range(3)
    )
    images = images * brightness
    grey = (images * images.new_tensor(_GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    level = grey.mean((2, 3), keepdim=True)
    images = (images - level) * contrast + level
    # Contrast has moved the grey picture the same way.
    grey = (grey - level) * contrast + level
    return ((images - grey) * saturation + grey).clamp(0, 255)


def _uniform(n: int, largest: float, like: Tensor, generator: Generator) -> Tensor:
    values = torch.rand(n, generator=generator, device=generator.device)
    return values.to(like.device).mul(2 * largest).sub(largest)
