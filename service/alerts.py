"""`/v1/alerts`: what the monitor has told, and what is done about it, as with `weakspot alerts`.

Reading needs the scope `read`. What is done about an alert is a person's judgement, like a true
label, so it needs `label`; the audit trail has the key's name.
"""

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from core import telling
from core.errors import NotFoundError
from core.store import alerts, outbox
from core.store.alert_states import Deed, State
from core.store.alerts import Kind
from core.store.database import transaction
from service import cursors
from service.door.auth import needs, signature_of
from service.problems import responses
from service.rooms import Rooms
from service.routes import InRooms, Name
from service.schemas import Number

_LONGEST_SLEEP_H = 24 * 365

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])


class ShownAlert(BaseModel):
    """What people were told about a cause, and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    kind: Kind = Field(
        examples=["change"],
        description="All but `change` are about no class: `monitor` about the monitor itself, "
        "`runtime` about other answers for frozen images, `model` about an unregistered bundle, "
        "`pooled` about all classes together, which answer worse than they did, `rolled back` "
        "about a promoted version that proved worse than the one before it, `load` about a "
        "champion that a service cannot load.",
    )
    state: State = Field(examples=["acknowledged"])
    at: datetime = Field(description="When it was raised.")
    label: str | None = Field(examples=["Spider"], description="The class it is about.")
    version: str | None = Field(examples=["v3"])
    since: date | None = Field(description="The day on which it most likely began.")
    title: str = Field(examples=["Spider is weak since 2026-03-08: 6 of 20 right, reference 91 %"])
    body: str = Field(description="Plain text; escape it for where it is shown.")
    confused_with: str | None = Field(examples=["Cat"])
    images: list[int] = Field(examples=[[31, 12]], description="The surest wrong answers first.")
    evidence: float = Field(
        validation_alias="peak", examples=[5400.0], description="The largest since it was raised."
    )
    certainty: float | None = Field(
        examples=[0.96],
        description="How probable it is that the class has fallen, where each falls once a year; "
        "null for what is about no class.",
    )
    why: dict[str, Any] = Field(
        validation_alias="evidence",
        examples=[{"cause": "data", "sentences": ["Cause: the pictures."]}],
        description="What it is mistaken for, what moved, and the cause; docs/diagnosis.md.",
    )
    snoozed_until: datetime | None
    resolved_at: datetime | None


class Sleep(BaseModel):
    """For how long an alert is not to be heard of."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"hours": 8}]})

    hours: int = Field(
        ge=1,
        le=_LONGEST_SLEEP_H,
        examples=[8],
        description="From now on. That it became worse is told when it wakes.",
    )


class Undelivered(BaseModel):
    """Messages that have not arrived."""

    waiting: int = Field(ge=0, description="On their way, or waiting for their next attempt.")
    dead: int = Field(ge=0, description="Given up; `weakspot alerts outbox` says why.")


class AlertList(BaseModel):
    """A page of alerts, the newest first."""

    alerts: list[ShownAlert]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")
    undelivered: Undelivered


@router.get("", responses=responses(422, 503))
@needs("read")
def list_alerts(
    rooms: InRooms,
    *,
    state: State | None = None,
    label: Name = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AlertList:
    """List the alerts, the newest first; follow `next` until it is null."""
    before = cursors.read_number(cursor) if cursor is not None else None
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        # One more than asked for says whether there is another page.
        found = alerts.latest(connection, limit + 1, label=label, state=state, before=before)
        counts = outbox.counts(connection)
    page = found[:limit]
    return AlertList(
        alerts=[ShownAlert.model_validate(each) for each in page],
        next=cursors.write_number(page[-1].id) if len(found) > limit else None,
        undelivered=Undelivered(waiting=counts["waiting"] + counts["sending"], dead=counts["dead"]),
    )


@router.get("/{id}", responses=responses(404, 422, 503))
@needs("read")
def get_alert(
    id: Number,  # noqa: A002 - the route's word
    rooms: InRooms,
) -> ShownAlert:
    """Show one alert."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        found = alerts.get(connection, id)
    if found is None:
        raise NotFoundError(f"there is no alert {id}")
    return ShownAlert.model_validate(found)


@router.post("/{id}/ack", responses=responses(404, 409, 422, 503))
@needs("label")
def acknowledge_alert(
    id: Number,  # noqa: A002 - the route's word
    request: Request,
    rooms: InRooms,
) -> ShownAlert:
    """Say that somebody is at it; that it becomes worse or is over is still told."""
    return _move(request, rooms, id, "acknowledge")


@router.post("/{id}/snooze", responses=responses(400, 404, 409, 422, 503))
@needs("label")
def snooze_alert(
    id: Number,  # noqa: A002 - the route's word
    sleep: Sleep,
    request: Request,
    rooms: InRooms,
) -> ShownAlert:
    """Hear no more of it for some hours; that it became worse is told when it wakes."""
    return _move(request, rooms, id, "snooze", sleep=timedelta(hours=sleep.hours))


@router.post("/{id}/resolve", responses=responses(404, 409, 422, 503))
@needs("label")
def resolve_alert(
    id: Number,  # noqa: A002 - the route's word
    request: Request,
    rooms: InRooms,
) -> ShownAlert:
    """Close it for good; who was told of it is told so. The flag of a class stays open."""
    return _move(request, rooms, id, "resolve")


def _move(
    request: Request, rooms: Rooms, alert: int, deed: Deed, sleep: timedelta | None = None
) -> ShownAlert:
    by, now = signature_of(request), rooms.clock.now()
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        moved = telling.move(
            connection, alert, deed, by=by, now=now, until=now + sleep if sleep else None
        )
    return ShownAlert.model_validate(moved)
