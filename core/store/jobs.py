"""The queue of jobs: what programs and people ask of it.

Of one cause at most one job is queued or running. What a worker does with the queue is in
core.store.job_leases, the table in core.store.job_rows; all of it can be had from here.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, exc
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from core.errors import ConflictError, UsageError
from core.store import audit
from core.store.job_leases import (
    claim_oldest,
    finish,
    give_back,
    heartbeat,
    note_challenger,
    require_fence,
)
from core.store.job_rows import (
    BY_ALERT,
    BY_HAND,
    IN_FLIGHT,
    JOBS,
    KINDS,
    RETRAIN,
    RETRAININGS,
    TRAIN,
    Job,
    JobRow,
    Outcome,
    Status,
    get,
    in_flight,
    last_for_label,
    latest,
)

__all__ = [
    "KINDS",
    "RETRAIN",
    "TRAIN",
    "Job",
    "Outcome",
    "Status",
    "cancel",
    "claim_oldest",
    "enqueue",
    "enqueue_group",
    "find",
    "finish",
    "get",
    "give_back",
    "heartbeat",
    "in_flight",
    "last_for_label",
    "latest",
    "note_challenger",
    "passed_gate",
    "require_fence",
    "retry",
]

# The unique index lets one of two requests at once win; the other finds that one's job.
_ENQUEUE = sa.text(f"""
    INSERT INTO jobs (kind, labels, flag, reason, requested_by, requested_at, status, fence,
                      attempts, progress, cause, priority, group_id, payload, tries)
    VALUES (:kind, :labels, :flag, :reason, :by, :now, 'queued', 0, 0, '{{}}', :cause, :priority,
            :group_id, :payload, '[]')
        ON CONFLICT (cause) WHERE {IN_FLIGHT} DO NOTHING
 RETURNING id
""").bindparams(  # noqa: S608 - no value is spliced in
    sa.bindparam("labels", type_=JSONB), sa.bindparam("payload", type_=JSONB)
)

# A job whose worker is silent has nobody left to hear of it.
_CANCEL = sa.text("""
    UPDATE jobs
       SET cancelled_by = coalesce(cancelled_by, :by),
           status = CASE WHEN status = 'queued' OR lease_until < :now THEN 'cancelled'
                         ELSE status END,
           finished_at = CASE WHEN status = 'queued' OR lease_until < :now THEN :now END,
           result = CASE WHEN status = 'queued' OR lease_until < :now
                         THEN jsonb_build_object('error', 'cancelled by ' || CAST(:by AS text)) END
     WHERE id = :id AND status IN ('queued', 'running')
""")

_RETRY = sa.text("""
    UPDATE jobs
       SET status = 'queued', attempts = 0, result = NULL, finished_at = NULL, lease_until = NULL,
           cancelled_by = NULL
     WHERE id = :id AND status IN ('failed', 'cancelled')
""")


def enqueue(  # noqa: PLR0913 - each named by its caller
    connection: Connection,
    *,
    labels: Sequence[str],
    reason: str,
    requested_by: str,
    now: datetime,
    flag: int | None = None,
    cause: str | None = None,
    payload: dict[str, Any] | None = None,
) -> Job:
    """Ask for a retraining, and return it; the one in flight for the same cause if there is one.

    Args:
        connection: Where the queue is.
        labels: The weak classes.
        reason: Why, in words.
        requested_by: `monitor`, or a person's name.
        now: The present moment.
        flag: The flag that asks; such a job goes before what people ask for.
        cause: What it is about; None takes the classes. A job in flight that is aimed at all of
            these classes is of the same cause, too.
        payload: What its alert knew.
    """
    about = cause or f"{RETRAIN} {json.dumps(sorted(set(labels)), ensure_ascii=False)}"
    values = {
        "kind": RETRAIN,
        "labels": list(labels),
        "flag": flag,
        "reason": reason,
        "by": requested_by,
        "now": now,
        "cause": about,
        "priority": BY_HAND if flag is None else BY_ALERT,
        "group_id": None,
        "payload": payload or {},
    }
    while (job := _of_cause(connection, about, labels)) is None:
        made = connection.execute(_ENQUEUE, values).scalar_one_or_none()
        # The one that was in the way may have ended since; then ours is wanted after all.
        if made is not None:
            job = get(connection, made)
            if flag is None:
                detail = {"labels": job.labels, "reason": reason}
                _record(
                    connection,
                    job.id,
                    "ask for a retraining",
                    by=requested_by,
                    now=now,
                    detail=detail,
                )
            return job
    return job


def enqueue_group(
    connection: Connection,
    *,
    configs: Sequence[dict[str, Any]],
    reason: str,
    requested_by: str,
    now: datetime,
) -> list[Job]:
    """Ask for a training of each configuration, and return them; they are one group.

    Args:
        connection: Where the queue is.
        configs: Of the runs, as JSON: the fields of `trainer.config.RunConfig` by name.
        reason: Why, in words.
        requested_by: A person's name.
        now: The present moment.

    Raises:
        UsageError: There is no configuration.
    """
    if not configs:
        raise UsageError("a group needs one configuration at least")
    made: list[int] = []
    for config in configs:
        values: dict[str, Any] = {
            "kind": TRAIN,
            "labels": [],
            "flag": None,
            "reason": reason,
            "by": requested_by,
            "now": now,
            "cause": None,
            "priority": BY_HAND,
            "group_id": None,
            "payload": config,
        }
        made.append(connection.execute(_ENQUEUE, values).scalar_one())
    update = sa.update(JobRow).where(col(JobRow.id).in_(made)).values(group_id=made[0])
    connection.execute(update)
    detail = {"jobs": made, "reason": reason}
    _record(connection, made[0], "ask for trainings", by=requested_by, now=now, detail=detail)
    return [get(connection, job) for job in made]


def cancel(connection: Connection, job: int, *, by: str, now: datetime) -> Job:
    """End a job that waits; one that is under way ends when its worker next reports.

    Args:
        connection: Where the queue is.
        job: Its number.
        by: Who wants it.
        now: The present moment.

    Raises:
        NotFoundError: There is none of that number.
        ConflictError: It has ended.
    """
    if not connection.execute(_CANCEL, {"id": job, "by": by, "now": now}).rowcount:
        ended = get(connection, job)
        raise ConflictError(f"job {job} has ended: {ended.status}")
    found = get(connection, job)
    _record(connection, job, "cancel", by=by, now=now, detail={"status": found.status})
    return found


def retry(connection: Connection, job: int, *, by: str, now: datetime) -> Job:
    """Put a job that failed or was cancelled back into the queue, with all its tries.

    Args:
        connection: Where the queue is.
        job: Its number.
        by: Who wants it.
        now: The present moment.

    Raises:
        NotFoundError: There is none of that number.
        ConflictError: It neither failed nor was cancelled, or its cause has another job in flight.
    """
    before = get(connection, job)
    try:
        again = connection.execute(_RETRY, {"id": job}).rowcount
    except exc.IntegrityError as error:
        raise ConflictError(
            f"another job for the cause of job {job} is queued or running; see: weakspot jobs list"
        ) from error
    if not again:
        raise ConflictError(
            f"job {job} is {before.status}; only one that failed or was cancelled is tried again"
        )
    _record(connection, job, "retry", by=by, now=now, detail={"before": before.status})
    return get(connection, job)


def find(
    connection: Connection,
    limit: int = 100,
    *,
    status: Status | None = None,
    kind: str | None = None,
    group_id: int | None = None,
    before: int | None = None,
) -> list[Job]:
    """Return jobs of any kind, the newest first.

    Args:
        connection: Where the queue is.
        limit: At most so many.
        status: Only those.
        kind: Only those.
        group_id: Only those of this group.
        before: Only those with smaller numbers.
    """
    statement = JOBS
    for column, value in (("status", status), ("kind", kind), ("group_id", group_id)):
        if value is not None:
            statement = statement.where(getattr(JobRow, column) == value)
    if before is not None:
        statement = statement.where(col(JobRow.id) < before)
    rows = connection.execute(statement.order_by(col(JobRow.id).desc()).limit(limit))
    return [Job(*row) for row in rows]


def passed_gate(connection: Connection, challenger: str, champion: str) -> bool:
    """Say whether a version has passed the gate against a champion."""
    statement = sa.select(col(JobRow.id)).where(
        col(JobRow.challenger) == challenger,
        sa.cast(col(JobRow.result), JSONB).contains(
            {"champion": champion, "gate": {"passed": True}}
        ),
    )
    return connection.execute(statement.limit(1)).one_or_none() is not None


def _of_cause(connection: Connection, cause: str, labels: Sequence[str]) -> Job | None:
    """Return the retraining in flight that is of this cause or aimed at all of these classes."""
    aimed = sa.cast(col(JobRow.labels), JSONB).contains(list(labels))
    statement = RETRAININGS.where(sa.text(IN_FLIGHT), sa.or_(col(JobRow.cause) == cause, aimed))
    row = connection.execute(statement.order_by(col(JobRow.id)).limit(1)).one_or_none()
    return None if row is None else Job(*row)


def _record(
    connection: Connection, job: int, action: str, *, by: str, now: datetime, detail: dict[str, Any]
) -> None:
    audit.record(connection, now=now, by=by, action=action, subject=f"job {job}", detail=detail)
