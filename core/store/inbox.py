"""The inbox: images that people are asked to label, and what was said of each.

An image comes in by one of three streams. `drawn`: every prediction had the same chance, whatever
the model said of it, and these are asked for in an order that no answer has a say in; their labels
may judge. `aimed`: chosen because a label would teach much; they may only teach. `suspect`: images
of the pool whose label looks wrong. Who gets which when is core.store.inbox_queue's affair.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError

Stream = Literal["drawn", "aimed", "suspect"]
State = Literal["waiting", "labelled", "unusable", "gone"]
Settled = Literal["labelled", "unusable"]

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class InboxRow(SQLModel, table=True):
    """One image that people are asked about."""

    __tablename__ = "inbox"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.UniqueConstraint("sha256", name="inbox_sha256_unique"),
        sa.Index(
            "inbox_waiting", "stream", "at", postgresql_where=sa.text("state = 'waiting'::text")
        ),
        sa.Index(
            "inbox_answered", "answered_at", postgresql_where=sa.text("answered_at IS NOT NULL")
        ),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, primary_key=True))
    stream: str
    sha256: str = Field(sa_type=sa.CHAR(64))
    at: datetime = Field(sa_type=_TIMESTAMP)
    place: int = Field(sa_type=sa.BigInteger)
    prediction: UUID | None = None
    image: int | None = Field(
        default=None, sa_column=sa.Column(sa.BigInteger, sa.ForeignKey("images.id"))
    )
    version: str
    label: str
    other: str | None = None
    top: list[dict[str, Any]] = Field(sa_type=_JSON)
    margin: float = Field(sa_type=sa.REAL)
    bytes: int = Field(sa_type=sa.BigInteger)
    added_at: datetime = Field(sa_type=_TIMESTAMP)
    holder: str | None = None
    held_until: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    state: str
    answer: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    undo: dict[str, Any] | None = Field(default=None, sa_type=_JSON)


class SkipRow(SQLModel, table=True):
    """One image that somebody would rather not label."""

    __tablename__ = "inbox_skips"  # pyright: ignore[reportAssignmentType]

    item: int = Field(
        sa_column=sa.Column(
            sa.BigInteger, sa.ForeignKey("inbox.id", ondelete="CASCADE"), primary_key=True
        )
    )
    by: str = Field(primary_key=True)
    at: datetime = Field(sa_type=_TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture of the traffic that is about to be asked about.

    Attributes:
        stream: `drawn` or `aimed`.
        sha256: Digest of its bytes, under which the archive has them.
        at: When the model was asked.
        place: Its place in line among those of its day: random, and no answer has a say in it.
        prediction: Whose picture it is; None for one that is in no log.
        version: The version that answered.
        label: What that said.
        top: The likeliest labels, best first: `{"label": str, "probability": float}`.
        margin: Probability of the first label less that of the second.
        bytes: Size of the file.
    """

    stream: Stream
    sha256: str
    at: datetime
    place: int
    prediction: UUID | None
    version: str
    label: str
    top: list[dict[str, Any]]
    margin: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Item:
    """One image of the inbox.

    Attributes:
        id: Its number.
        stream: How it came in.
        sha256: Digest of its bytes.
        at: When the model was asked; of a suspect, when it was held back.
        prediction: Whose picture it is; None for a suspect.
        image: Its number in the pool; None while it is not there.
        version: The version that answered.
        label: What that said; of a suspect, the label it bears.
        other: Of a suspect, what it is taken for; None for the others.
        top: The likeliest labels, best first.
        margin: Probability of the first label less that of the second.
        state: Whether it waits, or what became of it.
        answer: What somebody said it shows.
        answered_by: Who that was.
        answered_at: When.
        undo: What has to be put back if that is undone.
        holder: The desk that has it, or had it last.
        held_until: Until when.
    """

    id: int
    stream: Stream
    sha256: str
    at: datetime
    prediction: UUID | None
    image: int | None
    version: str
    label: str
    other: str | None
    top: list[dict[str, Any]]
    margin: float
    state: State
    answer: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None
    undo: dict[str, Any] | None = None
    holder: str | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How many images were answered since a moment, by all and by one, and how many wait."""

    all: int
    own: int
    waiting: dict[Stream, int]


# What the pool holds already has a label.
_ADD = sa.text("""
    INSERT INTO inbox (stream, sha256, at, place, prediction, version, label, top, margin, bytes,
                       added_at, state)
    SELECT :stream, :sha256, :at, :place, CAST(:prediction AS uuid), :version, :label, :top,
           :margin, :bytes, :now, 'waiting'
     WHERE NOT EXISTS (SELECT FROM images WHERE sha256 = :sha256)
        ON CONFLICT (sha256) DO NOTHING
""").bindparams(sa.bindparam("top", type_=JSONB))

_PROGRESS = sa.text("""
    SELECT count(*) AS whole, count(*) FILTER (WHERE answered_by = :by) AS own
      FROM inbox
     WHERE answered_at >= :since
""")

_WAITING = sa.text("""
    SELECT stream, count(*) AS n FROM inbox WHERE state = 'waiting' GROUP BY stream
""")

# Bytes of the pool are the pool's; of the others the newest stay, as far as there is room.
_FORGET = sa.text("""
    DELETE FROM inbox
     WHERE id IN (SELECT id
                    FROM (SELECT i.id, i.at,
                                 sum(i.bytes) OVER (ORDER BY i.at DESC, i.id DESC) AS taken
                            FROM inbox i
                           WHERE i.stream <> 'suspect'
                             AND NOT EXISTS (SELECT FROM images p WHERE p.sha256 = i.sha256)
                             AND (i.held_until IS NULL OR i.held_until < :now)) AS ordered
                   WHERE at < :before OR taken > :most
                   ORDER BY at
                   LIMIT :limit)
 RETURNING sha256
""")


# A picture of the pool may itself lie in the archive, which names files ab/cd/abcd...: that is not
# one too many.
_SUPERSEDED = sa.text("""
    SELECT i.sha256
      FROM inbox i
      JOIN images p ON p.sha256 = i.sha256
     WHERE i.state = 'gone'
       AND i.stream <> 'suspect'
       AND (i.held_until IS NULL OR i.held_until < :now)
       AND p.uri NOT LIKE '%/' || substr(i.sha256, 1, 2) || '/' || substr(i.sha256, 3, 2)
                               || '/' || i.sha256
     ORDER BY i.id
     LIMIT :limit
""")

_DROP = sa.text("""
    DELETE FROM inbox
     WHERE state = 'gone' AND stream <> 'suspect' AND sha256 = ANY(:digests)
""")


def add(connection: Connection, arrival: Arrival, *, now: datetime) -> bool:
    """Put a picture into the inbox; say whether it is new there and in the pool.

    Args:
        connection: A transaction that has `images.hold`: what an import is about to bring into the
            pool would not be seen here, nor this picture by the import.
        arrival: The picture.
        now: The present moment.
    """
    return connection.execute(_ADD, asdict(arrival) | {"now": now}).rowcount > 0


def get(connection: Connection, item: int) -> Item:
    """Return one image, and let nobody else change it until this transaction ends.

    Raises:
        NotFoundError: There is none of that number.
    """
    row = connection.execute(_ITEMS.where(col(InboxRow.id) == item).with_for_update()).one_or_none()
    if row is None:
        raise NotFoundError(f"the inbox has no image {item}; load the page anew")
    return Item(*row)


def lately(connection: Connection, *, by: str | None = None, limit: int = 20) -> list[Item]:
    """Return what was answered last, the latest first; only what one person said when given."""
    statement = _ITEMS.where(col(InboxRow.answered_at).is_not(None))
    if by is not None:
        statement = statement.where(col(InboxRow.answered_by) == by)
    order = (col(InboxRow.answered_at).desc(), col(InboxRow.id).desc())
    return [Item(*row) for row in connection.execute(statement.order_by(*order).limit(limit))]


def progress(connection: Connection, *, by: str, since: datetime) -> Progress:
    """Return how many were answered since a moment, and how many wait in each stream."""
    row = connection.execute(_PROGRESS, {"by": by, "since": since}).one()
    waiting: dict[Stream, int] = {each.stream: each.n for each in connection.execute(_WAITING)}
    return Progress(row.whole, row.own, waiting)


def settle(  # noqa: PLR0913 - what was said, each by name
    connection: Connection,
    item: int,
    state: Settled,
    *,
    answer: str | None,
    by: str,
    now: datetime,
    image: int | None,
    undo: dict[str, Any],
) -> None:
    """Write down what was said of an image, and let go of it."""
    said = {"state": state, "answer": answer, "answered_by": by, "answered_at": now}
    held = {"holder": None, "held_until": None, "image": image, "undo": undo}
    connection.execute(sa.update(InboxRow).where(col(InboxRow.id) == item).values(said | held))


def reopen(connection: Connection, item: int, *, holder: str, until: datetime) -> None:
    """Let an image wait again, for whoever takes back what was said of it."""
    unsaid = {"state": "waiting", "answer": None, "answered_by": None, "answered_at": None}
    held = {"holder": holder, "held_until": until, "undo": None}
    connection.execute(sa.update(InboxRow).where(col(InboxRow.id) == item).values(unsaid | held))


def let_go(connection: Connection, digests: Sequence[str]) -> None:
    """Ask no more about pictures that an import has brought into the pool, with their labels."""
    waiting = sa.and_(
        col(InboxRow.state) == "waiting",
        col(InboxRow.stream) != "suspect",
        col(InboxRow.sha256).in_(digests),
    )
    connection.execute(sa.update(InboxRow).where(waiting).values(state="gone"))


def superseded(connection: Connection, *, now: datetime, limit: int = 500) -> Sequence[str]:
    """Return pictures of the archive that nobody needs: the pool has them from somewhere else.

    Whoever calls this deletes the files, and then tells `drop`, in another transaction: what was
    deleted and not told of, because a program stopped between, is returned again.

    Args:
        connection: Where the inbox is.
        now: The present moment; what somebody looks at right now stays.
        limit: So many at most at one time.
    """
    return list(connection.execute(_SUPERSEDED, {"now": now, "limit": limit}).scalars())


def drop(connection: Connection, digests: Sequence[str]) -> None:
    """Forget pictures that `superseded` has named, once their files are deleted."""
    connection.execute(_DROP, {"digests": list(digests)})


def forget(
    connection: Connection, *, before: datetime, most_bytes: int, now: datetime, limit: int = 500
) -> Sequence[str]:
    """Drop pictures that are too old or for which there is no room; return their digests.

    Whoever calls this deletes the files, once the transaction is through. What came into the pool
    stays, and so does what somebody looks at right now.

    Args:
        connection: Where the inbox is.
        before: Pictures of earlier than that are dropped.
        most_bytes: What all of them may take on the disk; the oldest are dropped.
        now: The present moment.
        limit: So many at most at one time.
    """
    values = {"before": before, "most": most_bytes, "now": now, "limit": limit}
    return list(connection.execute(_FORGET, values).scalars())


_ITEMS = sa.select(*[getattr(InboxRow, name) for name in Item.__dataclass_fields__])
