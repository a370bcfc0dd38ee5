"""Versions as lists show them: their descent and a few figures, without what each class did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version in a list.

    Attributes:
        version: Its name, such as `v3`.
        parent: The version it was fine-tuned from; None for one trained on its own.
        created_at: When it was registered.
        backbone: What its network began as; empty where its run does not say.
        val_top1: Share of the validation images it named rightly; None where none is known.
        test_top1: Likewise of the test images.
        job: The last job that made or examined it; None where it was trained by hand.
        is_champion: Whether it serves.
        was_champion: Whether it ever did.
    """

    version: str
    parent: str | None
    created_at: datetime
    backbone: str
    val_top1: float | None
    test_top1: float | None
    job: int | None
    is_champion: bool
    was_champion: bool


_LATEST = sa.text("""
    SELECT version, parent, created_at, coalesce(config ->> 'backbone', '') AS backbone,
           (metrics -> 'val' ->> 'top1')::float AS val_top1,
           (metrics -> 'test' ->> 'top1')::float AS test_top1,
           (SELECT max(id) FROM jobs WHERE challenger = versions.version) AS job,
           version = (SELECT version FROM aliases
                       WHERE alias = 'champion' ORDER BY id DESC LIMIT 1) AS is_champion,
           EXISTS (SELECT FROM aliases
                    WHERE alias = 'champion'
                      AND aliases.version = versions.version) AS was_champion
      FROM versions
     WHERE version = ANY(:named)
        OR version IN (SELECT version FROM versions ORDER BY number DESC LIMIT :most)
     ORDER BY number DESC
""")


def latest(connection: Connection, most: int, *, named: Sequence[str] = ()) -> list[VersionLine]:
    """Return the latest versions, the newest first, and those that are named.

    Args:
        connection: Where the registry is.
        most: At most so many that are not named.
        named: Versions that are in the list however old they are.
    """
    rows = connection.execute(_LATEST, {"most": most, "named": list(named)})
    return [
        VersionLine(
            version=row.version,
            parent=row.parent,
            created_at=row.created_at,
            backbone=row.backbone,
            val_top1=row.val_top1,
            test_top1=row.test_top1,
            job=row.job,
            is_champion=bool(row.is_champion),
            was_champion=row.was_champion,
        )
        for row in rows
    ]
