"""The answers that were given under an Idempotency-Key, kept for a day.

A row is written in the transaction of the prediction it belongs to: both are there, or neither.
Keys belong to their caller; two callers may use the same one without meeting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class IdempotencyRow(SQLModel, table=True):
    """One answer under its key."""

    __tablename__ = "idempotency"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.Index("idempotency_by_time", "at"),)

    caller: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: bytes
    prediction: UUID
    answer: dict[str, Any] = Field(sa_type=_JSON)
    at: datetime = Field(sa_type=_TIMESTAMP)


_INSERT = """
    INSERT INTO idempotency (caller, key, request_sha256, prediction, answer, at)
    SELECT *
      FROM unnest(CAST(:callers AS text[]), CAST(:keys AS text[]), CAST(:digests AS bytea[]),
                  CAST(:predictions AS uuid[]), CAST(:answers AS jsonb[]),
                  CAST(:ats AS timestamptz[]))
        ON CONFLICT DO NOTHING
"""
_CLAIM = sa.text(_INSERT + " RETURNING prediction")

_FIND = sa.text("""
    SELECT caller, key, request_sha256, prediction, answer, at
      FROM idempotency
     WHERE caller = :caller
       AND key = :key
""")

# In pieces, so that no statement holds many rows for long.
_DELETE_OLD = sa.text("""
    DELETE FROM idempotency
     WHERE (caller, key) IN (SELECT caller, key
                               FROM idempotency
                              WHERE at < :moment
                              ORDER BY at
                              LIMIT :limit)
""")


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer under its key.

    Attributes:
        caller: Who asked.
        key: The Idempotency-Key.
        request_sha256: Digest of what was asked: the same key with another one is a mistake.
        prediction: The prediction that was the answer.
        answer: The whole answer, as JSON has it.
        at: When the request was accepted.
    """

    caller: str
    key: str
    request_sha256: bytes
    prediction: UUID
    answer: dict[str, Any]
    at: datetime


def claim(connection: Connection, kept: Sequence[Kept]) -> set[UUID]:
    """Keep answers under their keys, where the keys are free; return the predictions kept.

    A key that another transaction is about to take is waited for: it is free if that one fails.
    """
    kept = sorted(kept, key=_place)  # Two transactions that wait for each other would never end.
    parameters = {
        "callers": [each.caller for each in kept],
        "keys": [each.key for each in kept],
        "digests": [each.request_sha256 for each in kept],
        "predictions": [each.prediction for each in kept],
        "answers": [Jsonb(each.answer) for each in kept],
        "ats": [each.at for each in kept],
    }
    return set(connection.execute(_CLAIM, parameters).scalars())


def find(connection: Connection, caller: str, key: str) -> Kept | None:
    """Return what was answered under a caller's key; None when it is free."""
    row = connection.execute(_FIND, {"caller": caller, "key": key}).mappings().one_or_none()
    return None if row is None else Kept(**row)


def delete_before(connection: Connection, moment: datetime, *, limit: int = 5_000) -> int:
    """Forget the oldest answers given before `moment`; return how many were forgotten."""
    return connection.execute(_DELETE_OLD, {"moment": moment, "limit": limit}).rowcount


def _place(kept: Kept) -> tuple[str, str]:
    return kept.caller, kept.key
