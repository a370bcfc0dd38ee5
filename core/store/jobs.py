"""The retrainings asked for, and what became of each.

A worker claims the job that has waited longest, under a lease that it renews by heartbeats. When a
worker falls silent its job is free again; the fence, which grows with each claim, refuses whatever
the silent one writes later. At most one job of a kind is queued or running.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError, StaleRunError

RETRAIN = "retrain"

Status = Literal["queued", "running", "promoted", "refused", "more images", "failed"]
Outcome = Literal["promoted", "refused", "more images", "failed"]

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB
_IN_FLIGHT = "status IN ('queued', 'running')"


class JobRow(SQLModel, table=True):
    """One retraining asked for."""

    __tablename__ = "jobs"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'promoted', 'refused', 'more images', 'failed')"
        ),
        sa.Index("jobs_one_in_flight", "kind", unique=True, postgresql_where=sa.text(_IN_FLIGHT)),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    kind: str
    labels: list[str] = Field(sa_type=_JSON)
    flag: int | None = Field(default=None, foreign_key="flags.id", sa_type=sa.BigInteger)
    reason: str
    requested_by: str
    requested_at: datetime = Field(sa_type=_TIMESTAMP)
    status: str
    worker: str | None = None
    fence: int = Field(sa_type=sa.BigInteger)
    attempts: int
    lease_until: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    started_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    finished_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    progress: dict[str, Any] = Field(sa_type=_JSON)
    parent: str | None = Field(default=None, foreign_key="versions.version")
    challenger: str | None = Field(default=None, foreign_key="versions.version")
    result: dict[str, Any] | None = Field(default=None, sa_type=_JSON)


@dataclass(frozen=True, slots=True)
class Job:
    """One retraining.

    Attributes:
        id: Its number.
        kind: `retrain`.
        labels: The weak classes it is aimed at.
        flag: The flag that asked for it; None when a person did.
        reason: Why, in words.
        requested_by: `monitor`, or a person's name.
        requested_at: When.
        status: `queued`, `running`, or how it ended.
        worker: Who claimed it last.
        fence: Grows with each claim.
        attempts: How often it was claimed.
        lease_until: When it is free again unless its worker is heard of.
        started_at: When it was claimed first.
        finished_at: When it ended.
        progress: `{"stage", "done", "total"}`, as far as it has come.
        parent: The champion it started from.
        challenger: The version it made; None before there is one.
        result: The gate's numbers, or why it failed.
    """

    id: int
    kind: str
    labels: list[str]
    flag: int | None
    reason: str
    requested_by: str
    requested_at: datetime
    status: Status
    worker: str | None
    fence: int
    attempts: int
    lease_until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    progress: dict[str, Any]
    parent: str | None
    challenger: str | None
    result: dict[str, Any] | None


# The unique index lets one of two requests at once win; the other finds that one's job.
_ENQUEUE = sa.text(f"""
    INSERT INTO jobs (kind, labels, flag, reason, requested_by, requested_at, status, fence,
                      attempts, progress)
    VALUES (:kind, :labels, :flag, :reason, :by, :now, 'queued', 0, 0, '{{}}')
        ON CONFLICT (kind) WHERE {_IN_FLIGHT} DO NOTHING
 RETURNING id
""").bindparams(sa.bindparam("labels", type_=JSONB))  # noqa: S608 - no value is spliced in

# SKIP LOCKED lets two workers claim side by side without waiting for each other.
_CLAIM_OLDEST = sa.text("""
    UPDATE jobs
       SET status = 'running', worker = :worker, fence = fence + 1, attempts = attempts + 1,
           started_at = coalesce(started_at, :now), lease_until = :until, progress = '{}'
     WHERE id = (SELECT id
                   FROM jobs
                  WHERE (status = 'queued' OR (status = 'running' AND lease_until < :now))
                    AND attempts < :max_attempts
                  ORDER BY requested_at, id
                  LIMIT 1
                    FOR UPDATE SKIP LOCKED)
 RETURNING id
""")

# A job that may not be tried again, though nobody works on it: its workers fell silent, or it was
# put back and the owner has lowered the number of tries. Left there, it would keep out all others.
_GIVE_UP = sa.text("""
    UPDATE jobs
       SET status = 'failed', finished_at = :now, lease_until = NULL,
           result = jsonb_build_object(
               'error', 'given up after ' || attempts || ' tries: '
                        || CASE status WHEN 'queued' THEN 'each was broken off'
                                       ELSE 'its workers fell silent' END
                        || ', the last one was ' || coalesce(worker, 'never named'))
     WHERE (status = 'queued' OR (status = 'running' AND lease_until < :now))
       AND attempts >= :max_attempts
""")

_HEARTBEAT = sa.text("""
    UPDATE jobs
       SET lease_until = :until, progress = :progress
     WHERE id = :id AND fence = :fence AND status = 'running'
""").bindparams(sa.bindparam("progress", type_=JSONB))

_FINISH = sa.text("""
    UPDATE jobs
       SET status = :status, finished_at = :now, result = :result, challenger = :challenger,
           parent = (SELECT parent FROM versions WHERE version = :challenger), lease_until = NULL
     WHERE id = :id AND fence = :fence AND status = 'running'
""").bindparams(sa.bindparam("result", type_=JSONB))

_GIVE_BACK = sa.text("""
    UPDATE jobs
       SET status = 'queued', attempts = attempts - :uncounted, lease_until = NULL,
           progress = '{}'
     WHERE id = :id AND fence = :fence AND status = 'running'
""")


def enqueue(
    connection: Connection,
    *,
    labels: list[str],
    reason: str,
    requested_by: str,
    now: datetime,
    flag: int | None = None,
) -> Job:
    """Ask for a retraining, and return it; the one in flight when there is one already."""
    values = {
        "kind": RETRAIN,
        "labels": labels,
        "flag": flag,
        "reason": reason,
        "by": requested_by,
        "now": now,
    }
    made = connection.execute(_ENQUEUE, values).scalar_one_or_none()
    job = in_flight(connection) if made is None else get(connection, made)
    # The one in flight may have ended between the two statements; then ours is wanted after all.
    return job or enqueue(
        connection, labels=labels, reason=reason, requested_by=requested_by, now=now, flag=flag
    )


def claim_oldest(
    connection: Connection, *, worker: str, now: datetime, lease_s: int, max_attempts: int
) -> Job | None:
    """Claim the job that has waited longest, or whose worker fell silent; None when none waits."""
    connection.execute(_GIVE_UP, {"now": now, "max_attempts": max_attempts})
    until = now + timedelta(seconds=lease_s)
    values = {"worker": worker, "now": now, "until": until, "max_attempts": max_attempts}
    claimed = connection.execute(_CLAIM_OLDEST, values).scalar_one_or_none()
    return None if claimed is None else get(connection, claimed)


def heartbeat(
    connection: Connection, job: Job, *, now: datetime, lease_s: int, progress: dict[str, Any]
) -> None:
    """Renew the lease and tell how far the job has come.

    Raises:
        StaleRunError: Another worker has taken the job over.
    """
    until = now + timedelta(seconds=lease_s)
    values = {"id": job.id, "fence": job.fence, "until": until, "progress": progress}
    _require_one(connection.execute(_HEARTBEAT, values).rowcount, job)


def require_fence(connection: Connection, job: Job) -> None:
    """Lock the job's row, so that what is written beside it is written by its holder.

    Raises:
        StaleRunError: Another worker has taken the job over.
    """
    statement = sa.select(col(JobRow.id)).where(
        col(JobRow.id) == job.id, col(JobRow.fence) == job.fence, col(JobRow.status) == "running"
    )
    _require_one(len(connection.execute(statement.with_for_update()).all()), job)


def finish(
    connection: Connection,
    job: Job,
    *,
    status: Outcome,
    result: dict[str, Any],
    now: datetime,
    challenger: str | None = None,
) -> None:
    """Write down how the job ended; its parent is that of the challenger it made.

    Raises:
        StaleRunError: Another worker has taken the job over.
    """
    values = {
        "id": job.id,
        "fence": job.fence,
        "status": status,
        "result": result,
        "now": now,
        "challenger": challenger,
    }
    _require_one(connection.execute(_FINISH, values).rowcount, job)


def give_back(connection: Connection, job: Job, *, counted: bool = False) -> bool:
    """Put a claimed job back into the queue; say whether it was still this worker's to give.

    Args:
        connection: Where the job is.
        job: As it was claimed.
        counted: Whether the try counts: not for a worker that is told to stop, but for one that
            met an obstacle and hopes for better luck.
    """
    values = {"id": job.id, "fence": job.fence, "uncounted": 0 if counted else 1}
    return connection.execute(_GIVE_BACK, values).rowcount == 1


def get(connection: Connection, job: int) -> Job:
    """Return one job.

    Raises:
        NotFoundError: There is none of that number.
    """
    row = connection.execute(_JOBS.where(col(JobRow.id) == job)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job}")
    return Job(*row)


def in_flight(connection: Connection) -> Job | None:
    """Return the job that is queued or running; None when none is."""
    statement = _JOBS.where(col(JobRow.status).in_(["queued", "running"]))
    row = connection.execute(statement.order_by(col(JobRow.id)).limit(1)).one_or_none()
    return None if row is None else Job(*row)


def last_for_label(connection: Connection, label: str) -> Job | None:
    """Return the latest job aimed at a class; None when there was none."""
    statement = _JOBS.where(sa.cast(col(JobRow.labels), JSONB).contains([label]))
    row = connection.execute(statement.order_by(col(JobRow.id).desc()).limit(1)).one_or_none()
    return None if row is None else Job(*row)


def latest(connection: Connection, limit: int = 100) -> list[Job]:
    """Return the latest jobs, the newest first."""
    statement = _JOBS.order_by(col(JobRow.id).desc()).limit(limit)
    return [Job(*row) for row in connection.execute(statement)]


def _require_one(touched: int, job: Job) -> None:
    if touched != 1:
        raise StaleRunError(f"job {job.id} was taken over by another worker; nothing was written")


_JOBS = sa.select(*[getattr(JobRow, name) for name in Job.__dataclass_fields__])
