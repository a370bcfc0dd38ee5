"""TrivialAugment: one operation an image, of one strength, both drawn evenly.

The wide space of Müller and Hutter (2021), TrivialAugment: Tuning-free Yet State-of-the-Art Data
Augmentation, table 2: 14 operations, 31 strengths. What they shift by in pixels is a share of the
side here (32 of their 224), and what comes in past the edge is black, as it is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from trainer.variation import colours
from trainer.variation.draws import whole
from trainer.variation.warp import warp

STRENGTHS = 31
LARGEST_SHEAR = 0.99
LARGEST_SHIFT = 32 / 224
LARGEST_TURN = 135.0  # degrees
LARGEST_CHANGE = 0.99  # of brightness, contrast, saturation and sharpness

_GEOMETRIC = ("shear x", "shear y", "shift x", "shift y", "turn")
# From strength, 0 to 1, and sign to pictures.
_COLOURS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "brightness": lambda x, s, sign: colours.brightness(x, 1 + sign * s * LARGEST_CHANGE),
    "saturation": lambda x, s, sign: colours.saturation(x, 1 + sign * s * LARGEST_CHANGE),
    "contrast": lambda x, s, sign: colours.contrast(x, 1 + sign * s * LARGEST_CHANGE),
    "sharpness": lambda x, s, sign: colours.sharpness(x, 1 + sign * s * LARGEST_CHANGE),
    "posterize": lambda x, s, _: colours.posterize(x, 8 - (6 * s).round()),
    "solarize": lambda x, s, _: colours.solarize(x, 255 * (1 - s)),
    "autocontrast": lambda x, _s, _: colours.autocontrast(x),
    "equalize": lambda x, _s, _: colours.equalize(x),
}
OPERATIONS = ("identity", *_GEOMETRIC, *_COLOURS)


def trivial(images: Tensor, generator: Generator) -> Tensor:
    """Return a copy of float images (N, 3, H, W), valued 0 to 255, one operation done to each."""
    n = len(images)
    operations = whole(n, len(OPERATIONS), generator)
    strengths = whole(n, STRENGTHS, generator) / (STRENGTHS - 1)
    signs = 1.0 - 2 * whole(n, 2, generator)
    return operated(images, [OPERATIONS[number] for number in operations], strengths, signs)


def operated(images: Tensor, operations: list[str], strengths: Tensor, signs: Tensor) -> Tensor:
    """Do to each image the operation of its name.

    Args:
        images: Floats (N, 3, H, W) valued 0 to 255.
        operations: Of `OPERATIONS`, N of them.
        strengths: From 0 to 1, shape (N,).
        signs: 1 or -1, shape (N,); of no meaning for some operations.
    """
    varied = images.clone()
    moved = [place for place, name in enumerate(operations) if name in _GEOMETRIC]
    if moved:
        aspect = images.shape[3] / images.shape[2]
        amounts = strengths * signs
        moves = torch.stack([_move(operations[k], float(amounts[k]), aspect) for k in moved])
        varied[moved] = warp(images[moved], moves, outside="zeros")
    for name, operate in _COLOURS.items():
        places = [place for place, each in enumerate(operations) if each == name]
        if places:
            varied[places] = operate(images[places], strengths[places], signs[places])
    return varied


def _move(operation: str, amount: float, aspect: float) -> Tensor:
    """Return where a new point is looked up, for pictures so many times as wide as high."""
    move = torch.eye(3)
    if operation == "shear x":
        move[0, 1] = amount * LARGEST_SHEAR / aspect
    elif operation == "shear y":
        move[1, 0] = amount * LARGEST_SHEAR * aspect
    elif operation == "shift x":
        move[0, 2] = 2 * amount * LARGEST_SHIFT
    elif operation == "shift y":
        move[1, 2] = 2 * amount * LARGEST_SHIFT
    else:
        angle = math.radians(amount * LARGEST_TURN)
        cos, sin = math.cos(angle), math.sin(angle)
        move[:2, :2] = torch.tensor([[cos, -sin / aspect], [sin * aspect, cos]])
    return move
