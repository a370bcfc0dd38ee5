"""What a version says of its frozen images: once when first asked on a machine, then every day.

The same bundle on the same machine, by the same engine, gives the same bits; what it gave first
is the baseline. Another machine has a baseline of its own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import Field, SQLModel, col

from core.errors import NotFoundError
from core.store import audit

Verdict = Literal["same", "first here", "runtime", "model"]

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
        day: The day examined.
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

    @property
    def is_sound(self) -> bool:
        """Whether the version may be judged by its answers."""
        return self.verdict in {"same", "first here"}


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
    key = ("version", "day")
    statement = insert(CheckRow).values(values)
    changed = {name: value for name, value in values.items() if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed))


def last(connection: Connection, version: str, until: date | None = None) -> Check | None:
    """Return a version's latest check (of no later day than `until`); None without any."""
    statement = _CHECKS.where(col(CheckRow.version) == version)
    if until is not None:
        statement = statement.where(col(CheckRow.day) <= until)
    row = connection.execute(statement.order_by(col(CheckRow.day).desc()).limit(1)).one_or_none()
    return None if row is None else Check(*row)


def latest(connection: Connection, limit: int = 100) -> list[Check]:
    """Return the latest checks, the newest day first."""
    statement = _CHECKS.order_by(col(CheckRow.day).desc(), col(CheckRow.at).desc()).limit(limit)
    return [Check(*row) for row in connection.execute(statement)]


def accept(connection: Connection, version: str, *, by: str, now: datetime) -> Check:
    """Take what a version gave last as what it has to give: a person has found it harmless.

    Raises:
        NotFoundError: It was never asked, or could not be loaded when it was asked last.
    """
    check = last(connection, version)
    if check is None or check.engine is None:
        raise NotFoundError(
            f"version {version} has given no answers to accept; see: weakspot model sentinels"
        )
    keep_baseline(connection, baseline_of(check), by=by, now=now)
    statement = (
        sa.update(CheckRow)
        .where(col(CheckRow.version) == version, col(CheckRow.day) == check.day)
        .values(verdict="same", detail="")
        .returning(*_CHECKS.selected_columns)
    )
    accepted = Check(*connection.execute(statement).one())
    detail = {"day": str(check.day), "place": check.place, "difference": check.detail}
    audit.record(
        connection, now=now, by=by, action="accept answers", subject=version, detail=detail
    )
    return accepted


_CHECKS = sa.select(*[getattr(CheckRow, name) for name in Check.__dataclass_fields__])
