"""`/v1/models/...`: one version, two of them, and the champion moved by a person.

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
from core.shown import comparing
from core.shown.comparing import Row, Source
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


class ComparedClass(BaseModel):
    """Two versions on the images of one class."""

    model_config = ConfigDict(from_attributes=True)

    label: str | None = Field(examples=["Spider"], description="Null for all images together.")
    n: int | None = Field(examples=[120], description="Images; null where nobody counted them.")
    a: float | None = Field(examples=[0.91], description="Recall of the first version.")
    b: float | None = Field(examples=[0.84], description="Recall of the second.")
    difference: float | None = Field(examples=[-0.07], description="b minus a.")
    low: float | None = Field(
        examples=[-0.13],
        description="Lower end of its 95 % interval; null where the images are no pairs.",
    )
    high: float | None = Field(examples=[-0.01], description="Its upper end.")

    @classmethod
    def of(cls, row: Row) -> "ComparedClass":
        """Return a row of the comparison as it is shown."""
        return cls.model_validate(row)


class Compared(BaseModel):
    """Two versions, class by class."""

    a: str = Field(examples=["v1"])
    b: str = Field(examples=["v3"])
    source: Source = Field(
        description="`exams`: images that both answered in daily exams; `gate`: the gate's exam of "
        "one against the other; `releases`: the test recalls of both, perhaps of other images; "
        "`nothing`: they cannot be compared."
    )
    job: int | None = Field(description="The exam, where the source is the gate's.")
    whole: ComparedClass | None = Field(description="All images together.")
    classes: list[ComparedClass] = Field(description="The largest loss of `b` first.")


OneOfTwo = Annotated[
    str, Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["v3"])
]


# It stands before the route of one version, which would take it for a name.
@router.get("/compare", responses=responses(404, 422, 503))
@needs("read")
def compare_versions(a: OneOfTwo, b: OneOfTwo, rooms: InRooms) -> Compared:
    """Set two versions against each other on the same images, class by class."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        found = comparing.compare(
            connection, registry.get(connection, a), registry.get(connection, b)
        )
    return Compared(
        a=found.a,
        b=found.b,
        source=found.source,
        job=found.job,
        whole=ComparedClass.of(found.whole) if found.whole else None,
        classes=[ComparedClass.of(each) for each in found.rows],
    )


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
