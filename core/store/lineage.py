"""Versions with where they come from and when each served, as pages list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Line:
    """One version in a list.

    Attributes:
        version: Its name.
        number: Its place in the order of registration.
        parent: The version it was fine-tuned from; None for one trained on its own.
        created_at: When it was registered.
        backbone: What its network began as; empty where its run does not say.
        snapshot: Digest of the frozen list of training images.
        snapshot_at: When that list was frozen.
        test_top1: Share of the test images it named rightly; None where none is known.
        job: The last job that made or examined it; None where it was trained by hand.
        job_status: How that job ended; None without one.
    """

    version: str
    number: int
    parent: str | None
    created_at: datetime
    backbone: str
    snapshot: str
    snapshot_at: datetime
    test_top1: float | None
    job: int | None
    job_status: str | None


@dataclass(frozen=True, slots=True)
class Service:
    """A stretch of time in which a version served; without an end, it serves now."""

    version: str
    since: datetime
    until: datetime | None
    by: str
    reason: str


_PAGE = sa.text("""
    SELECT v.version, v.number, v.parent, v.created_at,
           left(coalesce(v.config ->> 'backbone', ''), 300) AS backbone,
           v.snapshot, v.snapshot_at, (v.metrics -> 'test' ->> 'top1')::float AS test_top1,
           j.id AS job, j.status AS job_status
      FROM versions v
      LEFT JOIN LATERAL (SELECT id, status
                           FROM jobs
                          WHERE challenger = v.version
                          ORDER BY id DESC
                          LIMIT 1) AS j ON TRUE
     WHERE (CAST(:before AS bigint) IS NULL OR v.number < :before)
     ORDER BY v.number DESC
     LIMIT :most
""")

_SERVICES = sa.text("""
    SELECT version, at AS since, lead(at) OVER (ORDER BY id) AS until, by, reason
      FROM aliases
     WHERE alias = 'champion'
     ORDER BY id DESC
     LIMIT :most
""")

_NAMES = sa.text("SELECT version FROM versions ORDER BY number DESC LIMIT :most")


def page(connection: Connection, most: int, *, before: int | None = None) -> list[Line]:
    """Return versions, the newest first.

    Args:
        connection: Where the registry is.
        most: At most so many.
        before: Only those with a smaller number; None for the newest.
    """
    rows = connection.execute(_PAGE, {"most": most, "before": before})
    return [Line(*row) for row in rows]


def services(connection: Connection, most: int) -> list[Service]:
    """Return when which version served, the latest first; at most so many stretches."""
    return [Service(*row) for row in connection.execute(_SERVICES, {"most": most})]


def names(connection: Connection, most: int) -> list[str]:
    """Return the names of the versions, the newest first; at most so many."""
    return list(connection.execute(_NAMES, {"most": most}).scalars())


_CHILDREN = sa.text("""
    SELECT version
      FROM versions
     WHERE parent = :version
     ORDER BY number DESC
     LIMIT :most
""")


def children(connection: Connection, version: str, most: int) -> list[str]:
    """Return the versions that were fine-tuned from one, the newest first; at most so many."""
    values = {"version": version, "most": most}
    return list(connection.execute(_CHILDREN, values).scalars())
