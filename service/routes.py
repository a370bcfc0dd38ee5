"""Every address of the service: what is read from a request, and what answers it.

Nothing is decided here; each route hands on to the room that knows.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import AwareDatetime
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from core.errors import UsageError
from core.store import images, predictions, registry
from core.store.database import transaction
from core.store.predictions import Filter
from service import cursors, health, problems, uploads
from service.predictor import Answered, Asked
from service.problems import describe, request_id_of, responses
from service.rooms import Rooms
from service.schemas import (
    Answer,
    BatchAnswer,
    Candidate,
    Liveness,
    LoggedPrediction,
    ModelName,
    PredictionList,
    Readiness,
    Refusal,
    RegisteredVersion,
    ServingModel,
    TrueLabel,
    VersionList,
)

_LABELLED_BY = "http"  # until callers have keys with names

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_IMAGE_BODY = {
    "required": True,
    "content": {
        "image/jpeg": _BYTES,
        "image/png": _BYTES,
        "image/webp": _BYTES,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "string", "format": "binary"}},
            }
        },
    },
}
_IMAGES_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {
                    "images": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        }
    },
}


async def _rooms(request: Request) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms


InRooms = Annotated[Rooms, Depends(_rooms)]
TopK = Annotated[int, Query(ge=1, le=1000, description="Labels in each answer, at most.")]
# Postgres cannot hold NUL in text, and no name has control characters.
Name = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]

router = APIRouter()


def predict_router(*, max_image_bytes: int, max_request_bytes: int) -> APIRouter:
    """Return the routes that take images, each with its own limit on the whole request.

    Args:
        max_image_bytes: Of a request with one image; multipart adds its headers to it.
        max_request_bytes: Of a request with many.
    """
    routes = APIRouter(tags=["predictions"])
    routes.post(
        "/v1/predict",
        openapi_extra={"requestBody": _IMAGE_BODY},
        responses=responses(400, 413, 415, 422, 503),
        max_body_size=max_image_bytes + _MULTIPART_BYTES,
    )(predict)
    routes.post(
        "/v1/predict/batch",
        openapi_extra={"requestBody": _IMAGES_BODY},
        responses=responses(400, 413, 422, 503),
        response_model_exclude_none=True,
        max_body_size=max_request_bytes,
    )(predict_batch)
    return routes


_MULTIPART_BYTES = 65_536


async def predict(request: Request, rooms: InRooms, top_k: TopK = 5) -> Answer:
    """Classify one image: send it as the body, or as the multipart field `image`.

    JPEG, PNG or WebP, whatever the content type says. The prediction is in the log before the
    answer leaves.
    """
    data = await uploads.read_one(request, max_bytes=rooms.limits.max_image_bytes)
    asked = Asked(top_k, request_id_of(request))
    return _answer(await rooms.predictor.predict(data, asked))


async def predict_batch(request: Request, rooms: InRooms, top_k: TopK = 5) -> BatchAnswer:
    """Classify many images, each in a multipart field `images`: one answer or problem for each."""
    limit = rooms.limits.max_image_bytes
    files = await uploads.read_many(request, max_images=rooms.max_images, max_bytes=limit)

    async def attempt(data: bytes | None) -> Answer | Refusal:
        request_id = request_id_of(request)
        if data is None:
            return Refusal(problem=problems.build(413, f"larger than {limit} bytes", request_id))
        try:
            return _answer(await rooms.predictor.predict(data, Asked(top_k, request_id)))
        except Exception as error:
            # One image's failure is that image's answer; the others still get theirs.
            return Refusal(problem=describe(error, request_id))

    return BatchAnswer(results=await asyncio.gather(*map(attempt, files)))


@router.get("/v1/predictions", tags=["predictions"], responses=responses(422, 503))
def list_predictions(
    rooms: InRooms,
    *,
    version: Name = None,
    label: Name = None,
    start: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    labelled: bool | None = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> PredictionList:
    """List the prediction log, the newest first; follow `next` until it is null.

    `from` is included, `to` is not; both need a zone, such as `2026-11-01T00:00:00Z`.
    """
    _check_range(start, end)
    wanted = Filter(version=version, label=label, start=start, end=end, labelled=labelled)
    after = cursors.read(cursor) if cursor is not None else None
    with transaction(rooms.engine) as connection:
        page = predictions.page(connection, wanted, after=after, limit=limit)
    return PredictionList(
        predictions=[LoggedPrediction.of(each) for each in page.predictions],
        next=cursors.write(page.next) if page.next else None,
    )


@router.get("/v1/predictions/{id}", tags=["predictions"], responses=responses(404, 422, 503))
def get_prediction(id: UUID, rooms: InRooms) -> LoggedPrediction:  # noqa: A002 - the route's word
    """Show one prediction."""
    with transaction(rooms.engine) as connection:
        return LoggedPrediction.of(predictions.get(connection, id))


@router.put(
    "/v1/predictions/{id}/label", tags=["predictions"], responses=responses(400, 404, 422, 503)
)
def put_label(id: UUID, said: TrueLabel, rooms: InRooms) -> LoggedPrediction:  # noqa: A002
    """Say what the picture of a prediction really shows; said again, the later word counts."""
    serving = rooms.slot.peek()
    labels = serving.runner.labels if serving else ()
    now = rooms.clock.now()
    with transaction(rooms.engine) as connection:
        _check_label(connection, said.label, labels)
        return LoggedPrediction.of(
            predictions.set_label(connection, id, said.label, by=_LABELLED_BY, now=now)
        )


@router.get("/v1/model", tags=["models"], responses=responses(503))
def get_model(rooms: InRooms) -> ServingModel:
    """Show the version that answers now."""
    serving = rooms.slot.current()
    manifest = serving.runner.manifest
    return ServingModel(
        name=serving.name,
        version=serving.runner.version,
        labels=list(serving.runner.labels),
        recipe=serving.runner.recipe.to_dict(),
        architecture=manifest.architecture,
        device=serving.runner.device,
        metrics=manifest.metrics,
        created_at=manifest.created_at,
        loaded_at=serving.loaded_at,
    )


@router.get("/v1/models", tags=["models"], responses=responses(503))
def list_models(rooms: InRooms) -> VersionList:
    """List every registered version, the newest first."""
    with transaction(rooms.engine) as connection:
        versions = registry.versions(connection)
        champion = registry.champion(connection)
    name = champion.version if champion else None
    return VersionList(models=[RegisteredVersion.of(version, name) for version in versions])


@router.get("/healthz", tags=["operation"])
async def healthz() -> Liveness:
    """Say that the process answers."""
    return Liveness()


@router.get(
    "/readyz",
    tags=["operation"],
    response_model=Readiness,
    responses={503: {"description": "Predictions cannot be answered.", "model": Readiness}},
)
async def readyz(rooms: InRooms) -> Response:
    """Say whether predictions can be answered, and what stands in the way."""
    found = await run_in_threadpool(health.readiness, rooms)
    headers = {} if found.ready else {"Retry-After": str(problems.RETRY_AFTER_S)}
    return JSONResponse(found.model_dump(), 200 if found.ready else 503, headers)


@router.get("/metrics", tags=["operation"], response_class=Response)
def metrics(rooms: InRooms) -> Response:
    """Show the service's own numbers, for Prometheus."""
    return Response(rooms.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """Lead a person to the documentation."""
    return RedirectResponse("/docs")


def _answer(answered: Answered) -> Answer:
    prediction = answered.prediction
    return Answer(
        id=prediction.id,
        model=ModelName(name=answered.model, version=prediction.version),
        label=prediction.label,
        confidence=answered.top[0]["probability"],
        top=[Candidate(**each) for each in answered.top],
        logged=answered.logged,
    )


def _check_range(start: datetime | None, end: datetime | None) -> None:
    if start and end and start >= end:
        raise UsageError("from must be earlier than to")


def _check_label(connection: Connection, label: str, champion: Sequence[str]) -> None:
    """Refuse a label that neither the champion nor the pool knows, and say which are near."""
    if label in champion:
        return
    known = sorted({*champion, *images.labels(connection)})
    if label in known:
        return
    near = get_close_matches(label, known, n=3, cutoff=0.5) or known[:3]
    raise UsageError(f"no class has that name; did you mean: {', '.join(near) or 'none yet'}?")
