"""The page of one day: what its steps are given, and what is reported when they are through."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from core.clock import Clock, day_bounds
from core.store import runs
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.registry import Version
from core.store.runs import Run
from monitor.steps import Steps

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_TUPLES = ("drifted", "drifted_classes", "opened", "closed")  # of a DayReport; lists in JSON

OnProgress = Callable[[str, int, int], None]

Status = Literal["done", "invalid", "held", "no champion"]


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """What the owner may choose; the fields are those of MonitorSettings, where each is told."""

    per_class: int = 10
    adaptive: bool = True
    alarm_budget: float = 0.3
    floor: float = 0.80
    drift_rows: int = 5_000
    report_days: int = 30
    catch_up_days: int = 30
    lease_s: int = 300
    retrain: bool = True
    cool_down_days: int = 3
    retrainings_a_day: int = 3
    probation_days: int = 14
    rollback_alpha: float = 0.01
    hour_utc: int = 2

    @classmethod
    def from_settings(cls, settings: object, *, per_class: int | None = None) -> Self:
        """Return the options that settings hold; `per_class` asks for a plain draw of so many.

        Args:
            settings: MonitorSettings, or anything with the same fields.
            per_class: Labelled images per class and day; None for the settings' own.
        """
        chosen = {each.name: getattr(settings, each.name) for each in fields(cls)}
        if per_class is not None:
            chosen |= {"per_class": per_class, "adaptive": False}
        return cls(**chosen)


@dataclass(frozen=True, slots=True)
class Page:
    """One day of one version, as its steps share it.

    Attributes:
        engine: The database.
        day: The day examined.
        version: The version that served at its end.
        options: What the owner chose.
        clock: What time it is.
        run: Our claim to this day.
        reports: Folder of the drift reports.
        on_progress: Told what is being done; it also keeps the claim alive.
        steps: Where each step leaves its times.
    """

    engine: Engine
    day: date
    version: Version
    options: MonitorOptions
    clock: Clock
    run: Run
    reports: Path
    on_progress: OnProgress
    steps: Steps

    @property
    def end(self) -> datetime:
        """The moment at which the day was over."""
        return day_bounds(self.day)[1]

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Open the transaction that a step writes in; it fails when the day is no longer ours.

        Raises:
            StaleRunError: Somebody else has taken the day over.
        """
        with transaction(self.engine) as connection:
            runs.require_fence(connection, self.run)
            yield connection


@dataclass(frozen=True, slots=True)
class DayReport:
    """What became of one day.

    Attributes:
        day: The day examined.
        version: The version examined; None without a champion.
        status: `invalid` when too few images could be read; `held` when somebody else is at it.
        detail: Who holds it, or what is wrong, in words; empty when done.
        late: Whether the images were drawn later than on the day after.
        predictions: Predictions of the day, of all versions.
        drawn: Labelled images drawn; 0 also when the draw was left to a later day.
        judged: Those that could be read.
        correct: Those that were answered right.
        unreadable: Those that could not be read.
        drifted: Columns whose verdict is drift, over all predictions.
        drifted_classes: Predicted classes in which a column's verdict is drift.
        opened: Classes whose flag this day opened.
        closed: Classes whose flag this day closed.
        job: The retraining asked for; None without one.
        rolled_back: The version that was rolled back for what this day said; None without one.
        classes: How each class did; empty when none was examined.
    """

    day: date
    version: str | None
    status: Status
    detail: str = ""
    late: bool = False
    predictions: int = 0
    drawn: int = 0
    judged: int = 0
    correct: int = 0
    unreadable: int = 0
    drifted: tuple[str, ...] = ()
    drifted_classes: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    job: int | None = None
    rolled_back: str | None = None
    classes: tuple[ClassDay, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON would hold it."""
        plain: dict[str, Any] = asdict(self)
        for name in _TUPLES:
            plain[name] = list(plain[name])
        of_the_day = {"day", "version"}
        plain["classes"] = [
            {key: value for key, value in asdict(each).items() if key not in of_the_day}
            for each in self.classes
        ]
        return plain | {"day": self.day.isoformat()}

    def to_detail(self) -> dict[str, Any]:
        """Return what the run's row keeps: everything but the classes, which have their own."""
        return {key: value for key, value in self.to_dict().items() if key != "classes"}

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any], classes: tuple[ClassDay, ...]) -> Self:
        """Return the report that `to_detail` kept."""
        named = {each.name for each in fields(cls)}
        kept: dict[str, Any] = {key: value for key, value in detail.items() if key in named}
        kept["day"] = date.fromisoformat(detail["day"])
        for name in _TUPLES:
            kept[name] = tuple(kept.get(name, ()))
        return cls(**kept, classes=classes)

    def to_text(self) -> str:
        """Return the report as one line for people."""
        if self.status in {"held", "no champion"}:
            return f"{self.day}: {self.detail}"
        parts = [f"{self.day} {self.version}: {self._exam()}"]
        parts += [f"{self.unreadable} unreadable"] * bool(self.unreadable)
        parts += [f"drift in {', '.join(self.drifted)}"] * bool(self.drifted)
        parts += [f"drift among {', '.join(self.drifted_classes)}"] * bool(self.drifted_classes)
        parts += [f"weak: {', '.join(self.opened)}"] * bool(self.opened)
        parts += [f"recovered: {', '.join(self.closed)}"] * bool(self.closed)
        parts += [f"{self.rolled_back} rolled back"] if self.rolled_back else []
        parts += [f"retraining asked for (job {self.job})"] if self.job is not None else []
        return "; ".join(parts)

    def _exam(self) -> str:
        if self.status == "invalid":
            return f"invalid, {self.detail}"
        if not self.judged:
            return "no fresh labels"
        share = 100 * self.correct / self.judged
        late = " (drawn late)" if self.late else ""
        return f"{self.correct} of {self.judged} images right ({share:.0f} %){late}"
