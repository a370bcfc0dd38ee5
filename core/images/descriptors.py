"""Six plain numbers about a picture, cheap enough to log with every prediction.

They are no features of the model: they say in words a person understands how today's
pictures differ from the reference (darker, flatter, greyer, blurred, cropped, smaller).

| name | formula | range |
|---|---|---|
| brightness | mean of the luma Y = 0.299 R + 0.587 G + 0.114 B, over 255 | 0 black to 1 white |
| contrast | standard deviation of Y, over 255 | 0 flat to 0.5 |
| saturation | mean of (max - min) / max over the channels; 0 for black | 0 grey to 1 pure |
| sharpness | standard deviation of the Laplacian of Y, over 255 | 0 blurred to about 4 |
| aspect | width / height | above 0 |
| megapixels | width x height / 1,000,000 | above 0 |

The first four are taken from a reduction of the picture to at most 256 pixels a side, near
the size at which a model looks. Blur that only shows at full resolution is not seen.

References:
    Pech-Pacheco et al. (2000), Diatom autofocusing in brightfield microscopy: the
    variance of the Laplacian; its root is taken here, to stay on the scale of Y.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.images.picture import Picture, as_pillow

DESCRIPTORS = ("brightness", "contrast", "saturation", "sharpness", "aspect", "megapixels")

_LUMA = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)  # ITU-R BT.601
_SIDE = 256
_STRIDE_SIDE = 1024  # beyond this, pixels are skipped before they are averaged


def describe(image: Picture) -> dict[str, float]:
    """Return the descriptors of a picture, one finite number for each of DESCRIPTORS.

    Args:
        image: Upright RGB of any size from 1 x 1, an array of shape (H, W, 3) or Pillow's.
    """
    picture = as_pillow(image)
    width, height = picture.size
    # One plane a channel: numpy is four times as fast when pixels of a kind lie together.
    planes = _reduce(picture).transpose(2, 0, 1).astype(np.float32, order="C")
    luma: NDArray[np.float32] = np.tensordot(_LUMA, planes, axes=1)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "saturation": _saturation(planes),
        "sharpness": _sharpness(luma),
        "aspect": width / height,
        "megapixels": width * height / 1e6,
    }


def _reduce(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the picture with at most 256 pixels a side, averaged over blocks."""
    stride = -(-max(picture.size) // _STRIDE_SIDE)
    if stride > 1:
        fewer = (-(-picture.width // stride), -(-picture.height // stride))
        picture = picture.resize(fewer, Image.Resampling.NEAREST)
    factor = -(-max(picture.size) // _SIDE)
    return np.asarray(picture if factor == 1 else picture.reduce(factor))


def _saturation(planes: NDArray[np.float32]) -> float:
    highest: NDArray[np.float32] = planes.max(axis=0)
    lowest: NDArray[np.float32] = planes.min(axis=0)
    # Where the highest is 0 the difference is 0 too, so dividing by 1 leaves 0.
    return float(np.mean((highest - lowest) / np.maximum(highest, 1)))


def _sharpness(luma: NDArray[np.float32]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    laplacian = (
        luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    )
    return float(laplacian.std())
