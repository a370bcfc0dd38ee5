"""How far the mean of each column moved within each predicted class, from sums alone.

A bounded sample has room for some sixty classes; the sums of a day's log have room for all of
them. So a class that the sample is too small for is compared by its means: with the past
weekdays, the bundle's profile, or the past days of the version, whichever comes first and has
rows enough of that class. It sees shifts of the mean, not of the spread or the shape alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from core.bundle.profile import COLUMNS
from core.stats.means import Moments, means_two_sample, moments_of, together
from core.store import drift_days
from core.store.drift import PROFILE
from monitor.drift.columns import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from sqlalchemy import Connection

    from monitor.drift.samples import Reference, Sample

MEANS = "t of means, by sums"
FEWEST = 100  # predictions of a class on either side, below which its means are not compared
PAST_DAYS = 28  # how far back a version's own days are looked for
FEWEST_DAYS = 7  # of them, so that no weekday is missing from what is normal

# Cohen's d. Two normal laws so far apart have distribution functions 0.1 apart, which is the floor
# of the columns compared by their whole distribution.
MEANS_FLOOR = 0.25


@dataclass(frozen=True, slots=True)
class Normal:
    """What a class may be compared with.

    Attributes:
        name: As verdicts have it.
        sums: By label and column of COLUMNS.
    """

    name: str
    sums: Moments


def normals(
    connection: Connection, day: date, version: str, reference: Reference, profile: Sample
) -> list[Normal]:
    """Return what the classes of a day may be compared with, the first choice first.

    Args:
        connection: Where the sums of past days are kept.
        day: The day examined.
        version: The version examined.
        reference: What the day's samples are compared with.
        profile: The rows of the bundle's profile.
    """
    found: list[Normal] = []
    if reference.days:
        of_weekday = drift_days.sums_of_days(connection, version, reference.days)
        # Days from before sums were kept have none.
        if len(of_weekday) == len(reference.days):
            found.append(Normal(reference.name, together(of_weekday)))
    found.append(Normal(PROFILE, _of_rows(profile)))
    first, last = day - timedelta(days=PAST_DAYS), day - timedelta(days=1)
    past = drift_days.sums_of(connection, version, first, last)
    if len(past) >= FEWEST_DAYS:
        name = f"{len(past)} days from {past[0][0]} to {past[-1][0]}"
        found.append(Normal(name, together([sums for _, sums in past])))
    return found


def compare(normal: Sequence[Normal], day: Moments, skip: Collection[int]) -> list[Finding]:
    """Return how far each column's mean moved within each class that has rows enough.

    Args:
        normal: What may be compared with, the first choice first.
        day: The day's sums by label and column.
        skip: Labels that the sample had room for.
    """
    chosen = np.full(day.n.shape, -1)
    for place in reversed(range(len(normal))):
        chosen[normal[place].sums.n >= FEWEST] = place
    chosen[day.n < FEWEST] = -1
    chosen[sorted(skip)] = -1
    found: list[Finding] = []
    for place, each in enumerate(normal):
        found += _compared(each, day, chosen == place)
    return found


def _compared(normal: Normal, day: Moments, cells: np.ndarray) -> list[Finding]:
    before, now = (_taken(sums, cells) for sums in (normal.sums, day))
    said = means_two_sample(before, now)
    labels, places = (where.tolist() for where in np.nonzero(cells))
    rows = zip(
        labels,
        places,
        now.n.tolist(),
        before.n.tolist(),
        said.statistic.tolist(),
        said.p_value.tolist(),
        said.effect.tolist(),
        strict=True,
    )
    blank = Finding("", MEANS, 0, 0, MEANS_FLOOR, reference=normal.name)
    return [
        replace(
            blank,
            label=label,
            column=COLUMNS[place],
            n=n,
            reference_n=reference_n,
            statistic=statistic,
            p_value=p_value,
            effect=effect,
        )
        for label, place, n, reference_n, statistic, p_value, effect in rows
    ]


def _taken(sums: Moments, cells: np.ndarray) -> Moments:
    return Moments(sums.n[cells], sums.mean[cells], sums.squares[cells])


def _of_rows(sample: Sample) -> Moments:
    values = np.stack([sample.columns[name] for name in COLUMNS], axis=1)
    return moments_of(values, sample.predicted, len(sample.counts))
