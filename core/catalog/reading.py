"""Opens images side by side: digest, size and perceptual hash of each, or why it is unusable.

Results come in the order of the list, and only a few images are held at a time, so that a
million of them take no more memory than their rows.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from core.catalog.report import Reason, showable
from core.catalog.sources import Entry
from core.errors import CatalogError, InvalidImageError, NotFoundError
from core.images.decode import decode, sniff
from core.images.phash import perceptual_hash
from core.images.source import read_bytes

Item = TypeVar("Item")
Result = TypeVar("Result")

# Over a network most of the time is waiting, which costs no core.
_REMOTE_THREADS = 8
_LOOKAHEAD = 8  # images in work or waiting, per thread


@dataclass(frozen=True, slots=True)
class Sighting:
    """An image that was read, and looked at unless its digest was known.

    Attributes:
        entry: Where it was found, and what it is said to show.
        sha256: Digest of its bytes.
        looks: What was seen in it; None when the pool has it already.
    """

    entry: Entry
    sha256: str
    looks: Looks | None


@dataclass(frozen=True, slots=True)
class Looks:
    """What one look at an image's bytes tells.

    Attributes:
        phash: Perceptual hash, 0 to 2**64 - 1.
        type: Media type by content.
        width: Pixels across, upright.
        height: Pixels down, upright.
        bytes: Size of the file.
    """

    phash: int
    type: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """An image that cannot be taken in."""

    entry: Entry
    reason: Reason
    why: str


def look_at(
    entries: Iterable[Entry], *, known: Container[bytes], is_remote: bool
) -> Iterator[Sighting | Unusable]:
    """Read and examine images, several at a time; yield in the order given.

    Args:
        entries: The images.
        known: Digests (32 bytes) of images that need not be decoded again.
        is_remote: Read more at a time, since most of it is waiting.
    """
    return side_by_side(partial(_look, known=known), entries, is_remote=is_remote)


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], *, is_remote: bool = False
) -> Iterator[Result]:
    """Apply a function in threads; yield its results in order, with few in work at a time."""
    threads = _REMOTE_THREADS if is_remote else available_cores()
    waiting: deque[Future[Result]] = deque()
    executor = ThreadPoolExecutor(threads, thread_name_prefix="catalog")
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) >= threads * _LOOKAHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # After Ctrl-C nothing more is begun.
        executor.shutdown(wait=True, cancel_futures=True)


def available_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _look(entry: Entry, *, known: Container[bytes]) -> Sighting | Unusable:
    try:
        entry.uri.encode()  # a name that is no UTF-8 has no place in the database
        data = read_bytes(entry.uri)
        digest = hashlib.sha256(data)
        if digest.digest() in known:
            return Sighting(entry, digest.hexdigest(), None)
        image = decode(data)
        height, width = image.shape[:2]
        looks = Looks(perceptual_hash(image), sniff(data), width, height, len(data))
    except UnicodeEncodeError:
        return Unusable(entry, "unreadable", f"{showable(entry.uri)!r} is no UTF-8; rename it")
    except InvalidImageError as error:
        return Unusable(entry, "corrupt", str(error))
    except (CatalogError, NotFoundError) as error:
        return Unusable(entry, "unreadable", str(error))
    return Sighting(entry, digest.hexdigest(), looks)
