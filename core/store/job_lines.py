"""Jobs as lists and pages show them: nothing that grows with the classes or with the queue.

What the gate said of 2,500 classes is half a megabyte a job, and stays in Postgres. Who works
with a job reads core.store.jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from core.store.job_rows import Status

MOST_LABELS = 4
MOST_REASONS = 5
MOST_TRIES = 10


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job in a list.

    Attributes:
        id: Its number.
        kind: `retrain` or `train`.
        labels: The first classes that a retraining is aimed at.
        n_labels: How many there are.
        backbone: What a training begins from; empty for a retraining.
        reason: Why it was asked for.
        requested_by: `monitor`, or a person's name.
        requested_at: When.
        status: `queued`, `running`, or how it ended.
        worker: Who claimed it last.
        lease_until: It has been heard of, unless this has passed.
        tries: How often it was claimed.
        started_at: When it was claimed first.
        finished_at: When it ended.
        stage: What it is at; empty before and after.
        done: How far it is in that.
        total: Of how much; 0 where nobody can tell.
        last_pass: The last whole pass, as `jobs.Job.progress` has it; None before the first.
        challenger: The version it made; None before there is one.
        parent: The champion that one began from.
        group_id: Number of the first job of its group; None alone.
        cancelled_by: Who asked for its end.
        error: Why it failed; empty when it did not.
        reasons: The first of the gate's reasons.
        n_reasons: How many there are.
    """

    id: int
    kind: str
    labels: list[str]
    n_labels: int
    backbone: str
    reason: str
    requested_by: str
    requested_at: datetime
    status: Status
    worker: str | None
    lease_until: datetime | None
    tries: int
    started_at: datetime | None
    finished_at: datetime | None
    stage: str
    done: int
    total: int
    last_pass: dict[str, Any] | None
    challenger: str | None
    parent: str | None
    group_id: int | None
    cancelled_by: str | None
    error: str
    reasons: list[str]
    n_reasons: int

    def is_silent(self, now: datetime) -> bool:
        """Say whether it is under way and its worker has not been heard of in time."""
        return self.status == "running" and self.lease_until is not None and self.lease_until < now


@dataclass(frozen=True, slots=True)
class JobCourse:
    """How one job went.

    Attributes:
        line: The job.
        passes: Its passes so far, in order, as `jobs.Job.progress` has them.
        tries: The last of its tries, the oldest first.
    """

    line: JobLine
    passes: list[dict[str, Any]]
    tries: list[dict[str, Any]]


_COLUMNS = f"""
    id, kind, jsonb_path_query_array(labels, '$[0 to {MOST_LABELS - 1}]') AS labels,
    jsonb_array_length(labels) AS n_labels,
    left(coalesce(payload ->> 'backbone', ''), 300) AS backbone, left(reason, 500) AS reason,
    requested_by, requested_at, status, worker, lease_until,
    jsonb_array_length(tries) AS n_tries, started_at, finished_at,
    coalesce(progress ->> 'stage', '') AS stage,
    coalesce((progress ->> 'done')::bigint, 0) AS done,
    coalesce((progress ->> 'total')::bigint, 0) AS total,
    progress -> 'epochs' -> -1 AS last_pass, challenger, parent, group_id, cancelled_by,
    left(coalesce(result ->> 'error', ''), 2000) AS error,
    jsonb_path_query_array(coalesce(result, '{{}}'), '$.gate.reasons[0 to {MOST_REASONS - 1}]')
        AS reasons,
    jsonb_path_query_array(coalesce(result, '{{}}'), '$.gate.reasons.size()') -> 0 AS n_reasons
"""

# What is in flight is in the list however old it is; of what has ended, the latest.
_LATEST = sa.text(f"""
   (SELECT {_COLUMNS}
      FROM jobs
     WHERE status IN ('queued', 'running')
     ORDER BY status = 'running' DESC, priority DESC, requested_at, id
     LIMIT :most)
 UNION ALL
   (SELECT {_COLUMNS}
      FROM jobs
     WHERE status NOT IN ('queued', 'running')
     ORDER BY finished_at DESC NULLS LAST, id DESC
     LIMIT :most)
""")  # noqa: S608 - no value is spliced in

_COUNT = sa.text("SELECT status, count(*) AS n FROM jobs GROUP BY status")

_COURSE = sa.text(f"""
    SELECT {_COLUMNS},
           coalesce(progress -> 'epochs', '[]') AS passes, tries
      FROM jobs
     WHERE id = :id
""")  # noqa: S608 - no value is spliced in


def latest(connection: Connection, most: int) -> list[JobLine]:
    """Return what runs, what waits in the order of its turn, and what ended, the latest first.

    Args:
        connection: Where the queue is.
        most: At most so many that have not ended, and as many that have.
    """
    return [_line(row) for row in connection.execute(_LATEST, {"most": most})]


def count(connection: Connection) -> dict[str, int]:
    """Return how many jobs there are of each status."""
    return {row.status: row.n for row in connection.execute(_COUNT)}


def course(connection: Connection, job: int) -> JobCourse | None:
    """Return how a job went; None where there is none of that number."""
    row = connection.execute(_COURSE, {"id": job}).one_or_none()
    return None if row is None else JobCourse(_line(row), row.passes, row.tries[-MOST_TRIES:])


def _line(row: Any) -> JobLine:
    return JobLine(
        id=row.id,
        kind=row.kind,
        labels=row.labels,
        n_labels=row.n_labels,
        backbone=row.backbone,
        reason=row.reason,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        status=row.status,
        worker=row.worker,
        lease_until=row.lease_until,
        tries=row.n_tries,
        started_at=row.started_at,
        finished_at=row.finished_at,
        stage=row.stage,
        done=row.done,
        total=row.total,
        last_pass=row.last_pass,
        challenger=row.challenger,
        parent=row.parent,
        group_id=row.group_id,
        cancelled_by=row.cancelled_by,
        error=row.error,
        reasons=row.reasons,
        n_reasons=row.n_reasons or 0,
    )
