"""A decoded picture in the one layout that resizing and reducing work on.

Pillow keeps four bytes a pixel where an array has three. The copy from one to the other costs a
fifth as much as decoding, so whoever does several things with a picture makes it once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8] | Image.Image


def as_pillow(picture: Picture) -> Image.Image:
    """Return upright RGB, uint8 of shape (H, W, 3), as Pillow's; what is Pillow's stays as it is.

    Args:
        picture: Any size from 1 x 1.
    """
    return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
