"""Predictions on the local disk while Postgres is away: bounded, checked, safe before the answer.

The folder holds segments. Each process writes one of its own; whoever finds one that nobody writes
may replay it. A segment that is damaged, or has a row that Postgres refuses, is kept aside under
another name once all else of it is stored: nothing is silently thrown away. Half a record at the
end is no damage: its writer was killed before it answered.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UsageError
from service.log import log_entry, spool_segment
from service.log.log_entry import Entry
from service.log.spool_segment import SUFFIX, Damage, Segment

_log = logging.getLogger(__name__)

_SEGMENT_BYTES = 8_000_000
_ROOM_BYTES = 65_536  # with less than this left, the next group may not fit

_FULL = "the spool is full"
_BROKEN = "the spool's disk is full or broken"


@dataclass(slots=True)
class Reading:
    """One segment on its way into Postgres.

    Attributes:
        path: Where it lies.
        entries: What it holds; what is damaged is logged and left out.
        aside: Why it is to be kept; empty when nothing speaks against deleting it.
    """

    path: Path
    entries: Iterator[Entry] = field(repr=False)
    aside: str = ""


class Spool:
    """A folder of segments.

    Args:
        folder: Made when missing, for this user alone.
        max_bytes: Of all segments together, those of other processes included.

    Raises:
        UsageError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self.max_bytes = max_bytes
        self.refusal = ""
        self._segment: Segment | None = None
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            spool_segment.sweep(folder)
        except OSError as error:
            raise UsageError(
                f"the spool folder {folder} cannot be used: {error.strerror}; choose another "
                "WEAKSPOT_HOME, or WEAKSPOT_SERVICE_SPOOL_BYTES=0 for none"
            ) from error

    @property
    def counts(self) -> dict[str, int]:
        """Predictions in each segment, as far as this process knows."""
        return self._counts.copy()

    @property
    def predictions(self) -> int:
        """Predictions that wait here, as far as this process knows."""
        return sum(self._counts.copy().values())

    @property
    def size(self) -> int:
        """Bytes of all segments together."""
        return sum(_size(path) for path in self._folder.glob(f"*{SUFFIX}"))

    @property
    def is_full(self) -> bool:
        """Whether the next predictions would be refused."""
        return bool(self.refusal) or self.size + _ROOM_BYTES > self.max_bytes

    @property
    def aside(self) -> int:
        """Segments kept for a person to look at."""
        return sum(1 for path in self._folder.iterdir() if path.suffix in {".damaged", ".refused"})

    def append(self, payloads: Sequence[bytes]) -> int:
        """Write records down as far as there is room; return how many survive a power cut now.

        What kept the others out is in `refusal`.
        """
        with self._lock:
            fitting = self._fitting(payloads)
            self.refusal = "" if len(fitting) == len(payloads) else _FULL
            if not fitting:
                return 0
            try:
                self._open().append(fitting)
            except OSError:
                _log.exception("%d predictions could not be spooled", len(fitting))
                self.refusal = _BROKEN
                self._close()
                return 0
            self._note()
            return len(fitting)

    def _fitting(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        lengths = map(spool_segment.framed_length, payloads)
        room = self.max_bytes - self.size
        return payloads[: sum(1 for end in itertools.accumulate(lengths) if end <= room)]

    def _open(self) -> Segment:
        if self._segment and self._segment.size >= _SEGMENT_BYTES:
            self._close()
        if self._segment is None:
            self._segment = Segment(self._folder)
        return self._segment

    def _note(self) -> None:
        if self._segment:
            self._counts[self._segment.path.name] = self._segment.records

    @property
    def is_writing(self) -> bool:
        """Whether this process has a segment of its own."""
        return self._segment is not None

    def seal(self) -> Path:
        """Let go of the segment this process writes, so that it can be replayed; return it."""
        with self._lock:
            path = self._segment.path if self._segment else self._folder / f"none{SUFFIX}"
            self._close()
        return path

    def _close(self) -> None:
        if self._segment:
            self._segment.close()
        self._segment = None

    def waiting(self) -> list[Path]:
        """Return the segments that this process does not write, oldest first."""
        own, counted = self._segment, set(self._counts.copy())
        paths = sorted(self._folder.glob(f"*{SUFFIX}"))
        for gone in counted - {path.name for path in paths}:
            self._counts.pop(gone, None)  # replayed by another process
        return [path for path in paths if own is None or path != own.path]

    @contextlib.contextmanager
    def take(self, path: Path) -> Generator[Reading | None]:
        """Hold a segment and read it; None while another process writes or replays it."""
        with spool_segment.taken(path) as data:
            if data is None:
                self._counts.pop(path.name, None)
                yield None
                return
            reading = Reading(path, iter(()))
            reading.entries = _entries(reading, data)
            yield reading

    def finish(self, reading: Reading) -> None:
        """Delete a segment whose rows are all in Postgres, or keep it aside; within `take`."""
        if reading.aside:
            reading.path.rename(reading.path.with_suffix(f".{reading.aside}"))
        else:
            reading.path.unlink(missing_ok=True)
        spool_segment.sync_folder(self._folder)
        self._counts.pop(reading.path.name, None)
        self.refusal = ""

    def look_through(self) -> Iterator[Entry]:
        """Count what earlier lives left here, and yield the entries that have a key."""
        for path in self.waiting():
            with spool_segment.taken(path) as data:
                records = spool_segment.read(data or b"")
            whole = [each for each in records if isinstance(each, bytes)]
            self._counts[path.name] = len(whole)
            for payload in filter(log_entry.has_key, whole):
                with contextlib.suppress(ValueError):  # said when it is replayed
                    yield log_entry.decode(payload)


def _entries(reading: Reading, data: bytes) -> Iterator[Entry]:
    for each in spool_segment.read(data):
        if isinstance(each, Damage) and each.is_unfinished:
            _log.warning(
                "spool segment %s ends in a prediction that was not written whole when its service "
                "was killed; nobody was answered",
                reading.path.name,
            )
            continue
        if isinstance(each, Damage):
            reading.aside = "damaged"
            lost = "an unknown number of" if each.lost is None else each.lost
            _log.error(
                "spool segment %s is damaged at byte %d: %s records cannot be read; it is kept",
                reading.path.name, each.offset, lost,
            )  # fmt: skip
            continue
        try:
            entry = log_entry.decode(each)
        except ValueError as error:
            reading.aside = "damaged"
            _log.error("spool segment %s: %s; it is kept", reading.path.name, error)
            continue
        yield entry


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # replayed meanwhile
        return 0
