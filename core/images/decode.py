"""Bytes from anywhere to one upright RGB picture, or a refusal.

Serving, validation and training all decode here, so that they see the same pixels:

- JPEG, PNG and WebP by content; of an animation, the first frame (of an APNG, the still
  picture that every PNG reader shows).
- EXIF orientation is applied; an orientation that makes no sense counts as upright.
- Transparency is laid over white. Grey becomes three equal channels. 16 bits keep their
  upper eight. CMYK is taken as Adobe writes it (inverted) and converted by plain formula.
- Colour profiles are ignored: the numbers stand as they are in the file, as if sRGB.
- A file that ends too early is refused, and so is a JPEG of which libjpeg says that it is
  damaged. Damage in the middle of a JPEG or WebP may still decode to wrong pixels, because
  these formats carry no checksum; so may a PNG whose pixel stream was written too short.

At its peak a picture takes 8 bytes a pixel, and 16 as WebP, of which therefore only half as
many pixels are accepted: about 200 MB at the default `max_pixels`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from core.errors import InvalidImageError
from core.images.containers import Container, ImageType, read_container, sniff
from core.images.jpeg import decode_jpeg
from core.images.orientation import swaps_sides, turn_upright

__all__ = ["MAX_PIXELS", "MAX_SIDE", "ImageInfo", "ImageType", "decode", "probe", "sniff"]

MAX_SIDE = 65_535  # what a JPEG can hold; a longer PNG costs the resize gigabytes
MAX_PIXELS = 25_000_000  # a camera's 24 megapixels pass; `ServiceSettings` has the same default

# How much dearer a pixel is than one of a JPEG: libwebp holds two whole pictures.
_WEIGHT: dict[ImageType, int] = {"image/jpeg": 1, "image/png": 1, "image/webp": 2}

_STRIP_PIXELS = 1_000_000  # pixels converted at a time, so that no second copy is ever whole

# The readers are named, instead of asking Image.open, so that no other format's parser,
# no plugin registry and no global pixel limit has a say.
_READERS: dict[ImageType, type[ImageFile.ImageFile]] = {
    "image/png": PngImageFile,
    "image/webp": WebPImageFile,
}


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image file says about itself, before it is decoded.

    Attributes:
        type: Media type by content.
        width: Pixels, of the upright picture.
        height: Pixels, of the upright picture.
        bytes: Length of the file.
    """

    type: ImageType
    width: int
    height: int
    bytes: int


def probe(data: bytes, *, max_bytes: int = 10_000_000, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Return type and upright size without decoding; refuses what `decode` refuses unseen.

    Raises:
        UnsupportedImageError: It is no JPEG, PNG or WebP.
        InvalidImageError: It is too large, truncated or broken in its structure.
    """
    container = _open(data, max_bytes, max_pixels)
    width, height = container.width, container.height
    if swaps_sides(container.orientation):
        width, height = height, width
    return ImageInfo(container.type, width, height, len(data))


def decode(
    data: bytes,
    *,
    max_bytes: int = 10_000_000,
    max_pixels: int = MAX_PIXELS,
    reserve: Callable[[int], object] | None = None,
) -> NDArray[np.uint8]:
    """Return the picture as upright RGB, shape (H, W, 3), contiguous and writable.

    Safe to call from many threads at once; Pillow's global settings stay as they are.

    Args:
        data: A whole JPEG, PNG or WebP file.
        max_bytes: Longer files are refused unread.
        max_pixels: Larger pictures are refused before memory is taken for them; a WebP
            already when it has more than half as many.
        reserve: Called with the number of pixels, a WebP's counted twice, before memory is
            taken for them; it may wait, or raise what it likes.

    Raises:
        UnsupportedImageError: It is no JPEG, PNG or WebP.
        InvalidImageError: It is too large, truncated, or cannot be decoded.
    """
    container = _open(data, max_bytes, max_pixels)
    if reserve:
        reserve(container.width * container.height * _WEIGHT[container.type])
    try:
        return turn_upright(_read_pixels(container), container.orientation)
    except InvalidImageError:
        raise
    # Pillow raises OSError, ValueError, KeyError, SyntaxError, struct.error, MemoryError and
    # its own; the picture is at fault in all of them.
    except Exception as error:
        raise InvalidImageError(
            f"the {container.type} of {len(data)} bytes cannot be decoded: {error}"
        ) from error


def _open(data: bytes, max_bytes: int, max_pixels: int) -> Container:
    if len(data) > max_bytes:
        raise InvalidImageError(
            f"the image has {len(data)} bytes, more than the {max_bytes} allowed"
        )
    container = read_container(data)
    width, height = container.width, container.height
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise InvalidImageError(f"{width} x {height} pixels: sides must be 1 to {MAX_SIDE}")
    allowed = max_pixels // _WEIGHT[container.type]
    if width * height > allowed:
        raise InvalidImageError(
            f"the image has {width} x {height} pixels, more than the {allowed} allowed of "
            f"{container.type}; send a smaller one"
        )
    return container


def _read_pixels(container: Container) -> NDArray[np.uint8]:
    """Return the picture as stored, RGB."""
    if container.type == "image/jpeg":
        return decode_jpeg(container.essential, size=(container.width, container.height))
    with closing(_READERS[container.type](io.BytesIO(container.essential))) as picture:
        _check_size(picture, container)
        return _to_rgb(picture)


def _check_size(picture: Image.Image, container: Container) -> None:
    """Refuse what was measured as one size and would be decoded as another."""
    width, height = picture.size
    if (width, height) != (container.width, container.height):
        raise InvalidImageError(
            f"the {container.type} states two sizes: {container.width} x {container.height} "
            f"and {width} x {height}"
        )


def _to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the decoded picture as RGB, shape (H, W, 3), converted strip by strip."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        pixels[:] = _strip_to_rgb(picture)
        return pixels
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = _strip_to_rgb(picture.crop((0, top, width, bottom)))
    return pixels


def _strip_to_rgb(strip: Image.Image) -> NDArray[np.uint8]:
    if strip.mode == "I;16":
        return _grey16_to_rgb(np.asarray(strip), strip.info.get("transparency"))
    if strip.has_transparency_data:
        white = Image.new("RGBA", strip.size, "white")
        strip = Image.alpha_composite(white, strip.convert("RGBA"))
    return np.asarray(strip.convert("RGB"))


def _grey16_to_rgb(levels: NDArray[np.uint16], transparent: int | None) -> NDArray[np.uint8]:
    """Keep the upper eight bits, as Pillow does for 16-bit colour; it would clip grey."""
    grey = (levels >> 8).astype(np.uint8)
    if transparent is not None:
        grey[levels == transparent] = 255
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
