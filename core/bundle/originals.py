"""A few encoded pictures and the pixels they decoded to when the bundle was made.

The sentinels begin after the resize; these begin with the bytes, so that a decoder or a resize
that works otherwise than at training is caught too. They are small: files above a quarter of a
megabyte are reduced first, and what matters is only that the bytes stay the same. The first is
kept in every format that is accepted, since each has a decoder of its own.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError

from core.bundle import files
from core.bundle.manifest import Manifest
from core.errors import BundleError
from core.images.decode import decode
from core.images.picture import as_pillow
from core.images.preprocess import Recipe, preprocess

MOST = 4
_MOST_BYTES = 1 << 18
_REDUCED_SIDE = 512
_FORMATS = ("JPEG", "PNG", "WEBP")
_FORMATS_SIDE = 128  # of the copies in every format


@dataclass(frozen=True, slots=True)
class Originals:
    """Encoded pictures with the pixels they must decode to.

    Attributes:
        encoded: The files' bytes, m of them.
        pixels: What the recipe makes of them, uint8 (m, H, W, 3).
    """

    encoded: tuple[bytes, ...]
    pixels: NDArray[np.uint8]


def make(pictures: Sequence[bytes], recipe: Recipe) -> Originals:
    """Return the first MOST pictures as they are kept, and what they decode to here.

    Args:
        pictures: Bytes of images that can be decoded, at least one.
        recipe: The bundle's.

    Raises:
        InvalidImageError: One of them cannot be decoded.
    """
    first = as_pillow(decode(pictures[0]))
    kept = [*(_small(each) for each in pictures[:MOST])]
    kept += [_encoded(first, kind, _FORMATS_SIDE) for kind in _FORMATS]
    return Originals(tuple(kept), decoded(kept, recipe))


def decoded(encoded: Sequence[bytes], recipe: Recipe) -> NDArray[np.uint8]:
    """Return what this machine makes of encoded pictures, uint8 (m, H, W, 3)."""
    return np.stack([preprocess(decode(each), recipe) for each in encoded])


def save(originals: Originals) -> bytes:
    """Return the content of `originals.safetensors`."""
    ends = np.cumsum([len(each) for each in originals.encoded]).astype(np.int64)
    return safetensors.numpy.save(
        {
            "encoded": np.frombuffer(b"".join(originals.encoded), np.uint8),
            "ends": ends,
            "pixels": np.ascontiguousarray(originals.pixels),
        }
    )


def read(folder: Path, manifest: Manifest) -> Originals | None:
    """Return the originals of a bundle; None for one that was made without.

    Raises:
        BundleError: They are altered, or not what the manifest asks for.
    """
    if files.ORIGINALS not in manifest.files:
        return None
    path = folder / files.ORIGINALS
    try:
        tensors = safetensors.numpy.load(files.read_member(folder, manifest, files.ORIGINALS))
        encoded, ends, pixels = (tensors[name] for name in ("encoded", "ends", "pixels"))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"{path} is no file of originals: {error}") from error
    recipe = manifest.recipe
    expected = (len(ends), recipe.height, recipe.width, 3)
    if encoded.dtype != np.uint8 or pixels.dtype != np.uint8 or pixels.shape != expected:
        raise BundleError(f"{path}: pixels are {pixels.dtype} {pixels.shape}, not {expected}")
    if not len(ends) or np.any(np.diff(ends, prepend=0) < 1) or ends[-1] != encoded.size:
        raise BundleError(f"{path}: the pictures' lengths do not add up to {encoded.size} bytes")
    parts = np.split(encoded, ends[:-1])
    return Originals(tuple(part.tobytes() for part in parts), pixels)


def _small(data: bytes) -> bytes:
    return data if len(data) <= _MOST_BYTES else _encoded(as_pillow(decode(data)), "JPEG")


def _encoded(picture: Image.Image, kind: str, side: int = _REDUCED_SIDE) -> bytes:
    reduced = picture.copy()
    reduced.thumbnail((side, side))
    buffer = io.BytesIO()
    reduced.save(buffer, kind)
    return buffer.getvalue()
