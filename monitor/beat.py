"""The heartbeat of a run: keeps it ours while a step takes long, and shows how far it has come.

A step may be one statement over ten million rows, and says nothing until it is through. So the
lease is renewed beside it, by a thread: a process that is stopped or dead renews nothing. One that
hangs does not for ever either: after twenty minutes without a word from any step, longer than a
statement may take, the lease is left to run out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from core.errors import StaleRunError, StoreError
from core.store import runs
from core.store.database import transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.clock import Clock
    from core.store.runs import Run
    from monitor.page import OnProgress

_NOTED_S = 5.0  # how far a stage has come is written down so often
_SILENT_S = 1200.0

logger = logging.getLogger(__name__)


class Heartbeat:
    """The heartbeat of one run; called, it is told of progress.

    Args:
        engine: Where the run is.
        run: The run.
        clock: What time it is.
        lease_s: For how long each beat keeps the run ours; it beats four times as often.
        on_progress: Told what is being done, too.
    """

    def __init__(
        self,
        engine: Engine,
        run: Run,
        clock: Clock,
        *,
        lease_s: int,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._engine = engine
        self._run = run
        self._clock = clock
        self._lease_s = lease_s
        self._on_progress = on_progress
        self._stage = ""
        self._noted = self._heard = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Pass progress on, and write it into the run now and then.

        Raises:
            StaleRunError: Somebody else has taken the run over.
        """
        if self._on_progress is not None:
            self._on_progress(stage, done, total)
        self._heard = time.monotonic()
        if stage == self._stage and self._heard - self._noted < min(_NOTED_S, self._lease_s / 4):
            return
        self._stage, self._noted = stage, self._heard
        at = self._clock.now().isoformat()
        progress = {"stage": stage, "done": done, "total": total, "at": at}
        self._beat({runs.PROGRESS: progress})

    @contextmanager
    def kept(self) -> Generator[None]:
        """Keep the run ours while the block runs, whatever its steps say or do not say."""
        over = threading.Event()
        thread = threading.Thread(
            target=self._renew, args=(over,), name=f"heartbeat of {self._run.slot}", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(self._lease_s / 4):
            if time.monotonic() - self._heard > _SILENT_S:
                logger.error("%s: no step has said a word; the lease runs out", self._run.slot)
                return
            try:
                self._beat({})
            except StaleRunError:
                return  # Whoever writes next is told.

    def _beat(self, detail: dict[str, Any]) -> None:
        try:
            with transaction(self._engine) as connection:
                # A step that is writing holds the row; it says itself that the run is ours.
                connection.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
                runs.heartbeat(
                    connection,
                    self._run,
                    now=self._clock.now(),
                    lease_s=self._lease_s,
                    detail=detail,
                )
        except StaleRunError:
            raise
        except StoreError as error:
            logger.info("%s: a heartbeat was missed: %s", self._run.slot, error)
