"""`/v1/health/summary`: the five numbers on top of the overview, each with what it was before."""

from datetime import date, datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from core.shown import summary
from core.store.database import transaction
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms

router = APIRouter(prefix="/v1/health", tags=["health"])


class Counted(BaseModel):
    """A number of things, and what it was before."""

    model_config = ConfigDict(from_attributes=True)

    now: int = Field(ge=0, examples=[2])
    before: int | None = Field(examples=[1], description="Null with nothing to compare.")


class Share(BaseModel):
    """A share, and what it was before."""

    model_config = ConfigDict(from_attributes=True)

    now: float = Field(examples=[0.91])
    before: float | None = Field(examples=[0.94], description="Null with nothing to compare.")


class Serving(BaseModel):
    """The champion."""

    model_config = ConfigDict(from_attributes=True)

    version: str = Field(examples=["v3"])
    since: datetime
    before: str | None = Field(examples=["v1"], description="The version that served before.")


class HealthSummary(BaseModel):
    """The model in numbers."""

    day: date | None = Field(
        examples=["2026-03-08"], description="Of the last exam; null before the first."
    )
    champion: Serving | None = Field(description="Null before the first promotion.")
    classes: int = Field(ge=0, examples=[10], description="Classes that are watched.")
    flagged: Counted = Field(
        description="Classes whose flag was open at the end of `day`, and a week before."
    )
    accuracy: Share | None = Field(
        description="Of all labelled images answered right in the seven days up to `day`, and in "
        "the seven before; null where none was judged."
    )
    predictions: Counted = Field(description="On `day`, and on the day before.")
    open_alerts: Counted = Field(description="Not resolved now, and a week ago.")


@router.get("/summary", responses=responses(503))
@needs("read")
def get_summary(rooms: InRooms) -> HealthSummary:
    """Show the model in five numbers, each with what it was a day or a week before."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        found = summary.read(connection, now=rooms.clock.now())
    numbers = found.numbers
    return HealthSummary(
        day=found.day,
        champion=Serving.model_validate(found.reign) if found.reign else None,
        classes=found.classes,
        flagged=Counted.model_validate(numbers.flagged),
        accuracy=Share.model_validate(numbers.accuracy) if numbers.accuracy else None,
        predictions=Counted.model_validate(numbers.predictions),
        open_alerts=Counted.model_validate(numbers.open_alerts),
    )
