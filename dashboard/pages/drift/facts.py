"""What the drift page is drawn from, and the few questions to the store that give it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from core.store import drift, drift_pictures
from dashboard.parts.days import Range

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.drift import DriftCheck, DriftVerdict
    from core.store.drift_pictures import Histograms, Points
    from dashboard.pages.drift.view import DriftView

MOST_OF_CLASSES = 40

_FEWEST_DAYS = 7
PREDICTED, EMBEDDING = "predicted label", "embedding"
# In the order in which a page shows them: what came in, what was answered, how sure.
ORDER = (
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "aspect",
    "megapixels",
    PREDICTED,
    "confidence",
    "entropy",
    "margin",
    EMBEDDING,
)


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one version.

    Attributes:
        day: The day.
        version: The version that answered.
        versions: All versions with checks on that day.
        checks: Over all predictions, in the order of the page.
        of_class: Within the class that is looked at; none without one.
        worst: The checks within classes that came nearest to drift.
        checked: How many classes were checked by themselves.
        drifted: In how many of them a column drifted.
        histograms: Both sides counted; None where none were kept.
        points: The map of the embeddings; None where none was kept.
    """

    day: date
    version: str
    versions: list[str]
    checks: list[DriftCheck]
    of_class: list[DriftCheck]
    worst: list[DriftCheck]
    checked: int
    drifted: int
    histograms: Histograms | None
    points: Points | None

    @property
    def has_report(self) -> bool:
        """Whether Evidently's report of it is kept."""
        return any(each.report for each in self.checks)

    @property
    def labels(self) -> list[str]:
        """The classes of the version, as far as pictures were kept."""
        return self.histograms.labels if self.histograms else []


@dataclass(frozen=True, slots=True)
class Drift:
    """What the drift page is drawn from.

    Attributes:
        now: The present moment.
        range: The days of the matrix.
        view: What is looked at.
        matrix: The verdict of every check over all predictions in the range.
        chosen: The day looked at; None where nothing was checked.
    """

    now: datetime
    range: Range
    view: DriftView
    matrix: list[DriftVerdict]
    chosen: Day | None

    @property
    def days(self) -> list[date]:
        """The days of the range that were checked, in order."""
        return sorted({each.day for each in self.matrix})

    @property
    def shown(self) -> DriftCheck | None:
        """The check looked at: the one asked for, else the one that moved most."""
        if self.chosen is None:
            return None
        named = self.chosen.of_class or self.chosen.checks
        for each in named:
            if each.column == self.view.check:
                return each
        return max(named, key=_moved, default=None)

    @property
    def column(self) -> str | None:
        """The column looked at; also one that a class was not checked for."""
        known = self.view.check if self.view.check in ORDER else None
        return known or (self.shown.column if self.shown else None)


def gather(connection: Connection, view: DriftView, *, days: int, now: datetime) -> Drift:
    """Return what the drift page is drawn from."""
    last = max(now.date() - timedelta(days=1), drift.last_day(connection) or date.min)
    span = Range(last - timedelta(days=days - 1), last)
    matrix = drift.verdicts(connection, span.first, span.last)
    # The matrix begins where there is something to see.
    seen = min([*(each.day for each in matrix), last - timedelta(days=_FEWEST_DAYS - 1)])
    span = Range(max(seen, span.first), last)
    day = view.day or max((each.day for each in matrix), default=None)
    chosen = None if day is None else _day(connection, day, view)
    return Drift(now=now, range=span, view=view, matrix=matrix, chosen=chosen)


def _day(connection: Connection, day: date, view: DriftView) -> Day | None:
    checks = drift.of_day(connection, day)
    if not checks:
        return None
    n = {each.version: each.n for each in checks}
    versions = sorted(n)
    version = view.version if view.version in n else max(versions, key=lambda name: n[name])
    of_version = [each for each in checks if each.version == version]
    checked, drifted = drift.count_classes(connection, day, version)
    label = view.label
    return Day(
        day=day,
        version=version,
        versions=versions,
        checks=sorted(of_version, key=place),
        of_class=sorted(drift.of_class(connection, day, version, label), key=place)
        if label is not None
        else [],
        worst=drift.worst_of_classes(connection, day, version, limit=MOST_OF_CLASSES),
        checked=checked,
        drifted=drifted,
        histograms=drift_pictures.histograms(connection, day, version),
        points=drift_pictures.points(connection, day, version),
    )


def place(check: DriftCheck) -> tuple[int, str]:
    """Return where a check stands among those of a day."""
    column = check.column
    return (ORDER.index(column) if column in ORDER else len(ORDER), column)


def _moved(check: DriftCheck) -> tuple[bool, float]:
    """Return how far a check moved, in units of its floor."""
    share = (check.effect or 0.0) / check.effect_floor if check.effect_floor else 0.0
    return check.verdict == "drift", share
