"""The queue of jobs, as tests put it to work: asked, claimed, ended, at moments after NOW."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from core.store import jobs
from core.store.database import transaction
from core.store.jobs import Job, Outcome

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
LEASE_S = 60


def at(seconds: float) -> datetime:
    """The moment so many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def ask(engine: Engine, labels: Sequence[str] = ("Spider",), now: datetime = NOW) -> Job:
    """Ask for a retraining."""
    with transaction(engine) as connection:
        return jobs.enqueue(
            connection, labels=list(labels), reason="weak", requested_by="monitor", now=now
        )


def claim(
    engine: Engine, worker: str = "a", now: datetime = NOW, max_attempts: int = 3
) -> Job | None:
    """Claim the next job as a worker does; None when there is none."""
    with transaction(engine) as connection:
        return jobs.claim_oldest(
            connection, worker=worker, now=now, lease_s=LEASE_S, max_attempts=max_attempts
        )


def claimed(engine: Engine, worker: str = "a", now: datetime = NOW) -> Job:
    """Claim the next job; there is one."""
    job = claim(engine, worker, now)
    assert job is not None
    return job


def beat(engine: Engine, job: Job, now: datetime) -> str | None:
    """Report some progress; gives who wants the job cancelled."""
    progress = {"stage": "fitting", "done": 1, "total": 3}
    with transaction(engine) as connection:
        return jobs.heartbeat(connection, job, now=now, lease_s=LEASE_S, progress=progress)


def ask_group(engine: Engine, configs: list[dict[str, Any]]) -> list[Job]:
    """Ask for a training of each configuration."""
    with transaction(engine) as connection:
        return jobs.enqueue_group(
            connection, configs=configs, reason="a grid", requested_by="ann", now=NOW
        )


def cancel(engine: Engine, job: Job, now: datetime = NOW + timedelta(seconds=5)) -> Job:
    """Cancel a job as ann does."""
    with transaction(engine) as connection:
        return jobs.cancel(connection, job.id, by="ann", now=now)


def finish(engine: Engine, job: Job, status: Outcome = "refused") -> None:
    """End a job half a minute after NOW."""
    with transaction(engine) as connection:
        jobs.finish(connection, job, status=status, result={"n": 1}, now=at(30))


def stored(engine: Engine, job: Job) -> Job:
    """Read a job again."""
    with transaction(engine) as connection:
        return jobs.get(connection, job.id)


def clear(engine: Engine) -> None:
    """Take every job, flag and deed away: quicker than a new database."""
    with transaction(engine) as connection:
        connection.exec_driver_sql("TRUNCATE jobs, flags, audit CASCADE")
