"""What happened, in the order of days: which rows tell of it, page by page.

An event is told by one moment of one row: a promotion, a flag raised or closed, an alert about no
class raised or resolved, a retraining, a run of the monitor that failed. Days that nobody examined
have no row; they take their places between the others as `Source.MISSED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

import sqlalchemy as sa

from core.store import due, registry
from core.store.job_rows import RETRAIN

if TYPE_CHECKING:
    from sqlalchemy import Connection

Kind = Literal["deployment", "alert", "recovery", "retraining", "failure", "missed"]


class Source(IntEnum):
    """Which moment of which row; of events of the same moment the larger is told first."""

    MISSED = 0
    RUN = 1
    JOB = 2
    NOTICE_OVER = 3
    NOTICE = 4
    FLAG_CLOSED = 5
    FLAG = 6
    MOVE = 7


class Place(NamedTuple):
    """Where an event stands; the larger is the newer.

    Attributes:
        day: The day that it belongs to.
        at: When it was done.
        source: What tells of it.
        row: The number of that row; of a day that was missed, its own.
    """

    day: date
    at: datetime
    source: Source
    row: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events are wanted.

    Attributes:
        first: The first day.
        last: The last.
        kind: Only these; None for all.
        label: Only those about this class; None for all.
    """

    first: date
    last: date
    kind: Kind | None = None
    label: str | None = None


# The sources' numbers are bound, so that they are written in one place only.
_PLACES = sa.text("""
    SELECT e.day, e.at, e.source, e.id
      FROM (SELECT 'deployment' AS kind, CAST(:move AS int) AS source, id,
                   (at AT TIME ZONE 'UTC')::date AS day, at, '[]'::jsonb AS labels
              FROM aliases
             WHERE alias = :champion
         UNION ALL
            SELECT 'alert', CAST(:flag AS int), id, raised_on, raised_at,
                   jsonb_build_array(label)
              FROM flags
         UNION ALL
            SELECT 'recovery', CAST(:flag_closed AS int), id, closed_on, closed_at,
                   jsonb_build_array(label)
              FROM flags
             WHERE closed_on IS NOT NULL AND closed_at IS NOT NULL
         UNION ALL
            SELECT 'alert', CAST(:notice AS int), id, (at AT TIME ZONE 'UTC')::date, at, '[]'
              FROM alerts
             WHERE flag IS NULL
         UNION ALL
            SELECT 'recovery', CAST(:notice_over AS int), id,
                   (resolved_at AT TIME ZONE 'UTC')::date, resolved_at, '[]'
              FROM alerts
             WHERE flag IS NULL AND resolved_at IS NOT NULL
         UNION ALL
            SELECT 'retraining', CAST(:job AS int), id, (moment AT TIME ZONE 'UTC')::date, moment,
                   labels
              FROM (SELECT id, labels, coalesce(finished_at, started_at, requested_at) AS moment
                      FROM jobs
                     WHERE kind = :retrain) j
         UNION ALL
            SELECT 'failure', CAST(:run AS int), id, (started_at AT TIME ZONE 'UTC')::date,
                   started_at, '[]'
              FROM runs
             WHERE kind = :day_run AND outcome = 'failed') e
     WHERE e.day BETWEEN :first AND :last
       AND (CAST(:kind AS text) IS NULL OR e.kind = :kind)
       AND (CAST(:label AS text) IS NULL OR e.labels @> to_jsonb(CAST(:label AS text)))
       AND (CAST(:after_day AS date) IS NULL
            OR (e.day, e.at, e.source, e.id) < (:after_day, CAST(:after_at AS timestamptz),
                                                CAST(:after_source AS int),
                                                CAST(:after_row AS bigint)))
     ORDER BY e.day DESC, e.at DESC, e.source DESC, e.id DESC
     LIMIT :most
""")

_WORDS = {
    "champion": registry.CHAMPION,
    "retrain": RETRAIN,
    "day_run": due.DAY,
    **{source.name.lower(): source.value for source in Source if source is not Source.MISSED},
}


def page(
    connection: Connection, asked: Asked, *, most: int, after: Place | None = None
) -> list[Place]:
    """Return where the events of some days stand, the newest first; none that is missed.

    Args:
        connection: Where to ask.
        asked: Which are wanted.
        most: At most so many.
        after: Only those that stand after this place; None for all.
    """
    values = {
        "first": asked.first,
        "last": asked.last,
        "kind": asked.kind,
        "label": asked.label,
        "after_day": after.day if after else None,
        "after_at": after.at if after else None,
        "after_source": int(after.source) if after else None,
        "after_row": after.row if after else None,
        "most": most,
    }
    return [
        Place(day, at, Source(source), row)
        for day, at, source, row in connection.execute(_PLACES, _WORDS | values)
    ]
