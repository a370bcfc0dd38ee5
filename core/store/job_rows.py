"""A job as Postgres keeps it: the table, one row of it, and finding it again.

Two kinds of work wait in the one queue: retrainings of the champion for weak classes, and
trainings of a version of its own, one by one or as a group. core.store.jobs is the queue,
core.store.job_desk what people ask of it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError

RETRAIN = "retrain"
TRAIN = "train"
KINDS = (RETRAIN, TRAIN)
# In a retraining's payload: the job whose challenger the gate is to look at again.
LOOK_AGAIN = "look_again"

# What waits is done in this order; of two alike, the older.
BY_ALERT, BY_HAND = 10, 0

Status = Literal[
    "queued", "running", "promoted", "refused", "more images", "trained", "failed", "cancelled"
]
Outcome = Literal["promoted", "refused", "more images", "trained", "failed", "cancelled"]

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB
IN_FLIGHT = "status IN ('queued', 'running')"


class JobRow(SQLModel, table=True):
    """One piece of training asked for."""

    __tablename__ = "jobs"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'promoted', 'refused', 'more images', 'trained', "
            "'failed', 'cancelled')"
        ),
        sa.Index("jobs_one_per_cause", "cause", unique=True, postgresql_where=sa.text(IN_FLIGHT)),
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
    cause: str | None = None
    priority: int
    group_id: int | None = Field(default=None, foreign_key="jobs.id", sa_type=sa.BigInteger)
    payload: dict[str, Any] = Field(sa_type=_JSON)
    tries: list[dict[str, Any]] = Field(sa_type=_JSON)
    cancelled_by: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One retraining, or one training.

    Attributes:
        id: Its number.
        kind: `retrain` or `train`.
        labels: The weak classes that a retraining is aimed at.
        flag: The flag that asked for it; None when a person did.
        reason: Why, in words.
        requested_by: `monitor`, or a person's name.
        requested_at: When.
        status: `queued`, `running`, or how it ended.
        worker: Who claimed it last.
        fence: Grows with each claim.
        attempts: How many of its tries count; `retry` begins at 0 again.
        lease_until: When it is free again unless its worker is heard of.
        started_at: When it was claimed first.
        finished_at: When it ended.
        progress: `{"stage", "done", "total", "epochs"}`, as far as it has come; each epoch with
            its number, losses and accuracy.
        parent: The champion it started from.
        challenger: The version it made; None before there is one.
        result: The gate's numbers, or why it failed.
        cause: What it is about: of one cause at most one job is queued or running. None for
            trainings, of which any number may wait.
        priority: The larger is done first; of two alike, the older.
        group_id: Number of the first job of the group it was asked for with; None alone.
        payload: What it works from: a training's configuration, or what a retraining's alert
            knew.
        tries: `{"worker", "started_at", "ended_at", "stage", "why"}` for each claim, the oldest
            first; the last two are there once it has ended.
        cancelled_by: Who asked for its end; None when nobody did.
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
    cause: str | None = None
    priority: int = BY_HAND
    group_id: int | None = None
    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    tries: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    cancelled_by: str | None = None


JOBS = sa.select(*[getattr(JobRow, name) for name in Job.__dataclass_fields__])
RETRAININGS = JOBS.where(col(JobRow.kind) == RETRAIN)


def get(connection: Connection, job: int) -> Job:
    """Return one job.

    Raises:
        NotFoundError: There is none of that number.
    """
    row = connection.execute(JOBS.where(col(JobRow.id) == job)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job}; see: weakspot jobs list")
    return Job(*row)


def in_flight(connection: Connection) -> Job | None:
    """Return the first retraining that is queued or running; None when none is."""
    statement = RETRAININGS.where(sa.text(IN_FLIGHT)).order_by(col(JobRow.id)).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Job(*row)


def last_for_label(connection: Connection, label: str) -> Job | None:
    """Return the latest job aimed at a class; None when there was none."""
    statement = JOBS.where(sa.cast(col(JobRow.labels), JSONB).contains([label]))
    row = connection.execute(statement.order_by(col(JobRow.id).desc()).limit(1)).one_or_none()
    return None if row is None else Job(*row)


def of_challenger(connection: Connection, challenger: str) -> Job | None:
    """Return the job that made a version; None where it was trained by hand."""
    statement = JOBS.where(col(JobRow.challenger) == challenger).order_by(col(JobRow.id).desc())
    row = connection.execute(statement.limit(1)).one_or_none()
    return None if row is None else Job(*row)


# Of each class its last job alone counts, as in last_for_label.
_WAITING_BY_HAND = sa.text("""
    SELECT id
      FROM jobs AS j
     WHERE kind = 'retrain'
       AND status = 'more images'
       AND flag IS NULL
       AND EXISTS (SELECT
                     FROM jsonb_array_elements_text(j.labels) AS own (label)
                    WHERE NOT EXISTS (SELECT
                                        FROM jobs AS later
                                       WHERE later.id > j.id
                                         AND later.labels ? own.label))
     ORDER BY id
""")


def waiting_by_hand(connection: Connection) -> list[Job]:
    """Return the retrainings that no flag asked for and that wait for images, the oldest first."""
    found = connection.execute(_WAITING_BY_HAND).scalars().all()
    return [get(connection, job) for job in found]


# What grows with the classes and the passes: half a megabyte a job with 2,500 classes.
_LEFT_OUT: dict[str, Any] = {"progress": {}, "result": None, "payload": {}, "tries": []}
_BARE = sa.select(
    *[
        sa.literal(_LEFT_OUT[name], JSONB(none_as_null=True)).label(name)
        if name in _LEFT_OUT
        else getattr(JobRow, name)
        for name in Job.__dataclass_fields__
    ]
).where(col(JobRow.kind) == RETRAIN)


def latest(
    connection: Connection, limit: int = 100, *, label: str | None = None, bare: bool = False
) -> list[Job]:
    """Return the latest retrainings, the newest first.

    Args:
        connection: Where the queue is.
        limit: At most so many.
        label: Only those aimed at this class; None for all.
        bare: Leave out how far they have come, what they work from and what came of them.
    """
    statement = (_BARE if bare else RETRAININGS).order_by(col(JobRow.id).desc()).limit(limit)
    if label is not None:
        statement = statement.where(sa.cast(col(JobRow.labels), JSONB).contains([label]))
    return [Job(*row) for row in connection.execute(statement)]


def some(connection: Connection, numbers: Collection[int]) -> list[Job]:
    """Return the retrainings of some numbers, the oldest first, bare; about a thousand at most."""
    statement = _BARE.where(col(JobRow.id).in_(numbers)).order_by(col(JobRow.id))
    return [Job(*row) for row in connection.execute(statement)]
