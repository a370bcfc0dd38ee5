"""A worker in this process, the work it is given, and the jobs it takes."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from core.clock import Clock, FixedClock
from core.store import jobs
from core.store.database import transaction
from core.store.jobs import Job
from trainer.fitting.passes import Epoch
from trainer.pipeline import RetrainOutcome
from trainer.worker import Worker

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
LEASE_S = 60
REFUSED = RetrainOutcome(None, None, "refused", {"gate": {"passed": False}})

Progress = Callable[[str, int, int], None]
Work = Callable[[Job, Progress], RetrainOutcome]
PASS = Epoch(1, 3, 0.5, math.inf, 0.75, 1e-3, 2.0)


def worker_of(
    engine: Engine, folder: Path, work: Work, *, clock: Clock | None = None, lease_s: int = LEASE_S
) -> Worker:
    """Return a worker whose retrainings are this work."""

    def retrain(engine: Engine, job: Job, **named: Any) -> RetrainOutcome:
        del engine  # named as whoever calls it names it
        return work(job, named["on_progress"])

    return Worker(
        engine,
        options=None,
        lease_s=lease_s,
        max_attempts=2,
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=clock or FixedClock(NOW),
        name="worker",
        work={"retrain": retrain},
    )


def ask(engine: Engine, now: datetime = NOW) -> Job:
    """Ask for a retraining of Spider."""
    with transaction(engine) as connection:
        return jobs.enqueue(
            connection, labels=["Spider"], reason="weak", requested_by="monitor", now=now
        )


def stored(engine: Engine, job: Job) -> Job:
    """Return the job as it stands."""
    with transaction(engine) as connection:
        return jobs.get(connection, job.id)


def cancel(engine: Engine, job: Job) -> None:
    """Cancel a job, as Ann."""
    with transaction(engine) as connection:
        jobs.cancel(connection, job.id, by="ann", now=NOW)


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until that is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def raising(error: BaseException) -> Work:
    """Return work that fails so."""

    def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
        raise error

    return work
