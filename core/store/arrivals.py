"""Which labelled images came into the pool over a stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_ARRIVED = sa.text("""
    SELECT label, count(*) AS n, count(*) FILTER (WHERE split = 'test') AS test
      FROM images
     WHERE added_at >= :start AND added_at < :until
     GROUP BY label
     ORDER BY n DESC, label
""")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came into the pool of one class.

    Attributes:
        label: The class.
        n: Images of it.
        test: Those of them that exams are drawn from.
    """

    label: str
    n: int
    test: int


def between(connection: Connection, start: datetime, until: datetime) -> list[Arrivals]:
    """Return what came into the pool from `start` on and before `until`, the most first."""
    rows = connection.execute(_ARRIVED, {"start": start, "until": until})
    return [Arrivals(*row) for row in rows]
