"""What of a day later days are compared with: a draw of its predictions, and sums by class.

Kept so that the log of a past day is never read again, and may be dropped. One row a day and
version, as two `.npz` files; rows of days that nothing looks back to are dropped.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlmodel import Field, SQLModel, col

from core.stats.means import Moments
from core.store.draws import Drawn

_COLUMN = "column."


class DriftDayRow(SQLModel, table=True):
    """One day of one version."""

    __tablename__ = "drift_days"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True)
    n: int = Field(sa_type=sa.BigInteger)
    drawn: bytes
    sums: bytes


@dataclass(frozen=True, slots=True)
class DayDrawn:
    """A draw that was kept.

    Attributes:
        n: Predictions of the day when it was drawn; another number by now means that late ones
            have arrived.
        drawn: The rows.
    """

    n: int
    drawn: Drawn


def write(
    connection: Connection, day: date, version: str, *, n: int, drawn: Drawn, sums: Moments
) -> None:
    """Keep a day's draw and sums, in place of what was kept of it.

    Args:
        connection: Where they are kept.
        day: The day.
        version: The version that answered.
        n: Its predictions that day, drawn or not.
        drawn: A draw of them.
        sums: By label and column, in the order of the version's labels.
    """
    row: dict[str, Any] = {"n": n, "drawn": _drawn_bytes(drawn), "sums": _sums_bytes(sums)}
    statement = postgresql.insert(DriftDayRow).values(day=day, version=version, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["version", "day"], set_=row))


def drawn_of(connection: Connection, day: date, version: str) -> DayDrawn | None:
    """Return the draw that was kept of a day; None where there is none."""
    row = DriftDayRow
    statement = sa.select(col(row.n), col(row.drawn)).where(
        col(row.day) == day, col(row.version) == version
    )
    found = connection.execute(statement).one_or_none()
    return None if found is None else DayDrawn(found.n, _drawn(found.drawn))


def sums_of(
    connection: Connection, version: str, first: date, last: date
) -> list[tuple[date, Moments]]:
    """Return the sums that were kept of a version's days from `first` to `last`, in order."""
    row = DriftDayRow
    statement = sa.select(col(row.day), col(row.sums)).where(
        col(row.version) == version, col(row.day).between(first, last)
    )
    found = connection.execute(statement.order_by(col(row.day)))
    return [(each.day, _sums(each.sums)) for each in found]


def sums_of_days(connection: Connection, version: str, days: Sequence[date]) -> list[Moments]:
    """Return the sums that were kept of some days of a version, in order."""
    row = DriftDayRow
    statement = sa.select(col(row.sums)).where(
        col(row.version) == version, col(row.day).in_(list(days))
    )
    return [_sums(each.sums) for each in connection.execute(statement.order_by(col(row.day)))]


def forget(connection: Connection, before: date) -> None:
    """Drop what was kept of days before `before`."""
    connection.execute(sa.delete(DriftDayRow).where(col(DriftDayRow.day) < before))


def _drawn_bytes(drawn: Drawn) -> bytes:
    columns: dict[str, Any] = {_COLUMN + name: each for name, each in drawn.columns.items()}
    # The log holds embeddings in half precision: nothing is lost.
    embedding = drawn.embedding.astype(np.float16)
    return _npz({"labels": np.array(drawn.labels, dtype=np.str_), "embedding": embedding} | columns)


def _drawn(data: bytes) -> Drawn:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        names = [name for name in stored.files if name.startswith(_COLUMN)]
        columns = {name.removeprefix(_COLUMN): stored[name] for name in names}
        return Drawn(stored["labels"].tolist(), columns, stored["embedding"].astype(np.float32))


def _sums_bytes(sums: Moments) -> bytes:
    return _npz({"n": sums.n, "mean": sums.mean, "squares": sums.squares})


def _sums(data: bytes) -> Moments:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return Moments(stored["n"], stored["mean"], stored["squares"])


def _npz(arrays: dict[str, Any]) -> bytes:
    written = io.BytesIO()
    np.savez_compressed(written, allow_pickle=False, **arrays)
    return written.getvalue()
