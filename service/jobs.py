"""`/v1/retrain` and `/v1/jobs`: a retraining asked for, and what became of every job.

Reading needs the scope `read`. A job costs hours of a machine and may end in another champion, so
asking for one, cancelling it and trying it again need `admin`; the audit trail has the key's name.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.errors import ConflictError, UsageError
from core.store import images, jobs, registry
from core.store.database import transaction
from core.store.jobs import Status
from service.door.auth import needs, signature_of
from service.problems import responses
from service.routes import InRooms
from service.schemas import LARGEST_NUMBER, Number

# Postgres cannot hold NUL in text, and no name has control characters.
_PLAIN = r"^[^\x00-\x1f\x7f]+$"
Label = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_PLAIN)]

_LOCATION = {
    "Location": {"description": "Address of the job.", "schema": {"type": "string"}},
}

router = APIRouter(tags=["jobs"])


class Wish(BaseModel):
    """A retraining as it is asked for."""

    model_config = ConfigDict(extra="forbid")

    labels: list[Label] = Field(
        min_length=1, max_length=1000, examples=[["Spider"]], description="The weak classes."
    )
    reason: Reason = Field(examples=["new photographs of spiders"], description="Why; it is kept.")


class PassDone(BaseModel):
    """One pass over the training images, at its end."""

    model_config = ConfigDict(extra="ignore")

    number: int = Field(examples=[1])
    epochs: int = Field(examples=[10], description="How many there will be at most.")
    train_loss: float | None = Field(examples=[0.41])
    val_loss: float | None = Field(examples=[0.38])
    val_accuracy: float | None = Field(examples=[0.91])
    learning_rate: float | None = Field(examples=[0.0001])
    seconds: float | None = Field(examples=[12.5])


class Progress(BaseModel):
    """How far a job has come."""

    stage: str | None = Field(default=None, examples=["fitting"])
    done: int | None = Field(default=None, examples=[120])
    total: int | None = Field(default=None, examples=[400])
    epochs: list[PassDone] = Field(default=[], description="The passes so far.")


class Try(BaseModel):
    """One worker's try at a job."""

    worker: str | None = Field(default=None, examples=["host/4711"])
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stage: str | None = Field(default=None, examples=["fitting"], description="Last heard of.")
    why: str | None = Field(default=None, examples=["its worker fell silent"])


class ListedJob(BaseModel):
    """A job, in short."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    kind: Literal["retrain", "train"]
    status: Status = Field(examples=["running"])
    labels: list[str] = Field(examples=[["Spider"]], description="Classes it is aimed at.")
    reason: str
    requested_by: str = Field(examples=["monitor"])
    requested_at: datetime
    priority: int = Field(examples=[10], description="The larger is done first.")
    group: int | None = Field(
        validation_alias="group_id", description="Number of its group's first job."
    )
    worker: str | None
    attempts: int = Field(examples=[1])
    started_at: datetime | None
    finished_at: datetime | None
    cancelled_by: str | None
    progress: Progress
    parent: str | None = Field(examples=["v1"])
    challenger: str | None = Field(examples=["v2"], description="The version it made.")


class ShownJob(ListedJob):
    """A job in full."""

    tries: list[Try] = Field(description="The oldest first.")
    payload: dict[str, Any] = Field(
        description="What it works from: a run's configuration, or what the alert knew."
    )
    result: dict[str, Any] | None = Field(description="The gate's numbers, or why it failed.")


class JobList(BaseModel):
    """A page of jobs, the newest first."""

    jobs: list[ListedJob]
    next: int | None = Field(description="`before` of the next page; null on the last one.")


@router.post(
    "/v1/retrain",
    status_code=202,
    responses={202: {"headers": _LOCATION}, **responses(400, 409, 422, 503)},
)
@needs("admin")
def ask_for_retraining(
    wish: Wish, request: Request, response: Response, rooms: InRooms
) -> ShownJob:
    """Ask for a retraining; the answer is the job in flight, where there is one for these classes.

    A worker picks it up; its challenger becomes the champion only if it passes the gate.
    """
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        unknown = sorted(set(wish.labels) - set(images.labels(connection)))
        if unknown:
            raise UsageError("labels: one of them is no class of the pool")
        if registry.champion(connection) is None:
            raise ConflictError("there is no champion to retrain yet; train a first version")
        job = jobs.enqueue(
            connection,
            labels=list(dict.fromkeys(wish.labels)),
            reason=wish.reason,
            requested_by=signature_of(request),
            now=rooms.clock.now(),
        )
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return ShownJob.model_validate(job)


@router.get("/v1/jobs", responses=responses(422, 503))
@needs("read")
def list_jobs(
    rooms: InRooms,
    *,
    status: Status | None = None,
    kind: Literal["retrain", "train"] | None = None,
    group: Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER)] = None,
    before: Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> JobList:
    """List the jobs, the newest first; follow `next` until it is null."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        # One more than asked for says whether there is another page.
        found = jobs.find(
            connection, limit + 1, status=status, kind=kind, group_id=group, before=before
        )
    page = found[:limit]
    return JobList(
        jobs=[ListedJob.model_validate(each) for each in page],
        next=page[-1].id if len(found) > limit else None,
    )


@router.get("/v1/jobs/{id}", responses=responses(404, 422, 503))
@needs("read")
def get_job(
    id: Number,  # noqa: A002 - the route's word
    rooms: InRooms,
) -> ShownJob:
    """Show one job: how far it is, each try, and the gate's numbers once it has ended."""
    rooms.require_store()
    with transaction(rooms.engine) as connection:
        return ShownJob.model_validate(jobs.get(connection, id))


@router.post("/v1/jobs/{id}/cancel", responses=responses(404, 409, 422, 503))
@needs("admin")
def cancel_job(
    id: Number,  # noqa: A002 - the route's word
    request: Request,
    rooms: InRooms,
) -> ShownJob:
    """End a job: one that waits at once, one under way when its worker next reports."""
    rooms.require_store()
    by, now = signature_of(request), rooms.clock.now()
    with transaction(rooms.engine) as connection:
        return ShownJob.model_validate(jobs.cancel(connection, id, by=by, now=now))


@router.post("/v1/jobs/{id}/retry", responses=responses(404, 409, 422, 503))
@needs("admin")
def retry_job(
    id: Number,  # noqa: A002 - the route's word
    request: Request,
    rooms: InRooms,
) -> ShownJob:
    """Put a job that failed or was cancelled back into the queue."""
    rooms.require_store()
    by, now = signature_of(request), rooms.clock.now()
    with transaction(rooms.engine) as connection:
        return ShownJob.model_validate(jobs.retry(connection, id, by=by, now=now))
