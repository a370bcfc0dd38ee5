"""What the network sees: a batch before and after it was varied, as one PNG.

Each pair of rows shows the same images, above as they were decoded and below as they were learnt
from. It is kept with the run, because a variation that ruins pictures is seen at once by a person
and by nobody else.
"""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor

_COLUMNS = 8
_PAIRS = 2
_LONGEST = 128  # pixels of a picture's longer side
_GAP = 4


def before_and_after(before: Tensor, after: Tensor) -> bytes:
    """Return up to 16 pairs of images (N, 3, H, W), floats valued 0 to 255, as a PNG."""
    count = min(len(before), _COLUMNS * _PAIRS)
    height, width = before.shape[2:]
    scale = min(1.0, _LONGEST / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    columns, pairs = min(count, _COLUMNS), -(-count // _COLUMNS)
    across, down = size[0] + _GAP, size[1] + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, 2 * pairs * down + _GAP), "white")
    for side, images in enumerate((before, after)):
        for place, pixels in enumerate(_bytes(images[:count])):
            pair, column = divmod(place, _COLUMNS)
            picture = Image.fromarray(pixels.numpy()).resize(size, Image.Resampling.BILINEAR)
            sheet.paste(picture, (_GAP + column * across, _GAP + (2 * pair + side) * down))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _bytes(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu()
