"""What a version says of its frozen images: once when first asked on a machine, then every day.

The same bundle on the same machine, by the same engine, gives the same bits; what it gave first
is the baseline. Another machine has a baseline of its own. The monitor asks what it examines by,
and every service what it serves by: each has its own row of a day.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB, distinct_on, insert
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError
from core.store import audit

Verdict = Literal["same", "first here", "runtime", "model"]

MONITOR: Final = "monitor"
# A service asks every day; one that has not asked for so long has gone.
REMEMBERED: Final = timedelta(days=2)
_SOUND: Final = ("same", "first here")

_TIMESTAMP: Any = sa.DateTime(timezone=True)
_JSON: Any = JSONB


class BaselineRow(SQLModel, table=True):
    """What a version gave on a machine when it was first asked there."""

    __tablename__ = "sentinel_baselines"  # pyright: ignore[reportAssignmentType]

    version: str = Field(primary_key=True)
    place: str = Field(primary_key=True)
    engine: str = Field(primary_key=True)
    preprocessing: str | None = None
    answers: str
    libraries: dict[str, str] = Field(sa_type=_JSON)
    at: datetime = Field(sa_type=_TIMESTAMP)
    by: str


class CheckRow(SQLModel, table=True):
    """One day's answers."""

    __tablename__ = "sentinel_checks"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (sa.CheckConstraint("verdict IN ('same', 'first here', 'runtime', 'model')"),)

    version: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    asked_by: str = Field(primary_key=True, sa_column_kwargs={"server_default": MONITOR})
    at: datetime = Field(sa_type=_TIMESTAMP)
    verdict: str
    place: str
    engine: str | None = None
    preprocessing: str | None = None
    answers: str | None = None
    largest: float | None = None
    pixels_off: float | None = None
    libraries: dict[str, str] = Field(sa_type=_JSON)
    detail: str
    by_pixels: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a version gave on a machine when it was first asked there.

    Attributes:
        version: The version.
        place: The machine, by what its arithmetic depends on.
        engine: What computed it.
        preprocessing: SHA-256 of the pixels that known files decode to; None where the bundle
            has no such files.
        answers: SHA-256 of the logits and embeddings of the frozen images.
        libraries: What was installed: `{name: version}`.
    """

    version: str
    place: str
    engine: str
    preprocessing: str | None
    answers: str
    libraries: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """One day's answers, and what they say.

    Attributes:
        version: The version.
        day: The day examined; of a service, the day on which it asked.
        at: When it was asked.
        verdict: `same`, or `first here` when there was nothing to compare with; `runtime`: the
            registered bundle answers otherwise; `model`: it is not the registered bundle.
        place: The machine.
        engine: What computed it; None when it could not be loaded.
        preprocessing: As in the baseline.
        answers: As in the baseline; None when it could not be loaded.
        largest: Largest difference of a logit from those in the bundle.
        pixels_off: Mean difference of decoded pixels from those in the bundle, of 255.
        libraries: What was installed.
        detail: What is wrong, in words; empty when nothing is.
        asked_by: `monitor`, or which service.
        by_pixels: Largest difference of a logit that other pixels of the known files make.
    """

    version: str
    day: date
    at: datetime
    verdict: Verdict
    place: str
    engine: str | None
    preprocessing: str | None
    answers: str | None
    largest: float | None
    pixels_off: float | None
    libraries: Mapping[str, str]
    detail: str
    asked_by: str = MONITOR
    by_pixels: float | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the version may be judged by its answers."""
        return self.verdict in _SOUND

    @property
    def deviation(self) -> float:
        """By how much a logit may be off from what it was when the version was measured."""
        return (self.largest or 0.0) + (self.by_pixels or 0.0)


def baseline(connection: Connection, version: str, place: str, engine: str) -> Baseline | None:
    """Return what a version gave first on a machine; None when it was never asked there."""
    statement = sa.select(
        *[getattr(BaselineRow, name) for name in Baseline.__dataclass_fields__]
    ).where(
        col(BaselineRow.version) == version,
        col(BaselineRow.place) == place,
        col(BaselineRow.engine) == engine,
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else Baseline(*row)


def baseline_of(check: Check) -> Baseline:
    """Return what a version gave on a day as a baseline.

    Raises:
        NotFoundError: It could not be loaded on that day.
    """
    if check.engine is None or check.answers is None:
        raise NotFoundError(f"version {check.version} gave no answers on {check.day}")
    return Baseline(
        check.version,
        check.place,
        check.engine,
        check.preprocessing,
        check.answers,
        check.libraries,
    )


def keep_baseline(connection: Connection, found: Baseline, *, by: str, now: datetime) -> None:
    """Keep what a version gives on a machine as what it has to give there from now on."""
    values = asdict(found) | {"libraries": dict(found.libraries), "by": by, "at": now}
    key = ("version", "place", "engine")
    statement = insert(BaselineRow).values(values)
    changed = {name: value for name, value in values.items() if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed))


def write(connection: Connection, check: Check) -> None:
    """Write one day's answers down, in place of what is there."""
    values = asdict(check) | {"libraries": dict(check.libraries)}
    key = ("version", "day", "asked_by")
    statement = insert(CheckRow).values(values)
    changed = {name: value for name, value in values.items() if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed))


def last(connection: Connection, version: str, until: date | None = None) -> Check | None:
    """Return the monitor's last check of a version, of no later day than `until`; None without."""
    statement = _CHECKS.where(col(CheckRow.version) == version, col(CheckRow.asked_by) == MONITOR)
    if until is not None:
        statement = statement.where(col(CheckRow.day) <= until)
    row = connection.execute(statement.order_by(col(CheckRow.day).desc()).limit(1)).one_or_none()
    return None if row is None else Check(*row)


def unsound_since(connection: Connection, version: str, until: date) -> date | None:
    """Return the first day of the unsound checks that the monitor's last one ends.

    None where that one is sound, or there is none.

    Args:
        connection: Where they are.
        version: The version.
        until: Checks of later days do not count.
    """
    of_monitor = (col(CheckRow.version) == version, col(CheckRow.asked_by) == MONITOR)
    known = sa.select(sa.func.min(CheckRow.day)).where(*of_monitor, col(CheckRow.day) <= until)
    sound = sa.select(sa.func.max(CheckRow.day)).where(
        *of_monitor, col(CheckRow.day) <= until, col(CheckRow.verdict).in_(_SOUND)
    )
    last_sound: Any = connection.execute(sound).scalar_one()
    if last_sound is not None:
        known = known.where(col(CheckRow.day) > last_sound)
    first: Any = connection.execute(known).scalar_one()
    return first


def in_force(connection: Connection, version: str, since: datetime) -> list[Check]:
    """Return what each that asks a version found last: the monitor, and services since a moment.

    Args:
        connection: Where they are.
        version: The version.
        since: A service that has not asked since then has gone.
    """
    statement = (
        _CHECKS.ext(distinct_on(col(CheckRow.asked_by)))
        .where(
            col(CheckRow.version) == version,
            sa.or_(col(CheckRow.asked_by) == MONITOR, col(CheckRow.at) >= since),
        )
        .order_by(col(CheckRow.asked_by), col(CheckRow.day).desc())
    )
    return [Check(*row) for row in connection.execute(statement)]


def latest(connection: Connection, limit: int = 100) -> list[Check]:
    """Return the latest checks, the newest day first."""
    statement = _CHECKS.order_by(col(CheckRow.day).desc(), col(CheckRow.at).desc()).limit(limit)
    return [Check(*row) for row in connection.execute(statement)]


def accept(connection: Connection, version: str, *, by: str, now: datetime) -> Check:
    """Take what a version gave last as what it has to give: a person has found it harmless.

    Holds for whoever found other answers, the monitor and services, and returns the first of
    them; where nobody did, for the monitor.

    Raises:
        NotFoundError: It was never asked, or could not be loaded when it was asked last.
    """
    asked = in_force(connection, version, now - REMEMBERED)
    other = [each for each in asked if each.engine is not None and not each.is_sound]
    if not other:
        other = [each for each in asked if each.engine is not None and each.asked_by == MONITOR]
    if not other:
        raise NotFoundError(
            f"version {version} has given no answers to accept; see: weakspot model sentinels"
        )
    accepted = [_accepted(connection, each, by=by, now=now) for each in other]
    return accepted[0]


def _accepted(connection: Connection, check: Check, *, by: str, now: datetime) -> Check:
    keep_baseline(connection, baseline_of(check), by=by, now=now)
    statement = (
        sa.update(CheckRow)
        .where(col(CheckRow.version) == check.version, col(CheckRow.day) == check.day)
        .where(col(CheckRow.asked_by) == check.asked_by)
        .values(verdict="same", detail="")
        .returning(*_CHECKS.selected_columns)
    )
    accepted = Check(*connection.execute(statement).one())
    detail = {
        "day": str(check.day),
        "asked by": check.asked_by,
        "place": check.place,
        "difference": check.detail,
    }
    audit.record(
        connection, now=now, by=by, action="accept answers", subject=check.version, detail=detail
    )
    return accepted


_CHECKS = sa.select(*[getattr(CheckRow, name) for name in Check.__dataclass_fields__])
