"""Pictures moved, turned, cut and seen aslant: one matrix each, one interpolation for all.

A matrix says where in the old picture a point of the new one is looked up, in coordinates that
run from -1 to 1 along both sides. Moves are multiplied before anything is looked up, so that five
of them blur a picture no more than one. Matrices are drawn and solved for on the CPU.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

from trainer.variation.draws import uniform

LARGEST_SHIFT = 0.08  # as a share of the side
LARGEST_ZOOM = 0.10
LARGEST_ASPECT = 4 / 3  # of a crop, against that of the picture
LARGEST_SLANT = 0.3  # how far a corner comes in, as a share of half the side

_CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def warp(images: Tensor, moves: Tensor, *, outside: Literal["border", "zeros"]) -> Tensor:
    """Return the images (N, 3, H, W) looked up where the matrices (N, 3, 3) say.

    Args:
        images: Floats.
        moves: From new to old coordinates.
        outside: What is seen past the edge: the edge's own colour, or black.
    """
    height, width = images.shape[2:]
    ys, xs = (
        (torch.arange(side, device=images.device) + 0.5) * (2 / side) - 1
        for side in (height, width)
    )
    points = torch.stack(
        [xs.expand(height, width), ys[:, None].expand(height, width), torch.ones_like(images[0, 0])]
    )
    x, y, z = (moves.to(images) @ points.flatten(1)).unbind(1)
    grid = torch.stack([x / z, y / z], dim=2).unflatten(1, (height, width))
    return functional.grid_sample(images, grid, padding_mode=outside, align_corners=False)


def flips(n: int) -> Tensor:
    """Return n matrices that put left in the place of right."""
    return torch.diag(torch.tensor([-1.0, 1.0, 1.0])).repeat(n, 1, 1)


def shifts(n: int, generator: Generator) -> Tensor:
    """Draw n matrices that shift by up to 8 % of a side, and zoom by up to 10 %."""
    zoom = uniform(n, 1 - LARGEST_ZOOM, 1 + LARGEST_ZOOM, generator)
    # Coordinates run from -1 to 1, so a share of the side counts twice.
    x, y = (uniform(n, -2 * LARGEST_SHIFT, 2 * LARGEST_SHIFT, generator) for _ in range(2))
    return _affine(zoom, zoom, x, y)


def crops(n: int, smallest: float, generator: Generator) -> Tensor:
    """Draw n matrices that cut a part out and blow it up to the whole.

    Its area is uniform from `smallest` to 1, its aspect log-uniform from 3/4 to 4/3 of the
    picture's; a part that is longer than the picture is cut to its side.
    """
    area = uniform(n, smallest, 1, generator)
    limit = math.log(LARGEST_ASPECT)
    aspect = uniform(n, -limit, limit, generator).exp()
    width, height = ((area * each).sqrt().clamp(max=1) for each in (aspect, 1 / aspect))
    x, y = ((1 - side) * uniform(n, -1, 1, generator) for side in (width, height))
    return _affine(width, height, x, y)


def slants(n: int, generator: Generator) -> Tensor:
    """Draw n matrices that look at the picture aslant: each corner comes in by itself."""
    inward = uniform(n * 8, 0, LARGEST_SLANT, generator).view(n, 4, 2)
    return homographies(_CORNERS * (1 - inward))


def homographies(corners: Tensor) -> Tensor:
    """Return the matrices that take the corners of the new picture to these, (n, 4, 2).

    Corners run clockwise from the upper left. With h the matrix's first eight entries, and 1 the
    ninth, x' (h6 x + h7 y + 1) = h0 x + h1 y + h2 and likewise y': eight linear equations.
    """
    n = len(corners)
    x, y = _CORNERS.double().repeat(n, 1, 1).unbind(2)
    found_x, found_y = corners.double().unbind(2)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows_x = torch.stack([x, y, one, zero, zero, zero, -x * found_x, -y * found_x], dim=2)
    rows_y = torch.stack([zero, zero, zero, x, y, one, -x * found_y, -y * found_y], dim=2)
    entries = torch.linalg.solve(
        torch.cat([rows_x, rows_y], dim=1), torch.cat([found_x, found_y], dim=1)
    )
    return torch.cat([entries, entries.new_ones(n, 1)], dim=1).view(n, 3, 3).float()


def _affine(width: Tensor, height: Tensor, x: Tensor, y: Tensor) -> Tensor:
    moves = torch.zeros(len(width), 3, 3)
    moves[:, 0, 0], moves[:, 1, 1], moves[:, 2, 2] = width, height, 1
    moves[:, 0, 2], moves[:, 1, 2] = x, y
    return moves
