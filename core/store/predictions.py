"""What the model said, picture by picture: the log every answer is written to before it leaves.

The table is partitioned by UTC day, so that retention drops a table instead of deleting rows.
A row of a day without a partition lands in `predictions_default` and is moved when
`core.store.partitions` makes that day's. Ids are UUIDv7 made from `at`: a prediction is found
by its id in the one partition it can be in.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import sqlalchemy as sa
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError, StoreAwayError, StoreError
from core.store import audit, database, halfvec

EMBEDDING_DIMENSIONS = 256

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB
_HALFVEC: Any = halfvec.HalfVec(EMBEDDING_DIMENSIONS)


class PredictionRow(SQLModel, table=True):
    """One answer."""

    __tablename__ = "predictions"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.Index("predictions_by_day", "at", "version", "label"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: UUID = Field(primary_key=True)
    at: datetime = Field(primary_key=True, sa_type=_TIMESTAMP)
    version: str
    label: str
    confidence: float = Field(sa_type=sa.REAL)
    top: list[dict[str, Any]] = Field(sa_type=_JSON)
    margin: float = Field(sa_type=sa.REAL)
    entropy: float = Field(sa_type=sa.REAL)
    descriptors: dict[str, float] = Field(sa_type=_JSON)
    latency_ms: float = Field(sa_type=sa.REAL)
    image_sha256: str = Field(sa_type=sa.CHAR(64))
    embedding: Any = Field(default=None, sa_column=sa.Column(_HALFVEC))
    true_label: str | None = None
    labelled_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    labelled_by: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer, as it was given.

    Attributes:
        id: Made by `new_id(at)`.
        at: When the request was accepted.
        version: The version that answered.
        label: What the model said.
        confidence: Probability of `label`, in [0, 1].
        top: The likeliest labels, best first: `{"label": str, "probability": float}`.
        margin: Probability of the first label less that of the second.
        entropy: Of all probabilities, in nats.
        descriptors: What the picture looks like, by the names in `core.images.descriptors`.
        latency_ms: From the accepted request to the model's output, without the log itself.
        image_sha256: Digest of the bytes that were sent, 64 hex digits.
        embedding: float32 of shape (256,); kept in half precision. `get` and `page` leave it out.
        true_label: What the picture shows, once somebody has said so.
        labelled_at: When that was said.
        labelled_by: Who or what said it.
        request_id: Of the request that asked.
    """

    id: UUID
    at: datetime
    version: str
    label: str
    confidence: float
    top: list[dict[str, Any]]
    margin: float
    entropy: float
    descriptors: dict[str, float]
    latency_ms: float
    image_sha256: str
    embedding: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    true_label: str | None = None
    labelled_at: datetime | None = None
    labelled_by: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which predictions to list; None lets everything through.

    Attributes:
        version: Only those of this version.
        label: Only those that said this label.
        start: Only those at this moment or later.
        end: Only those earlier than this moment.
        labelled: True for those whose true label is known, False for the others.
    """

    version: str | None = None
    label: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    labelled: bool | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the list: the row after which the next page begins."""

    at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Page:
    """Some predictions, the newest first, and where the next page begins (None at the end)."""

    predictions: list[Prediction]
    next: Position | None


_WRITTEN = (
    ("id", "uuid"),
    ("at", "timestamptz"),
    ("version", "text"),
    ("label", "text"),
    ("confidence", "float4"),
    ("top", "jsonb"),
    ("margin", "float4"),
    ("entropy", "float4"),
    ("descriptors", "jsonb"),
    ("latency_ms", "float4"),
    ("image_sha256", "text"),
    # Sent as raw bytes: what pgvector reads from them is its own binary form.
    ("embedding", "bytea"),
    ("true_label", "text"),
    ("labelled_at", "timestamptz"),
    ("labelled_by", "text"),
    ("request_id", "text"),
)

# Binary COPY took a fifth of the processor time of a multi-row INSERT, and that time is taken
# from the model: 0.5 ms against 3 ms for 16 rows.
_COLUMNS = sql.SQL(", ").join(sql.Identifier(name) for name, _ in _WRITTEN)
_COPY = sql.SQL("COPY predictions ({}) FROM STDIN (FORMAT binary)").format(_COLUMNS)

# COPY knows no ON CONFLICT, so rows that may be there already go through a table of their own.
_PREPARE_MISSING = sa.text("CREATE TEMPORARY TABLE returned (LIKE predictions) ON COMMIT DROP")
_COPY_RETURNED = sql.SQL("COPY returned ({}) FROM STDIN (FORMAT binary)").format(_COLUMNS)
_INSERT_MISSING = sa.text("INSERT INTO predictions SELECT * FROM returned ON CONFLICT DO NOTHING")


def new_id(now: datetime) -> UUID:
    """Return a UUIDv7 whose time is `now`, so that ids sort by time (RFC 9562).

    The twelve bits after the millisecond hold its fraction; 62 bits are random.
    """
    since_epoch = now - _EPOCH
    microseconds = since_epoch // timedelta(microseconds=1)
    milliseconds, rest = divmod(microseconds, 1000)
    fraction = rest * 4096 // 1000
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)


def insert_many(connection: Connection, predictions: Sequence[Prediction]) -> None:
    """Write predictions down, all of them or none, in one statement.

    Raises:
        StoreAwayError: Postgres is away. The transaction must end then.
        StoreError: Postgres refuses a row. Likewise.
    """
    _copy(connection, _COPY, predictions)


def insert_missing(connection: Connection, predictions: Sequence[Prediction]) -> int:
    """Write down those predictions that are not there yet; return how many those were.

    Raises:
        StoreAwayError: Postgres is away. The transaction must end then.
        StoreError: Postgres refuses a row. Likewise.
    """
    connection.execute(_PREPARE_MISSING)
    _copy(connection, _COPY_RETURNED, predictions)
    return connection.execute(_INSERT_MISSING).rowcount


def _copy(
    connection: Connection, statement: sql.Composed, predictions: Sequence[Prediction]
) -> None:
    raw: psycopg.Connection[Any] | None = connection.connection.driver_connection
    if raw is None:
        raise StoreAwayError("the database connection is closed; ask for a new one")
    try:
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([kind for _, kind in _WRITTEN])
            for prediction in predictions:
                copy.write_row(_values(prediction))
    except psycopg.Error as error:
        if raw.broken or raw.closed:
            connection.invalidate(error)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        kind = StoreAwayError if database.is_away(error) else StoreError
        raise kind(f"predictions could not be written: {reason}") from error


def get(connection: Connection, prediction: UUID) -> Prediction:
    """Return one prediction, without its embedding.

    Raises:
        NotFoundError: There is none with that id, or retention has dropped it.
    """
    return _one(connection, _LISTED.where(*_is(prediction)), prediction)


def page(
    connection: Connection, wanted: Filter, *, after: Position | None = None, limit: int = 100
) -> Page:
    """Return the newest predictions that fit, without embeddings, beginning after `after`.

    Following `next` to the end meets every row that was there at the start exactly once,
    however many are added meanwhile.
    """
    statement = _LISTED.where(*_conditions(wanted))
    if after is not None:
        key = sa.tuple_(col(PredictionRow.at), col(PredictionRow.id))
        place = sa.tuple_(sa.literal(after.at, _TIMESTAMP), sa.literal(after.id, sa.Uuid()))
        # The first condition follows from the second; it is what Postgres prunes partitions by.
        statement = statement.where(col(PredictionRow.at) <= after.at, key < place)
    newest_first = (col(PredictionRow.at).desc(), col(PredictionRow.id).desc())
    rows = connection.execute(statement.order_by(*newest_first).limit(limit + 1))
    found = [Prediction(**row) for row in rows.mappings()]
    if len(found) <= limit:
        return Page(found, None)
    return Page(found[:limit], Position(found[limit - 1].at, found[limit - 1].id))


def count(connection: Connection, wanted: Filter) -> int:
    """Return how many predictions fit."""
    number = sa.select(sa.func.count()).select_from(PredictionRow)
    return connection.execute(number.where(*_conditions(wanted))).scalar_one()


def set_label(
    connection: Connection, prediction: UUID, label: str | None, *, by: str, now: datetime
) -> Prediction:
    """Write down what the picture of a prediction really shows, and return the prediction.

    Said again, the later word counts; the audit trail keeps the earlier one. None takes it back.

    Raises:
        NotFoundError: There is no prediction with that id.
    """
    before = _one(connection, _LISTED.where(*_is(prediction)).with_for_update(), prediction)
    said: dict[str, Any] = {"true_label": label, "labelled_at": None, "labelled_by": None}
    if label is not None:
        said |= {"labelled_at": now, "labelled_by": by}
    connection.execute(sa.update(PredictionRow).where(*_is(prediction)).values(said))
    detail = {"label": label, "before": before.true_label}
    audit.record(connection, now=now, by=by, action="label", subject=str(prediction), detail=detail)
    return replace(before, **said)


def _one(
    connection: Connection, statement: sa.Select[*tuple[Any, ...]], prediction: UUID
) -> Prediction:
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no prediction {prediction} is kept; see: GET /v1/predictions")
    return Prediction(**row)


def _values(prediction: Prediction) -> tuple[Any, ...]:
    values = [getattr(prediction, name) for name, _ in _WRITTEN]
    values[_TOP] = Jsonb(prediction.top)
    values[_DESCRIPTORS] = Jsonb(prediction.descriptors)
    if prediction.embedding is not None:
        values[_EMBEDDING] = halfvec.to_binary(prediction.embedding)
    return tuple(values)


def _is(prediction: UUID) -> list[sa.ColumnElement[bool]]:
    # The id's own time names the millisecond, and with it the partition, that the row is in.
    start = _EPOCH + timedelta(milliseconds=min(prediction.int >> 80, _LAST_MILLISECOND))
    at = col(PredictionRow.at)
    end = start + timedelta(milliseconds=1)
    return [col(PredictionRow.id) == prediction, at >= start, at < end]


def _conditions(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    at, truth = col(PredictionRow.at), col(PredictionRow.true_label)
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.version is not None:
        conditions.append(col(PredictionRow.version) == wanted.version)
    if wanted.label is not None:
        conditions.append(col(PredictionRow.label) == wanted.label)
    if wanted.start is not None:
        conditions.append(at >= wanted.start)
    if wanted.end is not None:
        conditions.append(at < wanted.end)
    if wanted.labelled is not None:
        conditions.append(truth.is_not(None) if wanted.labelled else truth.is_(None))
    return conditions


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_NAMES = [name for name, _ in _WRITTEN]
_TOP, _DESCRIPTORS, _EMBEDDING = (_NAMES.index(n) for n in ("top", "descriptors", "embedding"))
_LISTED: sa.Select[*tuple[Any, ...]] = sa.select(
    *[getattr(PredictionRow, name) for name in _NAMES if name != "embedding"]
)
