"""A job's lease, renewed while its holder works.

Training code reports its progress and knows nothing of Postgres: a thread beside it writes the
latest report at most once a second, and renews the lease when a long step is silent. The report
is also where the outside comes in: it raises when the job was lost or cancelled, or the worker
told to stop.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
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

    from trainer.fitting.passes import Epoch

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

_TICK_S = 1.0
# So long a worker may not know that its job was cancelled.
_DEAF_S = 2.0


class StoppedError(Exception):
    """The worker was told to stop in the middle of a job."""


class JobCancelledError(Exception):
    """Somebody wants the job ended."""

    def __init__(self, by: str, stage: str | None) -> None:
        super().__init__(f"cancelled by {by} while {stage or 'beginning'}")


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
        self._cancelled_by: str | None = None
        # Those of an earlier try: this one may go on after them.
        self._epochs: list[dict[str, Any]] = job.progress.get("epochs", [])
        self._progress: dict[str, Any] = dict(job.progress)
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
            JobCancelledError: Somebody has cancelled it.
            StoppedError: The worker was told to stop.
        """
        self._progress = self._told({"stage": stage, "done": done, "total": total})
        self._look_outside()

    def on_epoch(self, epoch: Epoch) -> None:
        """Take note of a finished pass: its number, losses and accuracy.

        Raises:
            StaleRunError: Another worker has taken the job over.
            JobCancelledError: Somebody has cancelled it.
            StoppedError: The worker was told to stop.
        """
        logger.info("job %d: %s", self._job.id, epoch.in_words())
        told = {name: _as_json(value) for name, value in asdict(epoch).items()}
        # A try that began anew repeats the passes of the one before.
        kept = [each for each in self._epochs if each["number"] < epoch.number]
        self._epochs = [*kept, told]
        self._progress = self._told(self._progress)
        self._look_outside()

    def _told(self, progress: dict[str, Any]) -> dict[str, Any]:
        return progress | {"epochs": self._epochs} if self._epochs else progress

    def _look_outside(self) -> None:
        stage = self._progress.get("stage")
        if self._lost is not None:
            raise StaleRunError(str(self._lost))
        if self._cancelled_by is not None:
            raise JobCancelledError(self._cancelled_by, stage)
        if self._stop.is_set():
            raise StoppedError(f"told to stop while {stage or 'beginning'}")

    def _keep(self) -> None:
        """Write progress and renew the lease, until the work is over or the job is lost."""
        written: dict[str, Any] = {}
        renewed: datetime | None = None
        asked = time.monotonic()
        while not self._over.wait(_TICK_S) and self._lost is None:
            # By the worker's clock, so that one that is moved forward renews at once.
            now = self._clock.now()
            due = renewed is None or now >= renewed + timedelta(seconds=self._lease_s / 3)
            deaf = time.monotonic() >= asked + _DEAF_S
            if not due and not deaf and self._progress == written:
                continue
            latest = self._progress
            if self._renew(now, latest):
                written, renewed, asked = latest, now, time.monotonic()

    def _renew(self, now: datetime, progress: dict[str, Any]) -> bool:
        try:
            with transaction(self._engine) as connection:
                self._cancelled_by = jobs.heartbeat(
                    connection, self._job, now=now, lease_s=self._lease_s, progress=progress
                )
        except StaleRunError as error:
            self._lost = error
            return False
        except StoreError as error:
            logger.warning("job %d: progress could not be written: %s", self._job.id, error)
            return False
        return True


def _as_json(value: Any) -> Any:
    """Return a number as Postgres can keep it in JSON: what is none becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
