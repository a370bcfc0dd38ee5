"""`/v1/health/events`: what happened to the classes and the model, as the overview lists it."""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.shown import happenings
from core.shown.happenings import Event
from core.shown.phrases import plain
from core.store.database import transaction
from core.store.event_places import Asked, Kind, Place, Source
from service import cursors
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms, Name
from service.schemas import LARGEST_NUMBER
from service.shown.class_days import LONGEST_CURSOR
from service.shown.spans import From, To, span

router = APIRouter(prefix="/v1/health", tags=["health"])


class ShownEvent(BaseModel):
    """One thing that happened."""

    day: date = Field(examples=["2026-03-08"], description="The day that it belongs to.")
    at: datetime = Field(description="When it was done, perhaps some days later.")
    kind: Kind = Field(
        examples=["alert"],
        description="`deployment`: another champion; `alert` and `recovery`: of a class, or of no "
        "class; `failure`: a run of the monitor that failed; `missed`: a day that nobody examined.",
    )
    what: str = Field(examples=["Spider became weak"])
    detail: str = Field(examples=["Spider is weak since 2026-03-08: 6 of 20 right"])
    labels: list[str] = Field(examples=[["Spider"]], description="The classes that it is about.")

    @classmethod
    def of(cls, event: Event) -> "ShownEvent":
        """Return an event as it is shown."""
        return cls(
            day=event.day,
            at=event.at,
            kind=event.kind,
            what=plain(event.title),
            detail=event.detail,
            labels=event.labels,
        )


class EventList(BaseModel):
    """A page of what happened on some days, the newest first."""

    first: date = Field(examples=["2026-02-07"], description="The first day looked at.")
    last: date = Field(examples=["2026-03-08"], description="The last.")
    events: list[ShownEvent]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


@router.get("/events", responses=responses(422, 503))
@needs("read")
def list_events(  # noqa: PLR0913 - the fields of a query
    rooms: InRooms,
    *,
    start: From = None,
    end: To = None,
    label: Name = None,
    kind: Kind | None = None,
    cursor: Annotated[str | None, Query(max_length=LONGEST_CURSOR)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> EventList:
    """List what happened, the newest first, up to today; follow `next` until it is null.

    With `cursor`, name the same days, label and kind as before.
    """
    after = _place(cursor) if cursor is not None else None
    now = rooms.clock.now()
    first, last = span(start, end, usual_last=now.date())
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        # One more than asked for says whether there is another page.
        found = happenings.page(
            connection, Asked(first, last, kind, label), now=now, most=limit + 1, after=after
        )
    page = found[:limit]
    return EventList(
        first=first,
        last=last,
        events=[ShownEvent.of(each) for each in page],
        next=_cursor(page[-1].place) if len(found) > limit else None,
    )


def _cursor(place: Place) -> str:
    source, row = int(place.source), place.row
    return cursors.write_words(place.day.isoformat(), place.at.isoformat(), f"{source}", f"{row}")


def _place(cursor: str) -> Place:
    day, at, source, row = cursors.read_words(cursor, 4)
    return Place(
        cursors.read_day(day),
        cursors.read_moment(at),
        Source(cursors.read_whole(source, most=max(Source))),
        cursors.read_whole(row, most=LARGEST_NUMBER),
    )
