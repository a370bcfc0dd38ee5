"""A job's lease, renewed while its holder works.

Training code reports its progress and knows nothing of Postgres: a thread beside it writes the
latest report at most once a second, and renews the lease when a long step is silent. The report
is also where the outside comes in: it raises when the job was lost, or the worker told to stop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from core.clock import Clock
from core.errors import StaleRunError, StoreError
from core.store import jobs
from core.store.database import transaction
from core.store.jobs import Job

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from sqlalchemy import Engine

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

_TICK_S = 1.0


class StoppedError(Exception):
    """The worker was told to stop in the middle of a job."""


class Lease:
    """Holds a claimed job for as long as the block lasts.

    When Postgres is away the work goes on: whether the job is still this worker's is decided by
    the fence, at the latest when its end is written.
    """

    def __init__(
        self, engine: Engine, job: Job, clock: Clock, lease_s: int, stop: threading.Event
    ) -> None:
        self._engine = engine
        self._job = job
        self._clock = clock
        self._lease_s = lease_s
        self._stop = stop
        self._over = threading.Event()
        self._lost: StaleRunError | None = None
        self._progress: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Nothing may renew the lease once the end is being written.
        self._over.set()
        self._thread.join()

    def on_progress(self, stage: str, done: int, total: int) -> None:
        """Take note of how far the job has come.

        Raises:
            StaleRunError: Another worker has taken the job over.
            StoppedError: The worker was told to stop.
        """
        if self._lost is not None:
            raise StaleRunError(str(self._lost))
        if self._stop.is_set():
            raise StoppedError(f"told to stop while {stage}")
        self._progress = {"stage": stage, "done": done, "total": total}

    def _keep(self) -> None:
        """Write progress and renew the lease, until the work is over or the job is lost."""
        written: dict[str, Any] = {}
        renewed: datetime | None = None
        while not self._over.wait(_TICK_S) and self._lost is None:
            # By the worker's clock, so that one that is moved forward renews at once.
            now = self._clock.now()
            due = renewed is None or now >= renewed + timedelta(seconds=self._lease_s / 3)
            if not due and self._progress == written:
                continue
            latest = self._progress
            if self._renew(now, latest):
                written, renewed = latest, now

    def _renew(self, now: datetime, progress: dict[str, Any]) -> bool:
        try:
            with transaction(self._engine) as connection:
                jobs.heartbeat(
                    connection, self._job, now=now, lease_s=self._lease_s, progress=progress
                )
        except StaleRunError as error:
            self._lost = error
            return False
        except StoreError as error:
            logger.warning("job %d: progress could not be written: %s", self._job.id, error)
            return False
        return True
