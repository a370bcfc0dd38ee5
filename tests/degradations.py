"""Thirty days of real pictures, one class of which gets worse: what the monitor makes of them.

Every day brings fresh labelled pictures of each class; from `FAULT_DAY` on those of one class are
degraded. Nothing is simulated but the calendar: the pictures go through the catalogue into the
pool, the monitor draws, a real model answers, and its own rules decide.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from sqlalchemy import Engine

from core import catalog
from core.clock import FixedClock, day_bounds
from core.store.class_days import ClassDay
from monitor import daily
from monitor.page import MonitorOptions

FAULT_DAY, DAYS = 11, 30
ANOTHER_SPECIES = "another species"

Degrade = Callable[[Image.Image], bytes]


def _jpeg(picture: Image.Image, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _cropped(picture: Image.Image, kept: float) -> Image.Image:
    width, height = round(kept * picture.width), round(kept * picture.height)
    return picture.crop((0, 0, width, height))


def degradations(*, blur: float, light: float, kept: float) -> dict[str, Degrade]:
    """Return each way in which pictures get worse, by name.

    Args:
        blur: Radius in pixels.
        light: Share of the light that is left.
        kept: Share of each side that is left, in the upper left corner.
    """
    return {
        "blur": lambda picture: _jpeg(picture.filter(ImageFilter.GaussianBlur(blur))),
        "darkness": lambda picture: _jpeg(ImageEnhance.Brightness(picture).enhance(light)),
        "crop": lambda picture: _jpeg(_cropped(picture, kept)),
        "JPEG quality 5": lambda picture: _jpeg(picture, quality=5),
        # The pictures are another class's; turned round, so that no two have the same bytes.
        ANOTHER_SPECIES: lambda picture: _jpeg(ImageOps.mirror(picture)),
    }


@dataclass(frozen=True)
class Plan:
    """What happens, and to whom.

    Attributes:
        weak: The class that gets worse.
        donor: The class whose pictures stand for another species.
        first: The first day.
        per_day: Fresh pictures of each class a day.
        days: How many days are lived through.
    """

    weak: str
    donor: str
    first: date
    per_day: int = 10
    days: int = DAYS


@dataclass(frozen=True)
class Past:
    """What the days up to the fault showed: the same for every fault.

    Attributes:
        days: How the class that gets worse did.
        opened: Which class was flagged, and on which day.
    """

    days: list[ClassDay]
    opened: list[tuple[int, str]]


@dataclass(frozen=True)
class Lived:
    """What the days showed.

    Attributes:
        before: Accuracy of the weak class up to the fault.
        after: And from then on.
        alarm_day: Days from the fault to the alarm, counted from 1; None without one.
        false_alarms: Which class was flagged without a fault, and on which day.
    """

    before: float
    after: float
    alarm_day: int | None
    false_alarms: list[tuple[int, str]]


def live_well(engine: Engine, home: Path, fresh: Mapping[str, Sequence[bytes]], plan: Plan) -> Past:
    """Live through the days before the fault; arguments as `live`."""
    return _live(engine, home, fresh, plan, None, range(1, FAULT_DAY))


def live(
    engine: Engine,
    home: Path,
    fresh: Mapping[str, Sequence[bytes]],
    plan: Plan,
    degrade: tuple[str, Degrade],
    past: Past | None = None,
) -> Lived:
    """Live through the days on a database whose champion serves since before the first.

    Args:
        engine: The database.
        home: Where pictures and reports are written.
        fresh: Picture files by label, `plan.days * plan.per_day` of each.
        plan: What happens.
        degrade: Name and function of the degradation.
        past: What `live_well` showed on this database, or the one that it is a copy of; without,
            those days are lived through now.
    """
    past = past or live_well(engine, home, fresh, plan)
    lived = _live(engine, home, fresh, plan, degrade, range(FAULT_DAY, plan.days + 1))
    opened = past.opened + lived.opened
    alarms = [number for number, label in opened if label == plan.weak and number >= FAULT_DAY]
    return Lived(
        before=_accuracy(past.days),
        after=_accuracy(lived.days),
        alarm_day=alarms[0] - FAULT_DAY + 1 if alarms else None,
        false_alarms=[each for each in opened if each[1] != plan.weak or each[0] < FAULT_DAY],
    )


def _live(
    engine: Engine,
    home: Path,
    fresh: Mapping[str, Sequence[bytes]],
    plan: Plan,
    degrade: tuple[str, Degrade] | None,
    numbers: range,
) -> Past:
    options = MonitorOptions(per_class=plan.per_day, retrain=False)
    days: list[ClassDay] = []
    opened: list[tuple[int, str]] = []
    for number in numbers:
        today = plan.first + timedelta(days=number - 1)
        _arrive(engine, home / f"day-{number:02}", _of_day(fresh, plan, number, degrade), today)
        night = FixedClock(day_bounds(today)[1] + timedelta(hours=2))
        report = daily.run(
            engine, today, options=options, clock=night, holder="test", reports=home / "reports"
        )
        assert report.status == "done", report
        days += [row for row in report.classes if row.label == plan.weak]
        opened += [(number, label) for label in report.opened]
    return Past(days, opened)


def _of_day(
    fresh: Mapping[str, Sequence[bytes]],
    plan: Plan,
    number: int,
    degrade: tuple[str, Degrade] | None,
) -> dict[str, list[bytes]]:
    """Return the files of one day, by label."""
    turn = slice((number - 1) * plan.per_day, number * plan.per_day)
    arriving = {label: list(pictures[turn]) for label, pictures in fresh.items()}
    if degrade is not None:
        name, worsen = degrade
        source = plan.donor if name == ANOTHER_SPECIES else plan.weak
        pictures = [Image.open(io.BytesIO(data)) for data in arriving[source]]
        arriving[plan.weak] = [worsen(picture) for picture in pictures]
    return arriving


def _arrive(
    engine: Engine, folder: Path, arriving: Mapping[str, Sequence[bytes]], today: date
) -> None:
    folder.mkdir(parents=True)
    noon = day_bounds(today)[0] + timedelta(hours=12)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["path", "label", "split", "captured_at"])
    for label, files in arriving.items():
        for i, data in enumerate(files):
            path = folder / f"{label}-{i}"
            path.write_bytes(data)
            rows.writerow([path, label, "test", noon.isoformat()])
    listing = folder / "day.csv"
    listing.write_text(text.getvalue(), encoding="utf-8")
    catalog.import_images(engine, str(listing), added_at=noon + timedelta(hours=1))


def _accuracy(days: Sequence[ClassDay]) -> float:
    return sum(day.correct for day in days) / max(1, sum(day.n for day in days))
