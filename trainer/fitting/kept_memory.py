"""Memory that a training step frees is kept for the next step, and given back after the last.

A step takes hundreds of megabytes in blocks of up to a hundred, and frees them a moment later. Left
to itself, glibc asks the system for each anew: a million page faults a step of ResNet-50 with 64
pictures of 224 x 224. So while the block lasts, everything comes
from one heap that does not shrink; it grows to about a tenth more than was in use at the peak.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8  # malloc.h
_KEPT = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1))
# What glibc's own thresholds grow to where blocks are large; once set, they grow no more.
_GIVEN_BACK = ((_MMAP_MAX, 2**16), (_MMAP_THRESHOLD, 2**25), (_TRIM_THRESHOLD, 2**26))


@contextmanager
def memory_kept() -> Generator[None]:
    """Keep what is freed in the block; without glibc, do nothing."""
    library = _glibc()
    if library is None:
        yield
        return
    # Other heaps than the first end at 64 MB. That there are no more of them cannot be undone.
    library.mallopt(_ARENA_MAX, 1)
    _set(library, _KEPT)
    try:
        yield
    finally:
        _set(library, _GIVEN_BACK)
        library.malloc_trim(0)


def _set(library: Any, values: tuple[tuple[int, int], ...]) -> None:
    for name, value in values:
        library.mallopt(name, value)


def _glibc() -> Any | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
