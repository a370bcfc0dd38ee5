"""`/v1/system`: whether everything runs, how fast and how full it is, as the System page shows it.

It is read off rows, so it is the same whichever service is asked. What a service knows of itself
alone, its spool and its queues, is in its /metrics and /readyz.
"""

from datetime import date, datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from core.shown import system
from core.shown.system import System
from core.store.database import transaction
from core.store.last_runs import Errand, LastStep
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms

router = APIRouter(tags=["operation"])


class ShownLoad(BaseModel):
    """What a service last said of loading the champion."""

    model_config = ConfigDict(from_attributes=True)

    instance: str = Field(examples=["host-4711"])
    version: str = Field(examples=["v3"])
    at: datetime
    ok: bool = Field(description="Whether it could.")
    detail: str = Field(examples=["by openvino-fp32"], description="What it said.")
    seconds: float = Field(examples=[1.8])


class HourOfTraffic(BaseModel):
    """The predictions of one hour."""

    model_config = ConfigDict(from_attributes=True)

    hour: datetime = Field(description="When it began.")
    n: int = Field(ge=0, examples=[1840], description="Predictions.")
    latency_ms: float = Field(examples=[21.4], description="Mean time to an answer.")


class LatencyQuantiles(BaseModel):
    """How long the latest predictions took."""

    model_config = ConfigDict(from_attributes=True)

    n: int = Field(ge=1, examples=[2000], description="How many were looked at.")
    since: datetime = Field(description="When the oldest of them was asked for.")
    p50_ms: float = Field(examples=[18.2])
    p95_ms: float = Field(examples=[39.5])
    p99_ms: float = Field(examples=[61.0])


class SilentJob(BaseModel):
    """A job under way whose worker has not been heard of in time."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    worker: str | None
    lease_until: datetime | None = Field(description="Until when it should have been.")


class ShownTable(BaseModel):
    """One table of the database, with its indexes and partitions."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(examples=["predictions"])
    bytes: int = Field(ge=0, examples=[48_234_496])
    rows: int = Field(ge=0, examples=[120_000], description="About, as Postgres estimates.")
    days: int | None = Field(
        examples=[31], description="Partitions, one a day; null where it has none."
    )


class LastExam(BaseModel):
    """The last finished exam."""

    model_config = ConfigDict(from_attributes=True)

    day: date = Field(examples=["2026-03-08"])
    version: str = Field(examples=["v3"])
    finished_at: datetime | None


class DayAtWork(BaseModel):
    """A day that a monitor is examining now."""

    model_config = ConfigDict(from_attributes=True)

    day: str = Field(validation_alias="slot", examples=["2026-03-08"])
    version: str = Field(examples=["v3"])
    started_at: datetime


class ShownStep(BaseModel):
    """The last time of one step of a day's exam, or of one errand."""

    step: str = Field(examples=["validation"])
    outcome: str = Field(examples=["done"], description="`running`, `done` or `failed`.")
    late: bool = Field(description="Whether it is overdue; an errand never is.")
    day: str | None = Field(examples=["2026-03-08"], description="Null for an errand.")
    version: str | None = Field(examples=["v3"], description="Likewise.")
    by: str | None = Field(examples=["host/4711"], description="Who did an errand.")
    started_at: datetime
    seconds: float | None = Field(examples=[4.2], description="Null while it runs.")

    @classmethod
    def of_day(cls, step: LastStep, found: System) -> "ShownStep":
        """Return a step of a day as it is shown."""
        at = datetime.fromisoformat(step.started_at)
        return cls(
            step=step.step,
            outcome=step.outcome,
            late=found.is_late(at),
            day=step.slot,
            version=step.version,
            by=None,
            started_at=at,
            seconds=step.seconds,
        )

    @classmethod
    def of_errand(cls, errand: Errand) -> "ShownStep":
        """Return an errand as it is shown."""
        return cls(
            step=errand.kind,
            outcome=errand.outcome,
            late=False,
            day=None,
            version=None,
            by=errand.holder,
            started_at=errand.started_at,
            seconds=(errand.finished_at - errand.started_at).total_seconds(),
        )


class Migrations(BaseModel):
    """The migration that the database is at, and the one that this service needs."""

    at: str | None = Field(examples=["0018"])
    needed: str | None = Field(examples=["0018"])


class ShownSystem(BaseModel):
    """How the installation is."""

    at: datetime = Field(description="The present moment, by the service's clock.")
    champion: str | None = Field(examples=["v3"])
    loads: list[ShownLoad] = Field(
        description=f"Of the champion, the latest first; {system.MOST_SERVICES} at most."
    )
    hours: list[HourOfTraffic] = Field(
        description=f"Of the last {system.TRAFFIC_DAYS} days, as far as the monitor has summed "
        "them; an hour without predictions is left out."
    )
    latencies: LatencyQuantiles | None = Field(description="Null without predictions of late.")
    jobs: dict[str, int] = Field(examples=[{"queued": 1, "promoted": 3}])
    silent_jobs: list[SilentJob]
    database_bytes: int = Field(ge=0, examples=[61_865_984], description="All tables together.")
    tables: list[ShownTable] = Field(description="The largest first; at most a minute old.")
    exam: LastExam | None = Field(description="Null before the first.")
    late_days: list[date] = Field(description="Days that nobody examined in time.")
    at_work: list[DayAtWork]
    steps: list[ShownStep] = Field(
        description="The last run of each step, in their order, then of each errand."
    )
    migrations: Migrations


@router.get("/v1/system", responses=responses(503))
@needs("read")
def get_system(rooms: InRooms) -> ShownSystem:
    """Show traffic, latency, queue, database and the last run of every step of the monitor."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        found = system.gather(connection, now=rooms.clock.now())
    at, needed = found.revisions
    return ShownSystem(
        at=found.now,
        champion=found.champion.version if found.champion else None,
        loads=[ShownLoad.model_validate(each) for each in found.loads],
        hours=[HourOfTraffic.model_validate(each) for each in found.hours],
        latencies=LatencyQuantiles.model_validate(found.latencies) if found.latencies else None,
        jobs=found.jobs,
        silent_jobs=[SilentJob.model_validate(each) for each in found.silent],
        database_bytes=found.database_bytes,
        tables=[ShownTable.model_validate(each) for each in found.tables],
        exam=LastExam.model_validate(found.exam) if found.exam else None,
        late_days=found.late,
        at_work=[DayAtWork.model_validate(each) for each in found.at_work],
        steps=[
            *[ShownStep.of_day(each, found) for each in found.steps],
            *[ShownStep.of_errand(each) for each in found.errands],
        ],
        migrations=Migrations(at=at, needed=needed),
    )
