"""`/v1/alerts`: what the monitor has told, for programs that ask instead of being told.

Reading only: what is done about an alert is done with `weakspot alerts`.
"""

import base64
import binascii
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from core.errors import NotFoundError, StoreAwayError, UsageError
from core.store import alerts, outbox
from core.store.alert_states import State
from core.store.database import transaction
from service.auth import needs
from service.problems import responses
from service.rooms import Rooms
from service.routes import InRooms, Name

_MOST = 2**63 - 1  # the largest number that Postgres gives to a row

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])


class ShownAlert(BaseModel):
    """What people were told about a cause, and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    kind: Literal["change", "monitor", "runtime", "model"] = Field(
        examples=["change"],
        description="All but `change` are about no class: `monitor` about the monitor itself, "
        "`runtime` about other answers for frozen images, `model` about an unregistered bundle.",
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
    why: dict[str, Any] = Field(
        validation_alias="evidence",
        examples=[{"cause": "data", "sentences": ["Cause: the pictures."]}],
        description="What it is mistaken for, what moved, and the cause; docs/diagnosis.md.",
    )
    snoozed_until: datetime | None
    resolved_at: datetime | None


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
    before = _read(cursor) if cursor is not None else None
    _require_store(rooms)
    with transaction(rooms.engine) as connection:
        # One more than asked for says whether there is another page.
        found = alerts.latest(connection, limit + 1, label=label, state=state, before=before)
        counts = outbox.counts(connection)
    page = found[:limit]
    return AlertList(
        alerts=[ShownAlert.model_validate(each) for each in page],
        next=_write(page[-1].id) if len(found) > limit else None,
        undelivered=Undelivered(waiting=counts["waiting"] + counts["sending"], dead=counts["dead"]),
    )


@router.get("/{id}", responses=responses(404, 422, 503))
@needs("read")
def get_alert(
    id: Annotated[int, Path(ge=1, le=_MOST, examples=[7])],  # noqa: A002 - the route's word
    rooms: InRooms,
) -> ShownAlert:
    """Show one alert."""
    _require_store(rooms)
    with transaction(rooms.engine) as connection:
        found = alerts.get(connection, id)
    if found is None:
        raise NotFoundError(f"there is no alert {id}")
    return ShownAlert.model_validate(found)


def _require_store(rooms: Rooms) -> None:
    # Postgres that is known to be away is not waited for: every waiting request holds a thread.
    if rooms.store.away:
        raise StoreAwayError(rooms.store.away)


def _write(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(8, "big")).decode()


def _read(cursor: str) -> int:
    """Return the number that `_write` wrote.

    Raises:
        UsageError: It was not written by us.
    """
    try:
        packed = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError("the cursor is not one of ours; begin again without it") from error
    number = int.from_bytes(packed, "big")
    if len(packed) != 8 or not 1 <= number <= _MOST:
        raise UsageError("the cursor is not one of ours; begin again without it")
    return number
