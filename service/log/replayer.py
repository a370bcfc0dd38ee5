"""Brings the spool back into Postgres: oldest first, a batch at a time, each row exactly once.

It is also the probe: while Postgres is away, nobody else asks for it. Between batches it pauses for
as long as the last one took, so that live traffic has at least half of Postgres to itself.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import StoreAwayError
from service.log.log_entry import Entry
from service.log.log_store import LogStore
from service.log.spool import Reading, Spool

_log = logging.getLogger(__name__)

_LOOK_S = 0.5
_PAUSE_S = 0.02
_LAST_S = 3.0  # for emptying the spool once more at the end
_MOST, _FEWEST = 1000, 50  # rows of one transaction


class Replayer:
    """The thread that empties the spool.

    Args:
        store: Where to.
        spool: Where from; None where there is none, and the thread only probes.
        on_replayed: Told what was stored, batch by batch.
    """

    def __init__(
        self,
        store: LogStore,
        spool: Spool | None,
        *,
        on_replayed: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self._store = store
        self._spool = spool
        self._on_replayed = on_replayed
        self._size = _MOST
        # Of the segment in hand: entries that are dealt with, and why it is to be kept aside.
        self._done: tuple[Path, int, str] | None = None
        self._stopping = threading.Event()
        self._deadline = math.inf
        self._thread = threading.Thread(target=self._work, name="replayer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Bring in what can be brought in within seconds, then end the thread."""
        self._deadline = time.monotonic() + _LAST_S
        self._stopping.set()
        self._thread.join()

    def run_once(self) -> None:
        """Replay everything there is, or find that Postgres is away.

        Raises:
            StoreAwayError: In the midst of it.
        """
        waiting = self._spool.waiting() if self._spool else []
        is_idle = not waiting and not (self._spool and self._spool.is_writing)
        if (is_idle and not self._store.away) or not self._store.probe():
            return
        if self._spool:
            self._replay_all(self._spool, waiting)
            if self._spool.is_writing:
                # Only now: a Postgres that flaps must not leave one more file at every try.
                self._replay_all(self._spool, [self._spool.seal()])
        if self._store.away:
            self._store.reopen()

    def _replay_all(self, spool: Spool, paths: Sequence[Path]) -> None:
        for path in paths:
            if time.monotonic() > self._deadline:
                return
            with spool.take(path) as reading:
                if reading and self._empty(reading):
                    spool.finish(reading)
                    self._done = None

    def _empty(self, reading: Reading) -> bool:
        """Store a segment's rows; False when it is time to stop before the end."""
        done = 0
        if self._done and self._done[0] == reading.path:
            _, done, reading.aside = self._done
        entries = itertools.islice(reading.entries, done, None)
        while batch := list(itertools.islice(entries, self._size)):
            begun = time.monotonic()
            self._store_batch(reading, batch)
            done += len(batch)
            self._done = (reading.path, done, reading.aside)
            self._stopping.wait(max(_PAUSE_S, time.monotonic() - begun))
            if time.monotonic() > self._deadline:
                return False
        if done:
            _log.info("%d spooled predictions are in Postgres", done)
        return True

    def _store_batch(self, reading: Reading, batch: Sequence[Entry]) -> None:
        try:
            refusals = self._store.replay(batch)
        except StoreAwayError:
            # A Postgres that is only slow gets less at a time, until it is done in time.
            self._size = max(self._size // 2, _FEWEST)
            raise
        self._size = min(2 * self._size, _MOST)
        if any(refusals):
            reading.aside = "refused"
            _log.error(
                "Postgres refuses %d rows of spool segment %s; it is kept",
                sum(1 for each in refusals if each), reading.path.name,
            )  # fmt: skip
        if self._on_replayed:
            self._on_replayed(batch)

    def _work(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self.run_once()
        except StoreAwayError as error:
            _log.debug("the spool waits on: %s", error)
        except Exception:
            # A thread that ends here would leave predictions on this disk for ever.
            _log.exception("the spool could not be replayed")
