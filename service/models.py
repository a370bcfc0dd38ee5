"""`/v1/models/...`: the champion moved by a person: promoted, or rolled back.

Both need the scope `admin`. A version that has not passed the gate against the present champion
goes up only by force and with a reason; every move is in the audit trail under the key's name.
"""

from pathlib import Path as Folder
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from core.bundle import files
from core.errors import BundleError, ConflictError
from core.store import promotions, registry
from core.store.database import transaction
from service.door.auth import needs, signature_of
from service.jobs import Label, Reason
from service.problems import responses
from service.routes import InRooms

VersionName = Annotated[
    str, Path(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["v3"])
]

router = APIRouter(prefix="/v1/models", tags=["models"])


class Promotion(BaseModel):
    """How a version is to become the champion."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = Field(
        default=None, examples=["new camera"], description="Why; needed with `force`, and kept."
    )
    force: bool = Field(default=False, description="Go without the gate.")
    over: Label | None = Field(
        default=None,
        examples=["v1"],
        description="The champion it is to replace; refused with 409 when another one serves.",
    )


class Withdrawal(BaseModel):
    """Why the champion is to go."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(examples=["worse at night"], description="Why; it is kept.")


class Moved(BaseModel):
    """What serves now, and what served before; services load it within seconds."""

    champion: str = Field(examples=["v3"])
    before: str | None = Field(examples=["v1"])


@router.post("/{version}/promote", responses=responses(400, 404, 409, 422, 503))
@needs("admin")
def promote_version(
    version: VersionName, promotion: Promotion, request: Request, rooms: InRooms
) -> Moved:
    """Make a version the champion: one that has passed the gate, or any by force."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        bundle = Folder(registry.get(connection, version).uri)
    try:
        files.verify(bundle)
    except BundleError as error:
        # Its own words name folders.
        raise ConflictError(
            f"the bundle of {version} is incomplete or altered; see: weakspot model verify"
        ) from error
    with transaction(rooms.engine) as connection:
        before = promotions.promote(
            connection,
            version,
            now=rooms.clock.now(),
            by=signature_of(request),
            reason=promotion.reason,
            force=promotion.force,
            over=promotion.over,
        )
    return Moved(champion=version, before=before)


@router.post("/rollback", responses=responses(400, 409, 422, 503))
@needs("admin")
def roll_back(withdrawal: Withdrawal, request: Request, rooms: InRooms) -> Moved:
    """Make the champion's predecessor the champion again."""
    rooms.require_store()
    by, now = signature_of(request), rooms.clock.now()
    with transaction(rooms.engine) as connection:
        before, after = registry.roll_back(connection, now=now, by=by, reason=withdrawal.reason)
    return Moved(champion=after, before=before)
