"""One file of the spool: records in a row, each of which tells whether it is whole.

A record is a mark, its number in the file, its length, a CRC-32 of all of that and of its
content, and the content. The mark holds bytes that UTF-8 never has, so behind a damaged record the
next whole one is found again, and the numbers tell how many were lost between.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".spool"
_UNBORN = ".new"
_MARK = b"\xf5\xfeWS"
_FRAME = struct.Struct(">4sIII")
_NUMBERED = struct.Struct(">II")

# The length of the file is written with it; its times, which fsync adds, nobody needs.
_sync = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a file that are no whole record.

    Attributes:
        offset: Where they begin.
        lost: Records that were there; None where nothing whole follows that could tell.
        is_unfinished: Whether they are the beginning of a record whose writer was killed. Nobody
            was answered, for an answer waits until its record is on the disk.
    """

    offset: int
    lost: int | None
    is_unfinished: bool = False


class Segment:
    """A file of the spool that this process writes; a lock on it says so to all others."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
        self.size = 0
        self.records = 0
        # Whoever finds it by its name must find it locked, so it gets the name last.
        unborn = self.path.with_suffix(_UNBORN)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(unborn, flags, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unborn.rename(self.path)
            sync_folder(folder)
        except OSError:
            os.close(self._file)
            unborn.unlink(missing_ok=True)
            raise

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write records down; they survive a power cut once this returns.

        Raises:
            OSError: The disk is full or broken. Nothing of these records is in the file then;
                it must not be written to again, only closed.
        """
        data = b"".join(frame(self.records + i, each) for i, each in enumerate(payloads))
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            _sync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.size)
                _sync(self._file)
            raise
        self.size += len(data)
        self.records += len(payloads)

    def close(self) -> None:
        """Leave the file to whoever replays it."""
        os.close(self._file)


def frame(number: int, payload: bytes) -> bytes:
    """Return one record."""
    crc = zlib.crc32(payload, zlib.crc32(_NUMBERED.pack(number, len(payload))))
    return _FRAME.pack(_MARK, number, len(payload), crc) + payload


def framed_length(payload: bytes) -> int:
    """Return how many bytes of a file one record takes."""
    return _FRAME.size + len(payload)


def read(data: bytes) -> Iterator[bytes | Damage]:
    """Yield the content of every whole record, and what lies between them."""
    position, expected = 0, 0
    while position < len(data):
        begun, found = position, _record_at(data, position)
        while found is None:
            position = data.find(_MARK, position + 1)
            if position < 0:
                yield Damage(begun, None, _is_beginning(data[begun:], expected))
                return
            found = _record_at(data, position)
        number, payload = found
        if position != begun or number != expected:
            yield Damage(begun, max(number - expected, 1))
        yield payload
        position, expected = position + framed_length(payload), number + 1


def _record_at(data: bytes, position: int) -> tuple[int, bytes] | None:
    if len(data) - position < _FRAME.size:
        return None
    mark, number, length, crc = _FRAME.unpack_from(data, position)
    payload = data[position + _FRAME.size : position + _FRAME.size + length]
    if mark != _MARK or len(payload) != length:
        return None
    known = zlib.crc32(payload, zlib.crc32(_NUMBERED.pack(number, length)))
    return (number, payload) if crc == known else None


def _is_beginning(rest: bytes, expected: int) -> bool:
    """Say whether bytes are a record cut short, and not a whole one with a damaged length."""
    known = _MARK + struct.pack(">I", expected)
    if len(rest) < _FRAME.size:
        return rest[: len(known)] == known[: len(rest)]
    _, _, length, crc = _FRAME.unpack_from(rest)
    payload = rest[_FRAME.size :]
    crc_if_whole = zlib.crc32(payload, zlib.crc32(_NUMBERED.pack(expected, len(payload))))
    return rest.startswith(known) and len(payload) < length and crc_if_whole != crc


@contextlib.contextmanager
def taken(path: Path) -> Generator[bytes | None]:
    """Hold a file that nobody writes, and give its content; None when another process holds it."""
    try:
        handle = path.open("rb")
    except FileNotFoundError:  # another process was faster
        yield None
        return
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Between opening and locking, another process may have replayed and deleted it.
        yield handle.read() if os.fstat(handle.fileno()).st_nlink else None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove files that never got their name: their writers died before writing."""
    for unborn in folder.glob(f"*{_UNBORN}"):
        with taken(unborn) as content:
            if content == b"":
                unborn.unlink(missing_ok=True)
