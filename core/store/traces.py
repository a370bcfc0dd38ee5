"""What the model saw in each judged image: the material from which a weakness is explained.

A verdict needs counts alone; why it came to it needs the pictures' numbers, and the picture itself
may be gone by then. About 700 bytes an image, so they are kept for some months and then dropped:
counts and answers stay for ever in `class_days` and `validation_results`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel, col

from core.errors import StoreError
from core.store import halfvec

KEPT_DAYS = 120
DIMENSIONS = 256

_HALFVEC: Any = halfvec.HalfVec(DIMENSIONS)
_REALS: Any = ARRAY(sa.REAL)


class TraceRow(SQLModel, table=True):
    """One judged image."""

    __tablename__ = "validation_traces"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        sa.Index("validation_traces_by_class", "version", "label", "day"),
        sa.Index("validation_traces_by_day", "day"),
    )

    version: str = Field(primary_key=True)
    image: int = Field(
        sa_column=sa.Column(sa.BigInteger, sa.ForeignKey("images.id"), primary_key=True)
    )
    day: date
    label: str
    predicted: str
    confidence: float = Field(sa_type=sa.REAL)
    descriptors: list[float] = Field(sa_type=_REALS)
    embedding: Any = Field(sa_column=sa.Column(_HALFVEC, nullable=False))
    suggested: str | None = None
    margin: float | None = Field(default=None, sa_type=sa.REAL)
    lead: float | None = Field(default=None, sa_type=sa.REAL)


@dataclass(frozen=True, slots=True)
class Trace:
    """What a version saw in one judged image.

    Attributes:
        version: The version.
        image: The image's number.
        day: The day whose exam it was drawn for.
        label: The label it bore then.
        predicted: What the version said.
        confidence: How sure it was.
        descriptors: In the order of `core.images.descriptors.DESCRIPTORS`.
        embedding: float32 (256,), kept in half precision.
        suggested: The class that confident learning takes it for; None where the label stands.
        margin: Probability of the label less that of `suggested`; None without one.
        lead: By how much the answer's logit lies above the label's, 0 where they are the same;
            None for images judged by releases that did not keep it.
    """

    version: str
    image: int
    day: date
    label: str
    predicted: str
    confidence: float
    descriptors: list[float]
    embedding: NDArray[np.float32]
    suggested: str | None = None
    margin: float | None = None
    lead: float | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The image that looks most like another one.

    Attributes:
        image: Its number.
        confidence: How sure the version was of it.
        distance: Euclidean distance of the two embeddings, from 0 to 2.
    """

    image: int
    confidence: float
    distance: float


# Exact, without an index: a class has some thousand traces, and there is an index on those.
_NEAREST_RIGHT = sa.text("""
    SELECT t.image AS of, near.image, near.confidence, near.distance
      FROM unnest(CAST(:versions AS text[]), CAST(:images AS bigint[])) AS asked (version, image)
      JOIN validation_traces t ON t.version = asked.version AND t.image = asked.image
     CROSS JOIN LATERAL (
           SELECT o.image, o.confidence, o.embedding <-> t.embedding AS distance
             FROM validation_traces o
            WHERE o.version = t.version
              AND o.label = :label
              AND o.predicted = :label
              AND o.image <> t.image
            ORDER BY o.embedding <-> t.embedding, o.image
            LIMIT 1) AS near
""")

_WRITTEN = (
    ("version", "text"),
    ("image", "int8"),
    ("day", "date"),
    ("label", "text"),
    ("predicted", "text"),
    ("confidence", "float4"),
    ("descriptors", "float4[]"),
    # Sent as raw bytes: what pgvector reads from them is its own binary form.
    ("embedding", "bytea"),
    ("suggested", "text"),
    ("margin", "float4"),
    ("lead", "float4"),
)
_EMBEDDING = [name for name, _ in _WRITTEN].index("embedding")
_COPY = sql.SQL("COPY validation_traces ({}) FROM STDIN (FORMAT binary)").format(
    sql.SQL(", ").join(sql.Identifier(name) for name, _ in _WRITTEN)
)

# A hash of the image's number: random, and the same whenever it is asked again.
_AT_RANDOM = sa.func.md5(sa.cast(col(TraceRow.image), sa.Text))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which traces to read: of a version, from `first` to `last`."""

    version: str
    first: date
    last: date


def write(connection: Connection, traces: Sequence[Trace]) -> None:
    """Write down what was seen; an image and a version meet once.

    Raises:
        StoreError: Postgres refuses a row, or is away. The transaction must end then.
    """
    raw: psycopg.Connection[Any] | None = connection.connection.driver_connection
    if raw is None:
        raise StoreError("the database connection is closed; ask for a new one")
    try:
        with raw.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types([kind for _, kind in _WRITTEN])
            for trace in traces:
                values = [getattr(trace, name) for name, _ in _WRITTEN]
                values[_EMBEDDING] = halfvec.to_binary(trace.embedding)
                copy.write_row(tuple(values))
    except psycopg.Error as error:
        raise StoreError(f"what the model saw could not be written: {error}") from error


def of_class(connection: Connection, asked: Stretch, label: str, *, limit: int) -> list[Trace]:
    """Return what was seen of one class, the latest days first; inside a day at random."""
    order = (col(TraceRow.day).desc(), _AT_RANDOM)
    statement = _of(asked).where(col(TraceRow.label) == label).order_by(*order).limit(limit)
    return [Trace(*row) for row in connection.execute(statement)]


def of_others(connection: Connection, asked: Stretch, label: str, *, limit: int) -> list[Trace]:
    """Return what was seen of all other classes: a random sample, the same whenever repeated."""
    statement = _of(asked).where(col(TraceRow.label) != label).order_by(_AT_RANDOM).limit(limit)
    return [Trace(*row) for row in connection.execute(statement)]


def suspected(connection: Connection, asked: Stretch) -> list[Trace]:
    """Return those whose label looks wrong by confident learning, the surest first."""
    statement = _of(asked).where(col(TraceRow.suggested).is_not(None))
    order = (col(TraceRow.margin), col(TraceRow.image))
    return [Trace(*row) for row in connection.execute(statement.order_by(*order))]


def nearest_right(
    connection: Connection, label: str, images: Sequence[tuple[str, int]]
) -> dict[int, Neighbour]:
    """Return, for each judged image, the one of a class answered right that looks most like it.

    Nearness is that of the embeddings. Images whose traces are no longer kept have no neighbour.

    Args:
        connection: Where to ask.
        label: The class that the neighbours bear, and were taken for.
        images: Each with the version that saw it.
    """
    if not images:
        return {}
    values = {
        "label": label,
        "versions": [version for version, _ in images],
        "images": [image for _, image in images],
    }
    found = connection.execute(_NEAREST_RIGHT, values)
    return {row.of: Neighbour(row.image, row.confidence, row.distance) for row in found}


def forget(connection: Connection, before: date) -> int:
    """Drop what was seen on earlier days, and return how many images that were."""
    statement = sa.delete(TraceRow).where(col(TraceRow.day) < before)
    return connection.execute(statement).rowcount


def first_kept(day: date) -> date:
    """Return the first day whose traces are kept at the end of `day`."""
    return day - timedelta(days=KEPT_DAYS)


def _of(asked: Stretch) -> Any:
    return _TRACES.where(
        col(TraceRow.version) == asked.version,
        col(TraceRow.day).between(asked.first, asked.last),
    )


_TRACES = sa.select(*[getattr(TraceRow, field.name) for field in fields(Trace)])
