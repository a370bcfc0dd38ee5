"""An answered prediction is a logged prediction: no answer leaves before its row is committed.

One thread writes. It takes everything that waits and commits it in one transaction, so rows of
one batch share one write, and a slow disk makes the writes larger instead of the queue longer.
When Postgres is away, those who wait hear so at once; nothing is kept back for later.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from sqlalchemy import Engine

from core.errors import OverloadedError, WeakspotError
from core.store import predictions
from core.store.database import transaction
from core.store.predictions import Prediction

_log = logging.getLogger(__name__)

_MAX_ROWS = 1000  # of one transaction
_STOP_S = 10.0

Logged = Literal["stored", "spooled"]

_Entry = tuple[Prediction, asyncio.Future[None]]


class PredictionLog:
    """Writes predictions down in groups.

    Args:
        engine: Where to.
        max_waiting: Predictions waiting to be written; one more is refused.
        on_commit: Told how long one write took, in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_waiting: int,
        on_commit: Callable[[float], None] | None = None,
    ) -> None:
        self._engine = engine
        self._max_waiting = max_waiting
        self._on_commit = on_commit
        self._waiting: deque[_Entry] = deque()
        self._changed = threading.Condition()
        self._flushing = False
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        # A Postgres that hangs must not hang the stop; nobody awaits these rows any more.
        self._thread.join(_STOP_S)

    def __len__(self) -> int:
        """Return how many predictions are waiting to be written."""
        return len(self._waiting)

    async def commit(self, prediction: Prediction) -> Logged:
        """Return once the prediction is committed, and where.

        Raises:
            OverloadedError: Too many are waiting.
            StoreError: Postgres is away or refused it; the prediction must not be answered.
        """
        if self._stopping:
            raise OverloadedError("the service is stopping; try again on another one")
        if len(self._waiting) >= self._max_waiting:
            raise OverloadedError("the prediction log is far behind; try again")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append((prediction, written))
        if not self._flushing:
            # The other answers of this batch run in this same turn of the loop: let them in.
            self._flushing = True
            loop.call_soon(self._flush)
        await written
        return "stored"

    def _flush(self) -> None:
        self._flushing = False
        with self._changed:
            self._changed.notify()

    def _work(self) -> None:
        while entries := self._take():
            # Whoever gave up waiting got no answer, so needs no row.
            wanted = [entry for entry in entries if not entry[1].done()]
            if wanted:
                _hand_over(wanted, self._write([prediction for prediction, _ in wanted]))

    def _take(self) -> list[_Entry]:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_ROWS))]

    def _write(self, rows: Sequence[Prediction]) -> Exception | None:
        """Commit rows; return what went wrong instead of raising it into this thread."""
        begun = time.monotonic()
        try:
            with transaction(self._engine) as connection:
                predictions.insert_many(connection, rows)
        except WeakspotError as error:
            return error
        except Exception as error:
            _log.exception("%d predictions could not be written", len(rows))
            return error
        if self._on_commit:
            self._on_commit(time.monotonic() - begun)
        return None


def _hand_over(entries: Sequence[_Entry], error: Exception | None) -> None:
    loop = entries[0][1].get_loop()
    try:
        loop.call_soon_threadsafe(_resolve, entries, error)
    except RuntimeError:
        _log.warning("the service stopped before %d answers could leave", len(entries))


def _resolve(entries: Sequence[_Entry], error: Exception | None) -> None:
    for _, written in entries:
        if written.done():
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)
