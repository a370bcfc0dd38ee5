"""Which images of a day belong together, and how alike such images are.

A burst or a near-duplicate is right or wrong together, so the estimated correlation decides whether
a group is one bet or as many as it has images (core.stats.day_bet). The estimate for a day comes
from the thirty days before it, so that a bet is settled on before its outcome is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from core.stats.day_bet import intraclass_correlation
from core.store import class_days

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from core.store.class_days import ClassDay

WINDOW_DAYS = 30


@dataclass(slots=True)
class Likeness:
    """The groups of the days before, `[images, right]` of each, by day and class."""

    _seen: dict[date, list[tuple[str, list[list[int]]]]] = field(
        default_factory=dict[date, list[tuple[str, list[list[int]]]]]
    )

    @classmethod
    def before(cls, connection: Connection, version: str, first: date) -> Likeness:
        """Return what the thirty days before `first` showed of a version."""
        found = cls()
        window = _window_start(first)
        for day, label, groups in class_days.shared(connection, version, window, first):
            found._seen.setdefault(day, []).append((label, groups))
        return found

    def add(self, rows: Sequence[ClassDay]) -> None:
        """Remember one more day."""
        for row in sorted(rows, key=lambda each: each.label):
            if row.shared:
                self._seen.setdefault(row.day, []).append((row.label, row.shared))

    def correlation(self, day: date) -> float:
        """Return how alike images of a group were in the thirty days before `day`, 0 to 1."""
        start = _window_start(day)
        self._seen = {each: found for each, found in self._seen.items() if each >= start}
        known = [pair for each, found in self._seen.items() if each < day for pair in found]
        if not known:
            return 0.0
        place = {label: i for i, label in enumerate(sorted({label for label, _ in known}))}
        rows = [(*group, place[label]) for label, groups in known for group in groups]
        total, correct, stratum = np.array(rows, dtype=np.int64).T
        return intraclass_correlation(correct, total, stratum)


def groups_of(
    rows: Sequence[ClassDay], labels: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return a day's groups, those of one image too: class, right answers and images of each.

    Args:
        rows: The classes of the day.
        labels: The version's classes; rows of others are left out.
    """
    place = {label: i for i, label in enumerate(labels)}
    known = [(place[row.label], row) for row in rows if row.label in place]
    correct, total = np.zeros((2, len(labels)), dtype=np.int64)
    for i, row in known:
        correct[i], total[i] = row.correct, row.n
    return in_groups(correct, total, {i: row.shared for i, row in known})


def in_groups(
    correct: NDArray[np.int64], total: NDArray[np.int64], shared: Mapping[int, list[list[int]]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return a day's groups, those of one image too: class, right answers and images of each.

    Args:
        correct: Right answers of each class, shape (K,).
        total: Images of each class, shape (K,).
        shared: `[images, right]` of the groups of two or more, by the class's place.
    """
    found = [(i, right, n) for i, groups in sorted(shared.items()) for n, right in groups]
    owner, inside, images = np.array(found, dtype=np.int64).reshape(-1, 3).T
    right, wrong = correct.copy(), total - correct
    np.subtract.at(right, owner, inside)
    np.subtract.at(wrong, owner, images - inside)
    classes = np.arange(len(total))
    single = np.concatenate([np.repeat(classes, wrong), np.repeat(classes, right)])
    outcome = np.repeat([0, 1], [wrong.sum(), right.sum()])
    return (
        np.concatenate([owner, single]),
        np.concatenate([inside, outcome]),
        np.concatenate([images, np.ones_like(single)]),
    )


def _window_start(day: date) -> date:
    return day - timedelta(days=WINDOW_DAYS)
