"""What a day is compared with, and the day itself: bounded samples, row by row.

The reference is the profile in the version's bundle, until the version has answered on four days
with the weekday of the day examined: then it is those four. What repeats every week is normal on
its day, and no alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.bundle import files, profile
from core.store import draws, rollups
from core.store.drift import PROFILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.store.registry import Version

FEWEST = 50  # predictions, below which nothing is said of a day
WEEKS = 4  # days with the same weekday that make a reference
_LOOK_BACK_WEEKS = 8  # how old the oldest of them may be


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one side; what a row lacks is NaN.

    Attributes:
        columns: COLUMNS of `core.bundle.profile`, each float64 (n,).
        predicted: Index of the predicted label, int64 (n,).
        embedding: float32 (n, 256).
        counts: How often each label was predicted in the whole window, sampled or not, int64 (K,).
    """

    columns: dict[str, NDArray[np.float64]]
    predicted: NDArray[np.int64]
    embedding: NDArray[np.float32]
    counts: NDArray[np.int64]

    def of_label(self, label: int) -> Sample:
        """Return the rows that predicted one label."""
        rows = self.predicted == label
        return Sample(
            {name: values[rows] for name, values in self.columns.items()},
            self.predicted[rows],
            self.embedding[rows],
            np.where(np.arange(len(self.counts)) == label, self.counts, 0),
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """What a day is compared with.

    Attributes:
        name: `profile`, or the days in words.
        sample: Its rows.
        profile: The profile's rows as well, where `sample` is other days'; else None.
    """

    name: str
    sample: Sample
    profile: Sample | None = None


def of_profile(version: Version) -> Sample:
    """Return the reference profile of a version's bundle.

    Raises:
        BundleError: It is missing, altered or wrong.
    """
    folder = Path(version.uri)
    found = profile.read(folder, files.read_manifest(folder))
    counts = np.bincount(found.predicted, minlength=len(version.labels))
    return Sample(dict(found.columns), found.predicted, found.embedding, counts)


def of_day(connection: Connection, day: date, version: Version, *, rows: int) -> Sample:
    """Return at most `rows` predictions of a day that has been rolled up.

    They are drawn by a hash of day and version: the same predictions give the same sample.
    """
    counted = rollups.label_counts(connection, day, version.version)
    index = {label: place for place, label in enumerate(version.labels)}
    known = {label: n for label, n in counted.items() if label in index}
    salt = f"{day}/{version.version}"
    drawn = draws.draw(connection, day, version.version, known, limit=rows, salt=salt)
    counts = np.zeros(len(version.labels), dtype=np.int64)
    for label, n in known.items():
        counts[index[label]] = n
    predicted = np.array([index[label] for label in drawn.labels], dtype=np.int64)
    columns = {name: _finite_or_nan(values) for name, values in drawn.columns.items()}
    return Sample(columns, predicted, drawn.embedding, counts)


def reference_of(connection: Connection, day: date, version: Version, *, rows: int) -> Reference:
    """Return what a day is compared with: its weekday of past weeks once there are four.

    Only this version's own answers count: another version has other embeddings and confidences.

    Args:
        connection: Where the log and its rollups are.
        day: The day examined.
        version: The version examined.
        rows: Rows of the reference at most, where it is other days.

    Raises:
        BundleError: The profile is missing, altered or wrong.
    """
    of_bundle = of_profile(version)
    days: list[date] = []
    parts: list[Sample] = []
    for week in range(1, _LOOK_BACK_WEEKS + 1):
        before = day - timedelta(weeks=week)
        seen = rollups.label_counts(connection, before, version.version)
        if sum(seen.values()) < FEWEST:
            continue
        part = of_day(connection, before, version, rows=max(FEWEST, rows // WEEKS))
        # Its log may have been dropped since, of which the rollups know nothing.
        if len(part.predicted) < FEWEST:
            continue
        days, parts = [*days, before], [*parts, part]
        if len(days) == WEEKS:
            weekday = f"{day:%A}s {', '.join(f'{each}' for each in reversed(days))}"
            return Reference(weekday, _together(parts), of_bundle)
    return Reference(PROFILE, of_bundle)


def _together(parts: Sequence[Sample]) -> Sample:
    columns = {
        name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns
    }
    return Sample(
        columns,
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.embedding for part in parts]),
        np.sum([part.counts for part in parts], axis=0),
    )


def _finite_or_nan(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)
