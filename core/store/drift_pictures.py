"""What people look at of a day's drift: histograms of both sides, and a map of the embeddings.

Drawn by the monitor from the samples that it compared, so that a page never reads the log. One row
a day and version, as two `.npz` files, some 100 kilobytes together; dropped with the days that
nothing looks back to.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlmodel import Field, SQLModel, col


class DriftPictureRow(SQLModel, table=True):
    """One day of one version."""

    __tablename__ = "drift_pictures"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    version: str = Field(primary_key=True, foreign_key="versions.version")
    histograms: bytes
    points: bytes


@dataclass(frozen=True, slots=True)
class Histogram:
    """One column of both sides, counted over the same bins.

    Attributes:
        edges: Ends of the bins, float64 (bins + 1,); the outermost also hold what lies beyond.
        reference: Rows of the reference, int64 (bins,).
        current: Rows of the day, int64 (bins,).
    """

    edges: NDArray[np.float64]
    reference: NDArray[np.int64]
    current: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histograms:
    """All columns of one day, over all predictions and within predicted classes.

    Attributes:
        columns: Names of the columns of numbers, in order.
        edges: float64 (columns, bins + 1).
        classes: The classes counted by themselves, in order.
        reference: int64 (1 + classes, columns, bins); the first of all predictions.
        current: Likewise.
        labels: Every class of the version.
        mix: How often each was predicted, int64 (2, labels): of the reference, of the day.
    """

    columns: list[str]
    edges: NDArray[np.float64]
    classes: list[str]
    reference: NDArray[np.int64]
    current: NDArray[np.int64]
    labels: list[str]
    mix: NDArray[np.int64]

    def of(self, column: str, label: str | None = None) -> Histogram | None:
        """Return one column, of all predictions or of a class; None where it was not counted."""
        if column not in self.columns or (label is not None and label not in self.classes):
            return None
        place, row = self.columns.index(column), 0
        if label is not None:
            row = 1 + self.classes.index(label)
        return Histogram(self.edges[place], self.reference[row, place], self.current[row, place])


@dataclass(frozen=True, slots=True)
class Points:
    """Some rows of both sides as points of a plane.

    Attributes:
        xy: float32 (n, 2).
        is_current: Whether each is of the day, or of the reference; bool (n,).
        label: What each was predicted as, index into `labels`; int64 (n,).
        image: Number of its picture in the pool, 0 where that is not there; int64 (n,).
        labels: Every class of the version.
        explained: Share of the variance that lies along x, and along y.
    """

    xy: NDArray[np.float32]
    is_current: NDArray[np.bool_]
    label: NDArray[np.int64]
    image: NDArray[np.int64]
    labels: list[str]
    explained: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is kept of a day."""

    histograms: Histograms
    points: Points


def write(connection: Connection, day: date, version: str, drawn: Pictures) -> None:
    """Keep a day's pictures, in place of what was kept of it."""
    row: dict[str, Any] = {
        "histograms": _histograms_bytes(drawn.histograms),
        "points": _points_bytes(drawn.points),
    }
    statement = postgresql.insert(DriftPictureRow).values(day=day, version=version, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["day", "version"], set_=row))


def histograms(connection: Connection, day: date, version: str) -> Histograms | None:
    """Return the histograms of a day; None where none were kept."""
    data = _one(connection, col(DriftPictureRow.histograms), day, version)
    return None if data is None else _histograms(data)


def points(connection: Connection, day: date, version: str) -> Points | None:
    """Return the map of a day's embeddings; None where none was kept."""
    data = _one(connection, col(DriftPictureRow.points), day, version)
    return None if data is None else _points(data)


def forget(connection: Connection, before: date) -> None:
    """Drop what was kept of days before `before`."""
    connection.execute(sa.delete(DriftPictureRow).where(col(DriftPictureRow.day) < before))


def _one(connection: Connection, column: Any, day: date, version: str) -> bytes | None:
    row = DriftPictureRow
    statement = sa.select(column).where(col(row.day) == day, col(row.version) == version)
    return connection.execute(statement).scalar_one_or_none()


def _histograms_bytes(drawn: Histograms) -> bytes:
    return _npz(
        columns=np.array(drawn.columns, dtype=np.str_),
        edges=drawn.edges,
        classes=np.array(drawn.classes, dtype=np.str_),
        reference=drawn.reference.astype(np.uint32),
        current=drawn.current.astype(np.uint32),
        labels=np.array(drawn.labels, dtype=np.str_),
        mix=drawn.mix,
    )


def _histograms(data: bytes) -> Histograms:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return Histograms(
            columns=stored["columns"].tolist(),
            edges=stored["edges"],
            classes=stored["classes"].tolist(),
            reference=stored["reference"].astype(np.int64),
            current=stored["current"].astype(np.int64),
            labels=stored["labels"].tolist(),
            mix=stored["mix"],
        )


def _points_bytes(drawn: Points) -> bytes:
    return _npz(
        xy=drawn.xy.astype(np.float16),
        is_current=drawn.is_current,
        label=drawn.label.astype(np.uint32),
        image=drawn.image,
        labels=np.array(drawn.labels, dtype=np.str_),
        explained=np.array(drawn.explained),
    )


def _points(data: bytes) -> Points:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        along_x, along_y = stored["explained"].tolist()
        return Points(
            xy=stored["xy"].astype(np.float32),
            is_current=stored["is_current"],
            label=stored["label"].astype(np.int64),
            image=stored["image"],
            labels=stored["labels"].tolist(),
            explained=(along_x, along_y),
        )


def _npz(**arrays: Any) -> bytes:
    written = io.BytesIO()
    np.savez_compressed(written, allow_pickle=False, **arrays)
    return written.getvalue()
