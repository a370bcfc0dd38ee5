"""How large the database is, table by table, and how fast the service answered lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection

# A partition counts for the table it is part of. The rows are Postgres' own estimate: to count
# them would read the log.
_TABLES = sa.text("""
    SELECT coalesce(parent.relname, c.relname) AS name,
           count(i.inhrelid) AS partitions,
           sum(pg_total_relation_size(c.oid))::bigint AS bytes,
           sum(greatest(c.reltuples, 0))::bigint AS rows
      FROM pg_class c
      LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
      LEFT JOIN pg_class parent ON parent.oid = i.inhparent
     WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
     GROUP BY 1
     ORDER BY 3 DESC, 1
""")

# Read backwards along the index on `at`, so however large the log is, so many rows are looked at.
_LATENCIES = sa.text("""
    SELECT count(*) AS n, min(at) AS since,
           percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms) AS quantiles
      FROM (SELECT at, latency_ms
              FROM predictions
             WHERE at >= :since AND at <= :now
             ORDER BY at DESC
             LIMIT :rows) AS latest
""")

_LOOKED_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table with its indexes and partitions.

    Attributes:
        name: Of the table.
        partitions: How many it has; 0 where it is not partitioned.
        bytes: On the disk.
        rows: About how many, as Postgres last estimated.
    """

    name: str
    partitions: int
    bytes: int
    rows: int

    @property
    def days(self) -> int | None:
        """How many days it has a partition for; None where it is not partitioned.

        One partition is for what belongs to no day.
        """
        return self.partitions - 1 if self.partitions else None


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long the latest predictions took.

    Attributes:
        n: How many were looked at.
        since: When the oldest of them was asked for.
        p50_ms: Half of them took no longer.
        p95_ms: 95 of 100.
        p99_ms: 99 of 100.
    """

    n: int
    since: datetime
    p50_ms: float
    p95_ms: float
    p99_ms: float


def tables(connection: Connection) -> list[TableSize]:
    """Return every table, the largest first."""
    return [TableSize(*row) for row in connection.execute(_TABLES)]


def latencies(connection: Connection, *, now: datetime, rows: int) -> Latencies | None:
    """Return how long the latest `rows` predictions of seven days took; None without any."""
    asked = {"since": now - _LOOKED_BACK, "now": now, "rows": rows}
    found = connection.execute(_LATENCIES, asked).one()
    return Latencies(found.n, found.since, *found.quantiles) if found.n else None
