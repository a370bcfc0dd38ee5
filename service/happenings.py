"""`/v1/health/events`: what happened to the classes and the model, as the overview lists it."""

from datetime import date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.shown import happenings
from core.shown.happenings import Kind
from core.shown.phrases import plain
from core.store.database import transaction
from service.door.auth import needs
from service.problems import responses
from service.routes import InRooms, Name
from service.spans import From, To, span

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


class EventList(BaseModel):
    """What happened on some days, the newest first."""

    first: date = Field(examples=["2026-02-07"], description="The first day looked at.")
    last: date = Field(examples=["2026-03-08"], description="The last.")
    events: list[ShownEvent]
    more: int = Field(ge=0, description="How many older ones of these days `limit` cut off.")


@router.get("/events", responses=responses(422, 503))
@needs("read")
def list_events(
    rooms: InRooms,
    *,
    start: From = None,
    end: To = None,
    label: Name = None,
    kind: Kind | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> EventList:
    """List what happened, the newest first; up to today when `to` is left out.

    Of flags, alerts about no class, retrainings and runs the latest 200 each are known; older
    alerts and jobs have their own lists, /v1/alerts and /v1/jobs.
    """
    now = rooms.clock.now()
    first, last = span(start, end, usual_last=now.date())
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        happened = happenings.gathered(connection, label=label)
        happened.missed.extend(
            happenings.missed(connection, first, min(last, now.date() - timedelta(days=1)), now)
        )
    found = [
        each
        for each in happenings.listed(happened)
        if first <= each.day <= last
        and (kind is None or each.kind == kind)
        and (label is None or label in each.labels)
    ]
    return EventList(
        first=first,
        last=last,
        events=[
            ShownEvent(
                day=each.day,
                at=each.at,
                kind=each.kind,
                what=plain(each.title),
                detail=each.detail,
                labels=each.labels,
            )
            for each in found[:limit]
        ],
        more=max(len(found) - limit, 0),
    )
