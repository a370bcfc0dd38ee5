"""`/v1/health/days`: every class on every examined day, as the dashboard's matrix shows it."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.store import class_history
from core.store.class_days import ClassDay
from core.store.database import transaction
from service import cursors
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms, Name
from service.shown.spans import From, To, examined_span

LONGEST_CURSOR = 2_000

router = APIRouter(prefix="/v1/health", tags=["health"])


class DayOfClass(BaseModel):
    """One class on one examined day."""

    day: date = Field(examples=["2026-03-08"])
    version: str = Field(examples=["v3"], description="The version examined on that day.")
    label: str = Field(examples=["Spider"])
    n: int = Field(ge=0, examples=[20], description="Labelled images judged; 0 without any.")
    correct: int = Field(ge=0, examples=[6])
    accuracy: float | None = Field(examples=[0.3], description="Null where n is 0.")
    low: float = Field(examples=[0.14], description="Lower end of the 95 % Jeffreys interval.")
    high: float = Field(examples=[0.52], description="Its upper end.")
    mistaken_for: dict[str, int] = Field(
        examples=[{"Cat": 14}], description="The wrong answers, by what was said."
    )

    @classmethod
    def of(cls, day: ClassDay) -> "DayOfClass":
        """Return a class's day as it is shown."""
        return cls(
            day=day.day,
            version=day.version,
            label=day.label,
            n=day.n,
            correct=day.correct,
            accuracy=day.correct / day.n if day.n else None,
            low=day.low,
            high=day.high,
            mistaken_for=day.confused,
        )


class DaysOfClasses(BaseModel):
    """A page of classes and days, in the order of days, then of labels."""

    first: date = Field(examples=["2026-02-07"], description="The first day looked at.")
    last: date = Field(examples=["2026-03-08"], description="The last.")
    days: list[DayOfClass]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


@router.get("/days", responses=responses(422, 503))
@needs("read")
def list_days_of_classes(
    rooms: InRooms,
    *,
    start: From = None,
    end: To = None,
    label: Name = None,
    cursor: Annotated[str | None, Query(max_length=LONGEST_CURSOR)] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> DaysOfClasses:
    """List how each class did on each examined day; follow `next` until it is null.

    A day shows the version that was examined on it. A class that had no labelled images on an
    examined day is listed with `n` 0; a day that nobody examined is left out. With `cursor`, name
    the same days and label as before.
    """
    after = None
    if cursor is not None:
        day, place = cursors.read_words(cursor, 2)
        after = (cursors.read_day(day), place)
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        first, last = examined_span(connection, start, end, now=rooms.clock.now())
        # One more than asked for says whether there is another page.
        found = class_history.page(
            connection, first, last, label=label, after=after, most=limit + 1
        )
    page = found[:limit]
    return DaysOfClasses(
        first=first,
        last=last,
        days=[DayOfClass.of(each) for each in page],
        next=cursors.write_words(page[-1].day.isoformat(), page[-1].label)
        if len(found) > limit
        else None,
    )
