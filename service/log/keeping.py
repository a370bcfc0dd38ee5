"""Keeps pictures of the traffic for people to label: a share of them, and not for long.

Which are kept is said by their predictions' ids alone. One half of the share is `drawn`: those are
asked about in a random order, and their labels may judge. The other half is `aimed`, and so are
further close calls, where the model can hardly tell two classes apart: those may only teach. The
two do not overlap, so nothing that was picked for an answer stands among what was drawn.

Nothing that happens here reaches an answer: a picture is taken once its prediction is logged, in a
thread of its own, and is dropped when too many wait. By default nothing is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from core.errors import StoreError
from core.store import images, inbox
from core.store.challengers import is_sampled
from core.store.database import transaction
from core.store.inbox import Arrival, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from core.clock import Clock
    from core.images.archive import Archive
    from core.store.predictions import Prediction

_log = logging.getLogger(__name__)

CLOSE = 0.2  # margin of a close call

_CLOSE_TIMES = 4  # as large is their share
_WAITING = 64
_TURN_S = 0.2
_TIDY_S = 600.0
_PIECE = 500
_AWAY_S = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept.

    Attributes:
        share: Of the predictions, in [0, 1]; with 0 nothing more comes in.
        most_bytes: What pictures that nobody has labelled may take on the disk.
        days: After so many days they are deleted.
    """

    share: float
    most_bytes: int
    days: int


def stream_of(prediction: Prediction, share: float) -> Stream | None:
    """Return the stream by which a prediction's picture comes into the inbox; None for by none.

    Args:
        prediction: What was answered.
        share: Of the predictions that are kept.
    """
    if is_sampled(prediction.id, share / 2):
        return "drawn"
    if is_sampled(prediction.id, share):
        return "aimed"
    is_close = prediction.margin < CLOSE
    return "aimed" if is_close and is_sampled(prediction.id, _CLOSE_TIMES * share) else None


class Keeper:
    """The thread that keeps pictures.

    Args:
        engine: Where the inbox is.
        archive: Where the bytes are kept.
        bounds: How many.
        clock: Says what is old.
    """

    def __init__(self, engine: Engine, archive: Archive, *, bounds: Bounds, clock: Clock) -> None:
        self._engine = engine
        self._archive = archive
        self._bounds = bounds
        self._clock = clock
        self._waiting: deque[tuple[Prediction, bytes, Stream]] = deque(maxlen=_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what waits is let go."""
        self._stopping.set()
        self._thread.join()

    def offer(self, prediction: Prediction, data: bytes) -> None:
        """Take a picture that was answered, if it is one of the share; never waits.

        Args:
            prediction: What was answered.
            data: The file as it was sent.
        """
        stream = stream_of(prediction, self._bounds.share)
        if stream is not None and len(self._waiting) < _WAITING:
            self._waiting.append((prediction, data, stream))

    def keep(self) -> int:
        """Put what waits on the disk and into the inbox; return how many pictures were new.

        Nothing is put anywhere while images are added to the pool: it waits for the next time.

        Raises:
            StoreError: Postgres is away.
            OSError: The disk is full, or refuses the file.
        """
        kept = 0
        while self._waiting and not self._stopping.is_set():
            with transaction(self._engine) as connection:
                if not images.hold(connection):
                    break  # an import is under way; what it brings has its label
                prediction, data, stream = self._waiting.popleft()
                arrival = _arrival(prediction, stream, len(data))
                # What the pool has, or somebody is asked about already, is not kept twice.
                if inbox.add(connection, arrival, now=self._clock.now()):
                    self._archive.put(data)
                    kept += 1
        return kept

    def tidy(self) -> int:
        """Delete what is too old, too much, or imported, and return how many pictures those were.

        Raises:
            StoreError: Postgres is away.
            OSError: A file cannot be deleted.
        """
        deleted = 0
        for delete_piece in (self._delete_old, self._delete_superseded):
            while not self._stopping.is_set():
                gone = delete_piece()
                deleted += gone
                if gone < _PIECE:
                    break
        return deleted

    def _delete_old(self) -> int:
        now = self._clock.now()
        with transaction(self._engine) as connection:
            gone = inbox.forget(
                connection,
                before=now - timedelta(days=self._bounds.days),
                most_bytes=self._bounds.most_bytes,
                now=now,
                limit=_PIECE,
            )
        self._unlink(gone)
        return len(gone)

    def _delete_superseded(self) -> int:
        with transaction(self._engine) as connection:
            gone = inbox.superseded(connection, now=self._clock.now(), limit=_PIECE)
        self._unlink(gone)
        with transaction(self._engine) as connection:
            inbox.drop(connection, gone)
        return len(gone)

    def _unlink(self, digests: Sequence[str]) -> None:
        for sha256 in digests:
            self._archive.path(sha256).unlink(missing_ok=True)

    def _work(self) -> None:
        next_tidy = 0.0
        while not self._stopping.is_set():
            try:
                self.keep()
                if time.monotonic() >= next_tidy:
                    next_tidy = time.monotonic() + _TIDY_S
                    self.tidy()
            except (StoreError, OSError) as error:
                _log.warning("no pictures are kept for labelling: %s", error)
                self._stopping.wait(_AWAY_S)
            except Exception:
                # A thread that ends here would leave the inbox empty without a word.
                _log.exception("pictures could not be kept for labelling")
                self._stopping.wait(_AWAY_S)
            self._stopping.wait(_TURN_S)


def _arrival(prediction: Prediction, stream: Stream, size: int) -> Arrival:
    return Arrival(
        stream=stream,
        sha256=prediction.image_sha256,
        at=prediction.at,
        # Random bits of the id, of which the lowest decide about nothing else.
        place=prediction.id.int & 0xFFFFFFFF,
        prediction=prediction.id,
        version=prediction.version,
        label=prediction.label,
        top=prediction.top,
        margin=prediction.margin,
        bytes=size,
    )
