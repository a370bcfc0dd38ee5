"""The worker: takes the retrainings that wait, one at a time, and writes down how each ended.

A job is held under a lease (trainer.lease). Who loses a job to another worker stops and writes
nothing; who is told to stop puts it back. What fails leaves the champion as it is.

The worker knows nothing about networks: `retrain` is handed in, or trainer.pipeline's is loaded
with the first job, so that a worker without work stays small.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.clock import Clock
from core.errors import ConflictError, StaleRunError, StoreError, WeakspotError
from core.store import jobs
from core.store.database import transaction
from core.store.jobs import Job, Outcome
from trainer.lease import Lease, Progress, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from trainer.pipeline import RetrainOutcome

logger = logging.getLogger(__name__)

# A worker that has waited so long loads what a job takes before there is one.
_IDLE_S = 20.0
# How long, and how often, an ending is tried to be written while Postgres is away.
_PATIENCE_S = 60.0
_RETRY_S = 1.0


class Retrain(Protocol):
    """What a job comes to: `trainer.pipeline.retrain`, or anything that is called like it."""

    def __call__(  # noqa: PLR0913 - as trainer.pipeline.retrain has it
        self,
        engine: Engine,
        job: Job,
        *,
        options: Any,
        bundles: Path,
        runs: Path,
        clock: Clock,
        on_progress: Progress | None,
    ) -> RetrainOutcome:
        """Retrain, examine and perhaps promote; whatever `on_progress` raises ends it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """How a job ended, as it is written down."""

    status: Outcome
    result: dict[str, Any]
    challenger: str | None = None
    promote: Callable[..., None] | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """Carries out retrainings.

    Attributes:
        engine: The database.
        options: Handed to `retrain` as they are: `trainer.pipeline.RetrainOptions`.
        lease_s: A job whose worker is silent for so long is free.
        max_attempts: Tries of one job before it has failed.
        bundles: Folder of all bundles.
        runs: Folder of runs, and of kept features.
        clock: Says what "now" is.
        name: Stands in the job as its worker.
        retrain: What a job comes to; None for trainer.pipeline's.
        warm_up: Called once, when there has been no job for a while; None for nothing.
    """

    engine: Engine
    options: Any
    lease_s: int
    max_attempts: int
    bundles: Path
    runs: Path
    clock: Clock
    name: str
    retrain: Retrain | None = None
    warm_up: Callable[[], object] | None = None

    def run_forever(self, stop: threading.Event, poll_s: float) -> None:
        """Carry out whatever is asked for, until `stop` is set.

        A job under way then is put back at its next report of progress. While Postgres is away
        the worker waits for it.

        Args:
            stop: Set it to end the worker.
            poll_s: How often to look for a job.
        """
        logger.info("waiting for retrainings", extra={"worker": self.name})
        warm_up, idle_since, away = self.warm_up, time.monotonic(), False
        while not stop.is_set():
            try:
                if self.run_once(stop):
                    idle_since = time.monotonic()
                away = False
            except StoreError as error:
                if not away:
                    logger.warning("the database is away, trying again: %s", error)
                away = True
            if warm_up and not stop.is_set() and time.monotonic() - idle_since > _IDLE_S:
                warm_up()
                warm_up = None
            stop.wait(poll_s)

    def run_once(self, stop: threading.Event | None = None) -> bool:
        """Carry out the job that has waited longest; say whether there was one.

        Args:
            stop: When it is set, the job is put back at its next report of progress.

        Raises:
            StoreError: Postgres is away; a job under way is free when its lease has run out.
        """
        with transaction(self.engine) as connection:
            job = jobs.claim_oldest(
                connection,
                worker=self.name,
                now=self.clock.now(),
                lease_s=self.lease_s,
                max_attempts=self.max_attempts,
            )
        if job is None:
            return False
        logger.info("job %d: retraining for %s", job.id, ", ".join(job.labels))
        stop = stop or threading.Event()
        try:
            self._conclude(job, self._carry_out(job, stop), stop)
        except StoppedError:
            self._give_back(job)
        except (KeyboardInterrupt, SystemExit):
            # While it fits, Lightning answers SIGTERM beside the program's own handler.
            self._give_back(job)
            if not stop.is_set():
                raise
        except StaleRunError as error:
            logger.warning("job %d: %s", job.id, error)
        return True

    def _carry_out(self, job: Job, stop: threading.Event) -> _Ending | StoreError:
        """Return how the job ended, or the error for which it is worth another try."""
        try:
            with Lease(self.engine, job, self.clock, self.lease_s, stop) as lease:
                outcome = (self.retrain or _pipeline())(
                    self.engine,
                    job,
                    options=self.options,
                    bundles=self.bundles,
                    runs=self.runs,
                    clock=self.clock,
                    on_progress=lease.on_progress,
                )
        except (StoppedError, StaleRunError):
            raise
        except StoreError as error:
            return error if job.attempts < self.max_attempts else _failed(error)
        except WeakspotError as error:
            logger.error("job %d failed: %s", job.id, error)  # noqa: TRY400 - it says it all
            return _failed(error)
        except Exception as error:  # A bug or no memory left: the next job may fare better.
            logger.exception("job %d failed", job.id)
            return _failed(error)
        return _Ending(
            status=outcome.status,
            result=_as_json(outcome.result),
            challenger=outcome.challenger,
            promote=outcome.promote,
        )

    def _conclude(self, job: Job, ending: _Ending | StoreError, stop: threading.Event) -> None:
        """Write down how the job ended, waiting for Postgres while nobody else may have the job."""
        deadline = time.monotonic() + min(self.lease_s, _PATIENCE_S)
        while True:
            try:
                with transaction(self.engine) as connection:
                    self._write(connection, job, ending)
                break
            except StaleRunError:
                raise
            except ConflictError as error:
                logger.error("job %d failed: %s", job.id, error)  # noqa: TRY400 - it says it all
                ending = _failed(error)
            except StoreError:
                if stop.wait(_RETRY_S) or time.monotonic() > deadline:
                    raise
        if isinstance(ending, StoreError):
            logger.warning("job %d: put back, to be tried again: %s", job.id, ending)
        else:
            logger.info("job %d: %s", job.id, ending.status)

    def _write(self, connection: Connection, job: Job, ending: _Ending | StoreError) -> None:
        if isinstance(ending, StoreError):
            jobs.give_back(connection, job, counted=True)
            return
        now = self.clock.now()
        if ending.promote is not None:
            # With the job's end or not at all: a promoted challenger has no job left to run again.
            ending.promote(connection, now=now)
        jobs.finish(
            connection,
            job,
            status=ending.status,
            result=ending.result,
            now=now,
            challenger=ending.challenger,
        )

    def _give_back(self, job: Job) -> None:
        with transaction(self.engine) as connection:
            given = jobs.give_back(connection, job)
        logger.info("job %d: %s", job.id, "put back" if given else "another worker has it")


def _pipeline() -> Retrain:
    """Load trainer.pipeline, and torch with it."""
    from trainer import pipeline

    return pipeline.retrain


def _failed(error: Exception) -> _Ending:
    kind = "" if isinstance(error, WeakspotError) else f"{type(error).__name__}: "
    return _Ending(status="failed", result={"error": f"{kind}{error}".rstrip(": ")})


def _as_json(result: dict[str, Any]) -> dict[str, Any]:
    """Return `result` as Postgres can keep it: what is no number becomes null, the rest words."""
    return json.loads(json.dumps(result, default=str), parse_constant=lambda _: None)
