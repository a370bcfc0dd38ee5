"""Drawn pictures and the files they travel in, for everybody's tests.

`photo` draws something smooth and coloured that survives JPEG; the others write files,
ordinary ones with Pillow and odd ones (16-bit, palettes, bombs) chunk by chunk.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREY, TRUECOLOUR, PALETTE, GREY_ALPHA, TRUECOLOUR_ALPHA = 0, 2, 3, 4, 6


def photo(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return smooth coloured noise, uint8 of shape (height, width, 3), no symmetry in it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(smooth)


def jpeg(image: NDArray[np.uint8], quality: int = 90, exif_orientation: int | None = None) -> bytes:
    """Return the picture as a JPEG; grey when its shape is (H, W)."""
    return _save(image, "JPEG", exif_orientation, quality=quality, subsampling=0)


def png(image: NDArray[np.uint8], exif_orientation: int | None = None) -> bytes:
    """Return the picture as a PNG: grey, RGB or RGBA by its shape."""
    return _save(image, "PNG", exif_orientation)


def webp(image: NDArray[np.uint8], exif_orientation: int | None = None) -> bytes:
    """Return the picture as a WebP without loss."""
    return _save(image, "WEBP", exif_orientation, lossless=True, exact=True)


def lossy_webp(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return the picture as an ordinary WebP."""
    return _save(image, "WEBP", None, quality=quality)


def cmyk_jpeg(image: NDArray[np.uint8], quality: int = 95) -> bytes:
    """Return the picture as a four-colour JPEG, inverted as Adobe writes it."""
    file = io.BytesIO()
    Image.fromarray(image).convert("CMYK").save(file, "JPEG", quality=quality)
    return file.getvalue()


def animated_webp(frames: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return the pictures as one animation without loss."""
    return _save_frames(frames, "WEBP", lossless=True)


def animated_png(frames: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return the pictures as an APNG, whose still picture is the first."""
    return _save_frames(frames, "PNG")


def animated_gif(frames: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return the pictures as an animated GIF."""
    return _save_frames(frames, "GIF")


def multi_picture_jpeg(pictures: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return an MPO file: the JPEG of cameras that keep several pictures in one."""
    return _save_frames(pictures, "MPO")


def png_file(
    size: tuple[int, int],
    depth: int,
    colour: int,
    rows: Sequence[bytes],
    *chunks: tuple[bytes, bytes],
) -> bytes:
    """Return a PNG put together by hand.

    Args:
        size: Width and height that the header states, whether or not the rows agree.
        depth: Bits a sample.
        colour: PNG's colour type.
        rows: The packed samples of each row, without filter byte.
        chunks: Kind and payload of what stands between header and pixels.
    """
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, payload) for kind, payload in parts)


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    """Return one PNG chunk with its length and checksum."""
    checksum = zlib.crc32(kind + payload)
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", checksum)


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    """Return one JPEG segment with its marker and length."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _save(
    image: NDArray[np.uint8], kind: str, exif_orientation: int | None, **options: object
) -> bytes:
    if exif_orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = exif_orientation
        options["exif"] = exif.tobytes()
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def _save_frames(frames: Sequence[NDArray[np.uint8]], kind: str, **options: object) -> bytes:
    first, *others = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    first.save(file, kind, save_all=True, append_images=others, **options)
    return file.getvalue()
