"""`/v1/models/...`: one version, and the champion moved by a person: promoted, or rolled back.

Moving it needs the scope `admin`. A version that has not passed the gate against the present
champion goes up only by force and with a reason; every move is in the audit trail under the key's
name.
"""

from datetime import datetime
from pathlib import Path as Folder
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from core.bundle import files
from core.errors import BundleError, ConflictError
from core.store import challengers, promotions, registry
from core.store.challengers import Beside, Differing
from core.store.database import transaction
from service.door.auth import needs, signature_of
from service.jobs import Label, Reason
from service.problems import responses
from service.routes import InRooms
from service.schemas import RegisteredVersion

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
    over: Label | None = Field(
        default=None,
        examples=["v3"],
        description="The champion that is to go; refused with 409 when another one serves.",
    )


class Moved(BaseModel):
    """What serves now, and what served before; services load it within seconds."""

    champion: str = Field(examples=["v3"])
    before: str | None = Field(examples=["v1"])


class ScoredBeside(BaseModel):
    """How a challenger's answers stand beside a champion's, over the sampled predictions."""

    model_config = ConfigDict(from_attributes=True)

    champion: str = Field(examples=["v1"])
    scored: int = Field(description="Predictions that both have answered.")
    differing: int = Field(description="Those on which they differ.")
    share: float = Field(description="`differing` of `scored`: neither can be better by more.")
    labelled: int = Field(description="Differing ones whose true label is known.")
    gained: int = Field(description="Of those, named rightly by the challenger alone.")
    lost: int = Field(description="Of those, named rightly by the champion alone.")
    first: datetime
    last: datetime

    @classmethod
    def of(cls, beside: Beside) -> "ScoredBeside":
        """Return counts of the store as they are shown."""
        return cls.model_validate(beside)


class DifferingPrediction(BaseModel):
    """A prediction on which the two differ; a label of it teaches most."""

    model_config = ConfigDict(from_attributes=True)

    prediction: UUID
    at: datetime
    champion: str
    answered: str = Field(description="What the champion said.")
    label: str = Field(description="What the challenger said.")
    probability: float = Field(description="Of that, by the challenger.")
    true_label: str | None

    @classmethod
    def of(cls, differing: Differing) -> "DifferingPrediction":
        """Return a row of the store as it is shown."""
        return cls.model_validate(differing)


class OneVersion(RegisteredVersion):
    """A version that could serve, and what it said beside champions while it waited."""

    shadow: list[ScoredBeside] = Field(description="A row for each champion, the latest first.")
    differing: list[DifferingPrediction] = Field(description="The newest of them.")


@router.get("/{version}", responses=responses(404, 422, 503))
@needs("read")
def get_version(
    version: VersionName,
    rooms: InRooms,
    limit: Annotated[int, Query(ge=0, le=500, description="Differing predictions shown.")] = 20,
) -> OneVersion:
    """Show one version, with its answers beside the champion's while it waits for gate images."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        found, champion = registry.get(connection, version), registry.champion(connection)
        scored = challengers.beside(connection, version)
        differing = challengers.differing(connection, version, limit=limit)
    shown = RegisteredVersion.of(found, champion.version if champion else None)
    return OneVersion(
        **shown.model_dump(),
        shadow=[ScoredBeside.of(each) for each in scored],
        differing=[DifferingPrediction.of(each) for each in differing],
    )


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
    """Make the champion's predecessor the champion again; never one that was rolled back."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        before, after = registry.roll_back(
            connection,
            now=rooms.clock.now(),
            by=signature_of(request),
            reason=withdrawal.reason,
            over=withdrawal.over,
        )
    return Moved(champion=after, before=before)
