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
from core.store import draws, drift_days, rollups
from core.store.draws import Drawn
from core.store.drift import PROFILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.store.registry import Version

FEWEST = 50  # predictions, below which nothing is said of a day
WEEKS = 4  # days with the same weekday that make a reference
LOOK_BACK_WEEKS = 8  # how old the oldest of them may be
KEPT_ROWS = 2_500  # of a day, for later days: a quarter of the largest sample
_LATE = 0.01  # so much of a day may come in late before what was kept of it is drawn anew


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one side; what a row lacks is NaN.

    Attributes:
        columns: COLUMNS of `core.bundle.profile`, each float64 (n,).
        predicted: Index of the predicted label, int64 (n,).
        embedding: float32 (n, 256).
        counts: How often each label was predicted in the whole window, sampled or not, int64 (K,).
        digests: SHA-256 of each row's image; none where they are not known.
    """

    columns: dict[str, NDArray[np.float64]]
    predicted: NDArray[np.int64]
    embedding: NDArray[np.float32]
    counts: NDArray[np.int64]
    digests: tuple[str, ...] = ()

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
        days: Those days, in order; none where `sample` is the profile.
    """

    name: str
    sample: Sample
    profile: Sample | None = None
    days: tuple[date, ...] = ()


def of_profile(version: Version) -> Sample:
    """Return the reference profile of a version's bundle.

    Raises:
        BundleError: It is missing, altered or wrong.
    """
    folder = Path(version.uri)
    found = profile.read(folder, files.read_manifest(folder))
    counts = np.bincount(found.predicted, minlength=len(version.labels))
    digests = [] if found.digests is None else [row.tobytes().hex() for row in found.digests]
    return Sample(dict(found.columns), found.predicted, found.embedding, counts, tuple(digests))


def of_day(connection: Connection, day: date, version: Version, *, rows: int) -> Sample:
    """Return at most `rows` predictions of a day that has been rolled up.

    They are drawn by a hash of day and version: the same predictions give the same sample.
    """
    known = _known_counts(connection, day, version)
    salt = f"{day}/{version.version}"
    drawn = draws.draw(connection, day, version.version, known, limit=rows, salt=salt)
    return _sample(drawn, known, version)


def to_keep(sample: Sample, version: Version) -> Drawn:
    """Return so much of a day's draw as a later day may be compared with."""
    return Drawn(
        [version.labels[place] for place in sample.predicted[:KEPT_ROWS].tolist()],
        {name: values[:KEPT_ROWS] for name, values in sample.columns.items()},
        sample.embedding[:KEPT_ROWS],
    )


def past_day(connection: Connection, day: date, version: Version, *, rows: int) -> Sample:
    """Return at most `rows` predictions of a past day: those kept of it, else from its log.

    Fewer where the log has been dropped since, and none where nothing was kept either.
    """
    known = _known_counts(connection, day, version)
    n = sum(known.values())
    kept = drift_days.drawn_of(connection, day, version.version)
    wanted = min(rows, n)
    # Fewer were kept than are wanted now, or many predictions have come in since: drawn anew.
    if kept is None or len(kept.drawn.labels) < wanted or abs(n - kept.n) > _LATE * n:
        sample = of_day(connection, day, version, rows=rows)
        if kept is None or len(sample.predicted) >= FEWEST:
            return sample
    drawn = kept.drawn
    columns = {name: values[:wanted] for name, values in drawn.columns.items()}
    return _sample(Drawn(drawn.labels[:wanted], columns, drawn.embedding[:wanted]), known, version)


def _known_counts(connection: Connection, day: date, version: Version) -> dict[str, int]:
    counted = rollups.label_counts(connection, day, version.version)
    known = set(version.labels)
    return {label: n for label, n in counted.items() if label in known}


def _sample(drawn: Drawn, counted: Mapping[str, int], version: Version) -> Sample:
    index = {label: place for place, label in enumerate(version.labels)}
    counts = np.zeros(len(version.labels), dtype=np.int64)
    for label, n in counted.items():
        counts[index[label]] = n
    predicted = np.array([index[label] for label in drawn.labels], dtype=np.int64)
    columns = {name: _finite_or_nan(values) for name, values in drawn.columns.items()}
    return Sample(columns, predicted, drawn.embedding, counts, drawn.digests)


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
    for week in range(1, LOOK_BACK_WEEKS + 1):
        before = day - timedelta(weeks=week)
        seen = rollups.label_counts(connection, before, version.version)
        if sum(seen.values()) < FEWEST:
            continue
        part = past_day(connection, before, version, rows=max(FEWEST, rows // WEEKS))
        # Its log may have been dropped since, and nothing kept, of which the rollups know nothing.
        if len(part.predicted) < FEWEST:
            continue
        days, parts = [*days, before], [*parts, part]
        if len(days) == WEEKS:
            days.reverse()
            weekday = f"{day:%A}s {', '.join(f'{each}' for each in days)}"
            return Reference(weekday, _together(parts), of_bundle, tuple(days))
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
