"""The worker: takes the jobs that wait, one at a time, and writes down how each ended.

A job is held under a lease (trainer.lease). Who loses a job to another worker stops and writes
nothing; who is told to stop puts it back; one that was cancelled ends at its next report. What
fails leaves the champion as it is.

The worker knows nothing about networks: what a job of each kind comes to is handed in, and may
load torch with the first job, so that a worker without work stays small.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

from core import telling
from core.clock import Clock
from core.errors import ConflictError, StaleRunError, StoreError, WeakspotError
from core.escaping import one_line
from core.store import jobs, open_alerts
from core.store.database import transaction
from core.store.jobs import Job
from core.telling import News
from trainer.lease import JobCancelledError, Lease, Progress, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from trainer.fitting.passes import OnEpoch

logger = logging.getLogger(__name__)

# A worker that has waited so long loads what a job takes before there is one.
_IDLE_S = 20.0
# How long, and how often, an ending is tried to be written while Postgres is away.
_PATIENCE_S = 60.0
_RETRY_S = 1.0
_LONGEST_LINE = 400  # of what an alert says of one retraining
# Endings of a retraining of which people hear: the class stays weak, and nobody asked for that.
_TOLD = ("refused", "more images", "failed")


class Outcome(Protocol):
    """What a job came to."""

    @property
    def status(self) -> jobs.Outcome:
        """How the job ends."""
        ...

    @property
    def result(self) -> dict[str, Any]:
        """All numbers, as JSON."""
        ...

    @property
    def challenger(self) -> str | None:
        """The version it made."""
        ...

    @property
    def promote(self) -> Callable[..., None] | None:
        """Moves the champion, in the transaction that ends the job."""
        ...


class Around(TypedDict):
    """What every job's work takes besides the job: where things lie, what time it is, who listens.

    Attributes:
        bundles: Folder of all bundles.
        runs: Folder of runs, and of kept features.
        clock: Says what "now" is.
        on_progress: Told about stages.
        on_epoch: Told about each pass over the images.
    """

    bundles: Path
    runs: Path
    clock: Clock
    on_progress: Progress | None
    on_epoch: OnEpoch | None


class Work(Protocol):
    """What a job of one kind comes to: called as trainer.pipeline.retrain is."""

    def __call__(
        self, engine: Engine, job: Job, *, options: Any, **around: Unpack[Around]
    ) -> Outcome:
        """Do it; whatever `on_progress` and `on_epoch` raise ends it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """How a job ended, as it is written down."""

    status: jobs.Outcome
    result: dict[str, Any]
    challenger: str | None = None
    promote: Callable[..., None] | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """Carries out jobs.

    Attributes:
        engine: The database.
        options: Handed to the work as they are.
        lease_s: A job whose worker is silent for so long is free.
        max_attempts: Tries of one job before it has failed.
        bundles: Folder of all bundles.
        runs: Folder of runs, and of kept features.
        clock: Says what "now" is.
        name: Stands in the job as its worker.
        work: What a job comes to, by kind; jobs of other kinds are left to other workers.
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
    work: Mapping[str, Work]
    warm_up: Callable[[], object] | None = None

    def run_forever(self, stop: threading.Event, poll_s: float) -> None:
        """Carry out whatever is asked for, until `stop` is set.

        A job under way then is put back at its next report of progress. While Postgres is away
        the worker waits for it.

        Args:
            stop: Set it to end the worker.
            poll_s: How often to look for a job.
        """
        logger.info("waiting for jobs", extra={"worker": self.name, "kinds": " ".join(self.work)})
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
        """Carry out the next job; say whether there was one.

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
                kinds=list(self.work),
            )
        if job is None:
            return False
        logger.info("job %d: %s, try %d: %s", job.id, job.kind, job.attempts, job.reason)
        stop = stop or threading.Event()
        try:
            self._conclude(job, self._carry_out(job, stop), stop)
        except StoppedError as error:
            self._give_back(job, str(error))
        except (KeyboardInterrupt, SystemExit):
            # While it fits, Lightning answers SIGTERM beside the program's own handler.
            self._give_back(job, "interrupted")
            if not stop.is_set():
                raise
        except StaleRunError as error:
            logger.warning("job %d: %s", job.id, error)
        return True

    def _carry_out(self, job: Job, stop: threading.Event) -> _Ending | StoreError:
        """Return how the job ended, or the error for which it is worth another try."""
        try:
            with Lease(self.engine, job, self.clock, self.lease_s, stop) as lease:
                outcome = self.work[job.kind](
                    self.engine,
                    job,
                    options=self.options,
                    bundles=self.bundles,
                    runs=self.runs,
                    clock=self.clock,
                    on_progress=lease.on_progress,
                    on_epoch=lease.on_epoch,
                )
        except (StoppedError, StaleRunError):
            raise
        except JobCancelledError as error:
            return _cancelled(str(error))
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
                # What cannot even be written as failed is written without what came of it.
                has_failed = isinstance(ending, _Ending) and ending.status == "failed"
                ending = _failed(error, None if has_failed else ending)
            except StoreError:
                if stop.wait(_RETRY_S) or time.monotonic() > deadline:
                    raise
        if isinstance(ending, StoreError):
            logger.warning("job %d: put back, to be tried again: %s", job.id, ending)
        else:
            logger.info("job %d: %s", job.id, ending.status)

    def _write(self, connection: Connection, job: Job, ending: _Ending | StoreError) -> None:
        now = self.clock.now()
        if isinstance(ending, StoreError):
            jobs.give_back(connection, job, now=now, why=str(ending), counted=True)
            return
        by = jobs.require_fence(connection, job)
        if by is not None and ending.status != "cancelled":
            # Whoever cancelled it wants no new champion, however near it was.
            ending = replace(
                _cancelled(f"cancelled by {by} at its end"), challenger=ending.challenger
            )
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
        if job.kind == jobs.RETRAIN:
            said = _line(job, ending, now)
            heard = open_alerts.add_line(connection, job.labels, said)
            if ending.status in _TOLD:
                news = [News("retrained", each, said) for each in heard]
                telling.tell(connection, news, now=now)

    def _give_back(self, job: Job, why: str) -> None:
        with transaction(self.engine) as connection:
            given = jobs.give_back(connection, job, now=self.clock.now(), why=why)
        logger.info("job %d: %s", job.id, "put back" if given else "another worker has it")


def _line(job: Job, ending: _Ending, now: datetime) -> str:
    """Return what the alerts of a retraining's classes are to say of it: how it ended, and why."""
    gate, missing = ending.result.get("gate") or {}, ending.result.get("missing") or {}
    reasons = gate.get("reasons") or [ending.result.get("error") or "no reason was kept"]
    if ending.status == "promoted":
        said = f"{ending.challenger} is the champion"
    elif missing and not gate:
        named = ", ".join(f"{n} of {label}" for label, n in missing.items())
        said = f"nothing was trained, new images are missing: {named}"
    else:
        made = f"{ending.challenger} was made, " if ending.challenger else ""
        said = f"{made}{ending.status}, and the champion stays: {reasons[0]}"
    what = f"Retraining {job.id}, {now:%Y-%m-%d}: {said}"
    return f"{one_line(what, _LONGEST_LINE).rstrip('.')}. See: weakspot jobs show {job.id}"


def _cancelled(why: str) -> _Ending:
    return _Ending(status="cancelled", result={"error": why})


def _failed(error: Exception, after: _Ending | StoreError | None = None) -> _Ending:
    """Return the end of a job that failed, with the numbers it had come to."""
    kind = "" if isinstance(error, WeakspotError) else f"{type(error).__name__}: "
    known = after if isinstance(after, _Ending) else _Ending(status="failed", result={})
    return _Ending(
        status="failed",
        result=known.result | {"error": f"{kind}{error}".rstrip(": ")},
        challenger=known.challenger,
    )


def _as_json(result: dict[str, Any]) -> dict[str, Any]:
    """Return `result` as Postgres can keep it: what is no number becomes null, the rest words."""
    return json.loads(json.dumps(result, default=str), parse_constant=lambda _: None)
