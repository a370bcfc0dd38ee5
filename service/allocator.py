"""Memory of large pictures goes back to the system as soon as they are done with.

glibc learns from every large block that is freed to keep blocks of that size, up to 32 MB, for
the next: after a few camera pictures each decoding thread would hold a hundred megabytes.
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 2 * 2**20


def give_back_large_blocks() -> bool:
    """Have blocks of 2 MB and more taken from the system one by one; False without glibc."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
    except (AttributeError, OSError, TypeError):
        return False
