"""A worker's side of the queue: claimed under a lease, kept by heartbeats, ended once.

The next job is that of the highest priority that has waited longest. When a worker falls silent
its job is free again; the fence, which grows with each claim, refuses whatever the silent one
writes later. Of all retrainings one runs at a time: each begins from the champion that the one
before it may have made. Trainings run beside them and beside each other, one a worker.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from core.errors import StaleRunError
from core.store.job_rows import KINDS, Job, JobRow, Outcome, get

# The last try, as it ended: the stage is the one last heard of.
_TRY_ENDED = """jsonb_set(tries, '{{-1}}', coalesce(tries -> -1, '{{}}') || jsonb_build_object(
               'ended_at', to_jsonb(CAST(:now AS timestamptz)),
               'stage', progress ->> 'stage',
               'why', {why}))"""
# A stage says where a try broke off; one that came to something did not.
_TRY_CAME_TO = _TRY_ENDED.replace(
    "progress ->> 'stage'",
    "CASE WHEN :status IN ('failed', 'cancelled') THEN progress ->> 'stage' END",
).format(why="coalesce(CAST(:result AS jsonb) ->> 'error', :status)")
_FELL_SILENT = _TRY_ENDED.format(why="'its worker fell silent'")
# What is known of epochs outlives a try: the next one may go on after them.
_ONLY_EPOCHS = "progress - 'stage' - 'done' - 'total'"

# Only who has this lock may take a retraining, so that of two claims at once one sees the other.
_MAY_RETRAIN = sa.text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended('weakspot: one retraining', 0))"
)

# SKIP LOCKED lets two workers claim side by side without waiting for each other.
_CLAIM_NEXT = sa.text(f"""
    UPDATE jobs
       SET status = 'running', worker = :worker, fence = fence + 1, attempts = attempts + 1,
           started_at = coalesce(started_at, :now), lease_until = :until,
           progress = {_ONLY_EPOCHS},
           tries = CASE status WHEN 'running' THEN {_FELL_SILENT}
                               ELSE tries END
                   || jsonb_build_array(jsonb_build_object(
                          'worker', CAST(:worker AS text),
                          'started_at', to_jsonb(CAST(:now AS timestamptz))))
     WHERE id = (SELECT id
                   FROM jobs
                  WHERE (status = 'queued' OR (status = 'running' AND lease_until < :now))
                    AND attempts < :max_attempts
                    AND cancelled_by IS NULL
                    AND kind = ANY(:kinds)
                    AND (kind <> 'retrain' OR (:may_retrain AND NOT EXISTS (
                            SELECT FROM jobs AS other
                             WHERE other.kind = 'retrain' AND other.status = 'running'
                               AND other.lease_until >= :now)))
                  ORDER BY priority DESC, requested_at, id
                  LIMIT 1
                    FOR UPDATE SKIP LOCKED)
 RETURNING id
""")  # noqa: S608 - no value is spliced in

# A job that may not be tried again, though nobody works on it: its workers fell silent, or it was
# put back and the owner has lowered the number of tries. Left there, it would keep out all others.
# Likewise one that was to be cancelled by a worker that fell silent.
_GIVE_UP = sa.text(f"""
    UPDATE jobs
       SET status = CASE WHEN cancelled_by IS NULL THEN 'failed' ELSE 'cancelled' END,
           finished_at = :now, lease_until = NULL,
           tries = CASE status WHEN 'running' THEN {_FELL_SILENT}
                               ELSE tries END,
           result = jsonb_build_object('error', CASE
               WHEN cancelled_by IS NOT NULL THEN 'cancelled by ' || cancelled_by
               WHEN status = 'queued' THEN 'given up after ' || attempts || ' tries: '
                   || coalesce(tries -> -1 ->> 'why', 'broken off')
               ELSE 'given up after ' || attempts || ' tries: its workers fell silent, '
                   || coalesce(worker, 'the last') || ' while '
                   || coalesce(progress ->> 'stage', 'beginning') END)
     WHERE (status = 'queued' OR (status = 'running' AND lease_until < :now))
       AND (attempts >= :max_attempts OR cancelled_by IS NOT NULL)
""")  # noqa: S608 - no value is spliced in

_HEARTBEAT = sa.text("""
    UPDATE jobs
       SET lease_until = :until, progress = :progress
     WHERE id = :id AND fence = :fence AND status = 'running'
 RETURNING cancelled_by
""").bindparams(sa.bindparam("progress", type_=JSONB))

_FINISH = sa.text(f"""
    UPDATE jobs
       SET status = :status, finished_at = :now, result = :result, lease_until = NULL,
           challenger = coalesce(:challenger, challenger),
           parent = coalesce(
               (SELECT parent
                  FROM versions
                 WHERE version = coalesce(:challenger, challenger)),
               (SELECT version
                  FROM versions
                 WHERE version = CAST(:result AS jsonb) ->> 'champion')),
           tries = {_TRY_CAME_TO},
           progress = {_ONLY_EPOCHS}
     WHERE id = :id AND fence = :fence AND status = 'running'
""").bindparams(sa.bindparam("result", type_=JSONB))  # noqa: S608 - no value is spliced in

_GIVE_BACK = sa.text(f"""
    UPDATE jobs
       SET status = 'queued', attempts = attempts - :uncounted, lease_until = NULL,
           tries = {_TRY_ENDED.format(why="CAST(:why AS text)")},
           progress = {_ONLY_EPOCHS}
     WHERE id = :id AND fence = :fence AND status = 'running'
""")  # noqa: S608 - no value is spliced in


def claim_oldest(
    connection: Connection,
    *,
    worker: str,
    now: datetime,
    lease_s: int,
    max_attempts: int,
    kinds: Sequence[str] = KINDS,
) -> Job | None:
    """Claim the next job: of the highest priority the oldest; None when none waits.

    A job whose worker fell silent waits, too.

    Args:
        connection: Where the queue is.
        worker: Who claims.
        now: The present moment.
        lease_s: The job is free again when its worker is silent for so long.
        max_attempts: A job that was tried so often has failed.
        kinds: What the worker takes.
    """
    connection.execute(_GIVE_UP, {"now": now, "max_attempts": max_attempts})
    values = {
        "worker": worker,
        "now": now,
        "until": now + timedelta(seconds=lease_s),
        "max_attempts": max_attempts,
        "kinds": list(kinds),
        "may_retrain": connection.execute(_MAY_RETRAIN).scalar_one(),
    }
    claimed = connection.execute(_CLAIM_NEXT, values).scalar_one_or_none()
    return None if claimed is None else get(connection, claimed)


def heartbeat(
    connection: Connection, job: Job, *, now: datetime, lease_s: int, progress: dict[str, Any]
) -> str | None:
    """Renew the lease and tell how far the job has come; return who wants it cancelled, if any.

    Raises:
        StaleRunError: Another worker has taken the job over.
    """
    until = now + timedelta(seconds=lease_s)
    values = {"id": job.id, "fence": job.fence, "until": until, "progress": progress}
    row = connection.execute(_HEARTBEAT, values).one_or_none()
    _require_one(row is not None, job)
    return None if row is None else row.cancelled_by


def require_fence(connection: Connection, job: Job) -> str | None:
    """Lock the job's row, so that what is written beside it is written by its holder.

    Returns:
        Who wants it cancelled; None when nobody does.

    Raises:
        StaleRunError: Another worker has taken the job over.
    """
    statement = sa.select(col(JobRow.cancelled_by)).where(
        col(JobRow.id) == job.id, col(JobRow.fence) == job.fence, col(JobRow.status) == "running"
    )
    row = connection.execute(statement.with_for_update()).one_or_none()
    _require_one(row is not None, job)
    return None if row is None else row.cancelled_by


def note_challenger(connection: Connection, job: Job, challenger: str) -> None:
    """Write down the version that the job has made, in the transaction that registers it.

    Raises:
        StaleRunError: Another worker has taken the job over.
    """
    require_fence(connection, job)
    statement = sa.update(JobRow).where(col(JobRow.id) == job.id).values(challenger=challenger)
    connection.execute(statement)


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
    _require_one(connection.execute(_FINISH, values).rowcount == 1, job)


def give_back(
    connection: Connection, job: Job, *, now: datetime, why: str, counted: bool = False
) -> bool:
    """Put a claimed job back into the queue; say whether it was still this worker's to give.

    Args:
        connection: Where the queue is.
        job: As it was claimed.
        now: The present moment.
        why: Kept with the try.
        counted: Whether the try counts: not for a worker that is told to stop, but for one that
            met an obstacle and hopes for better luck.
    """
    uncounted = 0 if counted else 1
    values = {"id": job.id, "fence": job.fence, "uncounted": uncounted, "now": now, "why": why}
    return connection.execute(_GIVE_BACK, values).rowcount == 1


def _require_one(is_ours: bool, job: Job) -> None:
    if not is_ours:
        raise StaleRunError(f"job {job.id} was taken over by another worker; nothing was written")
