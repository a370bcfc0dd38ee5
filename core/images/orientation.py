"""Which way up a picture is: the EXIF orientation, read and applied.

Only tag 0x0112 of the first directory counts, as in browsers: XMP orientation and
the thumbnail's own are ignored. Whatever makes no sense means upright.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1

_ORIENTATION_TAG = 0x0112
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_VALUE_FORMATS = {3: "H", 4: "I"}  # SHORT, as the standard asks, and LONG, as some write

_Turn = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
_TURNS: dict[int, _Turn] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image.swapaxes(0, 1)[::-1],
}


def read_orientation(exif: bytes) -> int:
    """Return the orientation 1 to 8 that an EXIF block states; 1 when it states none.

    Args:
        exif: A TIFF structure, with or without the leading `Exif` mark.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        value = _find_value(tiff, order)
    except struct.error:
        return UPRIGHT
    return value if value in _TURNS else UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Say whether setting the picture upright exchanges its width and height."""
    return orientation in {5, 6, 7, 8}


def turn_upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) as it is meant to be seen, contiguous in memory."""
    turn = _TURNS.get(orientation)
    return image if turn is None else np.ascontiguousarray(turn(image))


def _find_value(tiff: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for number in range(entries):
        entry = directory + 2 + 12 * number
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        if tag == _ORIENTATION_TAG and kind in _VALUE_FORMATS:
            (value,) = struct.unpack_from(order + _VALUE_FORMATS[kind], tiff, entry + 8)
            return value
    return UPRIGHT
