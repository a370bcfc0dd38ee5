"""Labels that look wrong, held back from training until a person has looked.

An image that got another label is no suspect any more.
What the monitor held back it also lets go again, when the weakness turns out to be the model's or
the pictures' own; what a person has cleared is never held back again under the same label.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError
from core.store import audit

MONITOR = "monitor"

_TIMESTAMP: Any = sa.DateTime(timezone=True)


class SuspectRow(SQLModel, table=True):
    """One image whose label looks wrong."""

    __tablename__ = "label_suspects"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.Index("label_suspects_held", "label", postgresql_where=sa.text("cleared_at IS NULL")),
    )

    image: int = Field(
        sa_column=sa.Column(sa.BigInteger, sa.ForeignKey("images.id"), primary_key=True)
    )
    version: str
    day: date
    label: str
    suggested: str
    margin: float
    held_at: datetime = Field(sa_type=_TIMESTAMP)
    cleared_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    cleared_by: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """An image whose label looks wrong.

    Attributes:
        image: Its number in the pool.
        version: The version that says so.
        day: The day whose exam it was drawn for.
        label: The label it bears.
        suggested: The class it is taken for.
        margin: Probability of the label less that of the suggested class; the lower the surer.
    """

    image: int
    version: str
    day: date
    label: str
    suggested: str
    margin: float


@dataclass(frozen=True, slots=True)
class Held:
    """A suspect as the pool holds it back, with the address of its picture."""

    image: int
    uri: str
    version: str
    day: date
    label: str
    suggested: str
    margin: float
    held_at: datetime


# What a person has cleared stays cleared, unless the label is another one now.
_HOLD = sa.text("""
    INSERT INTO label_suspects (image, version, day, label, suggested, margin, held_at)
    VALUES (:image, :version, :day, :label, :suggested, :margin, :now)
        ON CONFLICT (image) DO UPDATE
       SET version = excluded.version, day = excluded.day, label = excluded.label,
           suggested = excluded.suggested, margin = excluded.margin, held_at = excluded.held_at,
           cleared_at = NULL, cleared_by = NULL, reason = NULL
     WHERE label_suspects.cleared_by = 'monitor'
        OR label_suspects.label <> excluded.label
""")

_HELD = sa.text("""
    SELECT s.image, i.uri, s.version, s.day, s.label, s.suggested, s.margin, s.held_at
      FROM label_suspects s
      JOIN images i ON i.id = s.image AND i.label = s.label
     WHERE s.cleared_at IS NULL
       AND (CAST(:label AS text) IS NULL OR s.label = :label)
     ORDER BY s.margin, s.image
     LIMIT :limit
""")

_RELEASE = sa.text("""
    UPDATE label_suspects
       SET cleared_at = :now, cleared_by = 'monitor', reason = :reason
     WHERE cleared_at IS NULL AND label = :label AND version = :version AND day >= :first
""")

_CLEAR = sa.text("""
    UPDATE label_suspects
       SET cleared_at = :now, cleared_by = :by, reason = :reason
     WHERE cleared_at IS NULL AND image = ANY(:images)
 RETURNING image
""")

_HOLD_AGAIN = sa.text("""
    UPDATE label_suspects
       SET cleared_at = NULL, cleared_by = NULL, reason = NULL
     WHERE image = :image
""")

# What a person has cleared under the label that the image still bears.
_CLEARED = sa.text("""
    SELECT s.image
      FROM label_suspects s
      JOIN images i ON i.id = s.image AND i.label = s.label
     WHERE s.cleared_at IS NOT NULL
       AND s.cleared_by <> 'monitor'
       AND s.image = ANY(:images)
""")


def hold_back(connection: Connection, suspects: Sequence[Suspect], *, now: datetime) -> int:
    """Hold images back from training, and return how many were not held back before."""
    rows = [asdict(suspect) | {"now": now} for suspect in suspects]
    return sum(connection.execute(_HOLD, row).rowcount for row in rows)


def release(
    connection: Connection, version: str, label: str, first: date, *, reason: str, now: datetime
) -> int:
    """Let go what the monitor held back of one class since a day; return how many images."""
    values = {"version": version, "label": label, "first": first, "reason": reason, "now": now}
    return connection.execute(_RELEASE, values).rowcount


def clear(
    connection: Connection, images: Sequence[int], *, by: str, reason: str, now: datetime
) -> None:
    """Say that labels are right after all, so that training sees the images again.

    Raises:
        NotFoundError: One of them is not held back; then nothing is cleared.
    """
    values = {"images": list(images), "by": by, "reason": reason, "now": now}
    cleared = set(connection.execute(_CLEAR, values).scalars())
    missing = sorted(set(images) - cleared)
    if missing:
        raise NotFoundError(f"image {missing[0]} is not held back; see: weakspot data suspects")
    for image in sorted(cleared):
        audit.record(
            connection,
            now=now,
            by=by,
            action="clear label",
            subject=str(image),
            detail={"reason": reason},
        )


def hold_again(connection: Connection, image: int) -> None:
    """Take back that the label of an image is right."""
    connection.execute(_HOLD_AGAIN, {"image": image})


def cleared(connection: Connection, images: Sequence[int]) -> frozenset[int]:
    """Return those of some images whose label a person has said to be right."""
    return frozenset(connection.execute(_CLEARED, {"images": list(images)}).scalars())


def held(connection: Connection, *, label: str | None = None, limit: int = 1_000) -> list[Held]:
    """Return what is held back now, the surest first; only of `label` when given."""
    return [Held(*row) for row in connection.execute(_HELD, {"label": label, "limit": limit})]


def is_held() -> Any:
    """Return the subquery of image numbers and labels held back, for those who read the pool."""
    return sa.select(col(SuspectRow.image), col(SuspectRow.label)).where(
        col(SuspectRow.cleared_at).is_(None)
    )
