"""pgvector's `halfvec`: half-precision embeddings as numpy arrays, in and out of Postgres.

pgvector's own SQLAlchemy type goes through text and lists of floats both ways. Embeddings are
written by binary COPY here, a thousand times more often than they are read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy.dialects.postgresql.base import (
    ischema_names,  # pyright: ignore[reportUnknownVariableType]
)


class HalfVec(sa.types.UserDefinedType[Any]):
    """A column of `halfvec(dimensions)`, read as float32 of shape (dimensions,)."""

    cache_ok = True

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_: Any) -> str:
        """Return the type as DDL writes it."""
        return f"halfvec({self.dimensions})"

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[..., Any]:
        """Return what turns Postgres' text into an array."""
        del dialect, coltype
        return _from_text


def to_binary(embedding: NDArray[np.float32]) -> bytes:
    """Return pgvector's binary form: dimensions, a zero, then big-endian half floats."""
    return struct.pack(">HH", len(embedding), 0) + embedding.astype(">f2").tobytes()


def from_binary(raw: bytes) -> NDArray[np.float32]:
    """Return the embedding of pgvector's binary form; `to_binary` gives the same bytes again."""
    return np.frombuffer(raw, ">f2", offset=4).astype(np.float32)


def _from_text(value: str | None) -> NDArray[np.float32] | None:
    return None if value is None else HalfVector.from_text(value).to_numpy().astype(np.float32)


# So that a database can be compared with the tables this code describes.
ischema_names["halfvec"] = HalfVec
