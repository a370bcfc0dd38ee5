"""How much freed memory a service keeps for the next picture, and how much it gives back.

A photograph takes a few megabytes for some milliseconds. Given back and taken anew for every
picture, these cost a tenth of all processor time in page faults: 1,275 a photograph of half a
megapixel, 2.4 of 28 ms. Left to itself, glibc learns to keep blocks of up to 32 MB instead, and
after a few camera pictures every decoding thread holds a hundred megabytes. So: small pictures
stay, large ones go.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 8 * 2**20  # decoded, about two and a half megapixels
_KEPT_BYTES = 16 * 2**20  # at the end of each thread's heap


def keep_small_blocks() -> bool:
    """Keep freed memory of small pictures, give back that of large ones; False without glibc."""
    try:
        library = ctypes.CDLL(None)
        kept = library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        return bool(kept and library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
    except (AttributeError, OSError, TypeError):
        return False
