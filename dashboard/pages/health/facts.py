"""What the pages are drawn from: rows of the store, put side by side.

Nothing is judged here and nothing invented: every figure on the dashboard is one of these.
`dashboard.pages.health.gather` asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.shown.happenings import Events
    from core.shown.summary import Numbers
    from core.shown.weeks import Week
    from core.store.class_days import ClassDay
    from core.store.class_history import ClassWeek
    from core.store.class_state import ClassState
    from core.store.drift import DriftCheck
    from core.store.flags import Flag
    from core.store.model_days import ModelDay
    from core.store.registry import Version
    from core.store.standing import Standing
    from core.store.traces import Neighbour
    from core.store.validations import Validation, WrongImage
    from dashboard.parts.days import Range


@dataclass(frozen=True, slots=True)
class ClassReading:
    """One class, as the overview shows it.

    Attributes:
        label: The class.
        standing: How it stands, in one word.
        state: What the detectors remember; None when it was never examined.
        flag: Its open flag; None without one.
        days: Its examined days in the range, in order.
        n: Images that the version examined last was judged on from `since` on.
        correct: How many of them were answered right.
        low: Lower end of the 95 % Jeffreys interval of `correct / n`.
        high: Upper end.
        since: The first of those days: of the last seven, or, while a flag is open that this
            version brought on itself, of those since the drop most likely began.
        silent: For how many days there had been no fresh labels, on those of `days` without any.
        weeks: Its weeks in the range, in place of `days` where that is long.
    """

    label: str
    standing: Standing
    state: ClassState | None
    flag: Flag | None
    days: list[ClassDay]
    n: int
    correct: int
    low: float
    high: float
    since: date
    silent: Mapping[date, int] = field(default_factory=dict[date, int])
    weeks: list[ClassWeek] = field(default_factory=list["ClassWeek"])

    @property
    def evidence_share(self) -> float:
        """Evidence in units of the threshold."""
        return self.state.evidence / self.state.threshold if self.state else 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """How some classes did in a range: day by day, or week by week where that is long.

    Attributes:
        days: Their examined days, by class, in order.
        silent: For how many days there had been no fresh labels, by class, on days without any.
        weeks: Their weeks, by class, in order; empty where `days` tells of them.
    """

    days: Mapping[str, list[ClassDay]]
    silent: Mapping[str, Mapping[date, int]]
    weeks: Mapping[str, list[ClassWeek]]


@dataclass(frozen=True, slots=True)
class ClassTable:
    """What the table of all classes is made of.

    Attributes:
        mark: The state of the judged rows that it was read in; see core.store.judged.
        classes: Every class, the worst first, without their days.
        trends: By class, a character for each of the last days, as
            `core.store.class_history.share_of` reads it; `.` where no image was judged.
        noticed: By class, in how many days a drop of each size would be noticed; None for never.
    """

    mark: str
    classes: list[ClassReading]
    trends: Mapping[str, str] = field(default_factory=dict[str, str])
    noticed: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answers:
    """How the last exam went: images judged, right ones, and classes without fresh labels."""

    n: int
    correct: int
    unlabelled: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What the overview is drawn from.

    Attributes:
        range: The days looked at.
        now: The present moment.
        champion: The version that serves; None before the first promotion.
        exam: The last finished exam; None before the first.
        broken: An exam of a later day that could not be judged; None without one.
        answers: How the last exam went, over all classes.
        classes: Every class, the worst first; only those that are shown have their days.
        whole: All classes together at the end of the last exam; None before the first.
        numbers: The numbers on top.
        events: What happened, in the range and before.
        mark: The state of the judged rows that it was read in; see core.store.judged.
    """

    range: Range
    now: datetime
    champion: Version | None
    exam: Validation | None
    broken: Validation | None
    answers: Answers
    classes: list[ClassReading]
    whole: ModelDay | None
    numbers: Numbers
    events: Events
    mark: str = ""


@dataclass(frozen=True, slots=True)
class OneClass:
    """What the page of one class is drawn from.

    Attributes:
        range: The days looked at.
        now: The present moment.
        reading: The class itself.
        exam: The last finished exam.
        epochs: All its days, by version, in order; also those before the range, because
            confidence sequences count from a version's beginning.
        states: The detector's state at the end of each examined day of the range.
        versions: The versions examined in the range, the newest first.
        wrong: Images it was mistaken on in the range, the surest wrong answers first.
        events: What happened to it, whenever that was, and the promotions.
        weeks: Its weeks, as far back as `core.shown.weeks` goes, in order.
        neighbours: By wrong image, the one answered right that looks most like it.
        drift: What was checked among its predictions on the last day that was checked, by column.
    """

    range: Range
    now: datetime
    reading: ClassReading
    exam: Validation
    epochs: dict[str, list[ClassDay]]
    states: list[ClassState]
    versions: list[Version]
    wrong: list[WrongImage]
    events: Events
    weeks: list[Week] = field(default_factory=list)
    neighbours: Mapping[int, Neighbour] = field(default_factory=dict)
    drift: list[DriftCheck] = field(default_factory=list)
