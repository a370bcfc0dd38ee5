"""An answered prediction is a logged prediction: no answer leaves before its row is safe.

One thread writes. It takes everything that waits and commits it in one transaction, so rows of
one batch share one write, and a slow disk makes the writes larger instead of the queue longer.
While Postgres is away the same groups go to the spool on this machine's disk, and from there to
Postgres when it is back. When the spool is full as well, those who wait hear so at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import OverloadedError, RefusedRowError, StoreAwayError
from core.store.idempotency import Kept
from core.store.predictions import Prediction
from service.log import log_entry
from service.log.log_entry import Entry
from service.log.log_store import LogStore, replace_logged
from service.log.spool import Spool

_log = logging.getLogger(__name__)

_MAX_ROWS = 1000  # of one transaction
_STOP_S = 10.0
_RETRY_AFTER_S = 5

Logged = Literal["stored", "spooled"]

_Waiting = tuple[Entry, asyncio.Future[Logged]]
_Outcome = Logged | Exception


@dataclass(frozen=True, slots=True)
class LogState:
    """How the log fares.

    Attributes:
        ok: Whether predictions can be written down.
        detail: In words.
    """

    ok: bool
    detail: str


class PredictionLog:
    """Writes predictions down in groups.

    Args:
        store: Where to.
        spool: Where to while that is away; None where there is no such place.
        max_waiting: Predictions waiting to be written; one more is refused.
        on_spooling: Told which entries are about to be spooled; None takes back the last word.
        on_spooled: Told how many were.
    """

    def __init__(
        self,
        store: LogStore,
        spool: Spool | None,
        *,
        max_waiting: int,
        on_spooling: Callable[[Iterable[Kept], bool], None] | None = None,
        on_spooled: Callable[[int], None] | None = None,
    ) -> None:
        self._store = store
        self._spool = spool
        self._max_waiting = max_waiting
        self._on_spooling = on_spooling or (lambda _kept, _pinned: None)
        self._on_spooled = on_spooled or (lambda _number: None)
        self._waiting: deque[_Waiting] = deque()
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
        # A disk that hangs must not hang the stop; nobody awaits these rows any more.
        self._thread.join(_STOP_S)

    def __len__(self) -> int:
        """Return how many predictions are waiting to be written."""
        return len(self._waiting)

    @property
    def spooled(self) -> int:
        """Predictions that are on this disk, and not yet in Postgres."""
        return self._spool.predictions if self._spool else 0

    def state(self) -> LogState:
        """Return how the log fares, in words for an operator."""
        if not self._spool:
            detail = "Postgres is away, and no spool is set up; predictions get 503"
            return LogState(not self._store.away, detail if self._store.away else "writes")
        amount = (
            f"{self._spool.predictions} predictions are spooled "
            f"({self._spool.size / 1e6:.1f} of {self._spool.max_bytes / 1e6:.0f} MB)"
        )
        aside = self._spool.aside
        kept = f"; {aside} segments of the spool are kept aside, see the service's log"
        tail = kept if aside else ""
        if self._store.away and self._spool.is_full:
            why = self._spool.refusal or "the spool is full"
            return LogState(False, f"Postgres is away and {why}; {amount}{tail}")
        if self._store.away:
            return LogState(True, f"Postgres is away; {amount}{tail}")
        return LogState(True, (amount if self._spool.predictions else "writes to Postgres") + tail)

    async def commit(self, prediction: Prediction, kept: Kept | None = None) -> Logged:
        """Return once the prediction is safe, and where.

        Args:
            prediction: What is to be answered.
            kept: What is kept of the answer under an Idempotency-Key, in the same transaction.

        Raises:
            OverloadedError: Too many are waiting, or Postgres is away and the spool is full.
            ConflictError: Another request with the same key was faster.
            RefusedRowError: Postgres would never take it; the prediction must not be answered.
            StoreAwayError: Postgres is away and there is no spool. Likewise.
        """
        if self._stopping:
            raise OverloadedError("the service is stopping; try again on another one")
        if len(self._waiting) >= self._max_waiting:
            raise OverloadedError("the prediction log is far behind; try again")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[Logged] = loop.create_future()
        self._waiting.append((Entry(prediction, kept), written))
        if not self._flushing:
            # The other answers of this batch run in this same turn of the loop: let them in.
            self._flushing = True
            loop.call_soon(self._flush)
        return await written

    def _flush(self) -> None:
        self._flushing = False
        with self._changed:
            self._changed.notify()

    def _work(self) -> None:
        while group := self._take():
            waiting = _awaited(group)
            try:
                outcomes = self._write([entry for entry, _ in waiting])
            except StoreAwayError as error:
                # Whoever gave up waiting meanwhile got no answer, so needs no row.
                waiting = _awaited(waiting)
                outcomes = self._keep_here([entry for entry, _ in waiting], error)
            except Exception as error:
                _log.exception("%d predictions could not be written", len(waiting))
                outcomes = [error] * len(waiting)
            _hand_over(waiting, outcomes)

    def _take(self) -> list[_Waiting]:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_ROWS))]

    def _write(self, entries: Sequence[Entry]) -> list[_Outcome]:
        if not entries:
            return []
        return [refusal or "stored" for refusal in self._store.write(entries)]

    def _keep_here(self, entries: Sequence[Entry], away: StoreAwayError) -> list[_Outcome]:
        """Spool entries as far as there is room; return what became of each."""
        if self._spool is None:
            return [away] * len(entries)
        encoded = [_encode(entry) for entry in entries]
        payloads = [each for each in encoded if isinstance(each, bytes)]
        kept = [each.kept for each in entries if each.kept]
        # Before the write: the replayer may be done with them before we are.
        self._on_spooling(kept, True)
        try:
            written = self._spool.append(payloads)
        except Exception as error:
            _log.exception("%d predictions could not be spooled", len(payloads))
            self._on_spooling(kept, False)
            return [error] * len(entries)
        self._on_spooled(written)
        outcomes = list(_settle(encoded, written))
        lost = [
            entry.kept
            for entry, outcome in zip(entries, outcomes, strict=True)
            if entry.kept and outcome != "spooled"
        ]
        self._on_spooling(lost, False)
        return outcomes


def _awaited(group: Sequence[_Waiting]) -> list[_Waiting]:
    return [each for each in group if not each[1].done()]


def _encode(entry: Entry) -> bytes | RefusedRowError:
    if entry.kept:
        entry = Entry(entry.prediction, replace_logged(entry.kept, "spooled"))
    try:
        return log_entry.encode(entry)
    except RefusedRowError as error:
        _log.exception("prediction %s cannot be spooled", entry.prediction.id)
        return error


def _settle(encoded: Sequence[bytes | RefusedRowError], written: int) -> Iterator[_Outcome]:
    """Yield what became of each entry, when the first `written` encoded ones are safe."""
    for each in encoded:
        if isinstance(each, RefusedRowError):
            yield each
        elif written > 0:
            written -= 1
            yield "spooled"
        else:
            yield OverloadedError(
                "Postgres is away and the spool is full; try again later",
                retry_after_s=_RETRY_AFTER_S,
            )


def _hand_over(group: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
    if not group:
        return
    loop = group[0][1].get_loop()
    try:
        loop.call_soon_threadsafe(_resolve, group, outcomes)
    except RuntimeError:
        _log.warning("the service stopped before %d answers could leave", len(group))


def _resolve(group: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
    for (_, written), outcome in zip(group, outcomes, strict=True):
        if written.done():
            continue
        if isinstance(outcome, Exception):
            written.set_exception(outcome)
        else:
            written.set_result(outcome)
