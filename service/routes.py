"""Every address of the service: what is read from a request, and what answers it.

Nothing is decided here; each route hands on to the room that knows.
"""

import asyncio
import contextlib
from collections.abc import Generator
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from core.errors import NotFoundError, OverloadedError, StoreAwayError, UsageError
from core.store import known_labels, predictions, registry
from core.store.database import transaction
from core.store.idempotency import Kept
from core.store.predictions import Filter
from service import cursors, health, problems
from service.door import uploads
from service.door.auth import caller_of, is_trusted, needs
from service.log.idempotency import HEADER, PATTERN, REPLAYED, Identity, identify
from service.model.predictor import Answered, Asked
from service.problems import describe, request_id_of, responses
from service.rooms import Rooms
from service.schemas import (
    Answer,
    BatchAnswer,
    Candidate,
    EngineFound,
    Liveness,
    LoggedPrediction,
    ModelName,
    MomentInQuery,
    PredictionList,
    Readiness,
    Refusal,
    RegisteredVersion,
    ServingModel,
    TrueLabel,
    VersionList,
)

_WITHOUT_KEY = "http"  # who labels where callers need no keys

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_TYPES = "image/jpeg, image/png, image/webp"
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
                "maxProperties": 1 + uploads.OTHER_FIELDS,
                "properties": {"image": {"type": "string", "format": "binary"}},
            },
            "encoding": {"image": {"contentType": _TYPES}},
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
                "maxProperties": 1 + uploads.OTHER_FIELDS,
                "properties": {
                    "images": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            },
            "encoding": {"images": {"contentType": _TYPES}},
        }
    },
}


async def _rooms(request: Request) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms


InRooms = Annotated[Rooms, Depends(_rooms)]
TopK = Annotated[int, Query(ge=1, le=1000, description="Labels in each answer, at most.")]
TimeoutMs = Annotated[
    int | None,
    Query(ge=1, le=600_000, description="Refused with 503 at once when this cannot be kept."),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=HEADER, pattern=PATTERN, description="Makes asking again harmless: any unique text."
    ),
]
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
        responses=responses(400, 408, 413, 415, 422, 503),
        max_body_size=max_image_bytes + _MULTIPART_BYTES,
    )(predict)
    routes.post(
        "/v1/predict/batch",
        openapi_extra={"requestBody": _IMAGES_BODY},
        responses=responses(400, 408, 413, 415, 422, 503),
        response_model_exclude_none=True,
        max_body_size=max_request_bytes,
    )(predict_batch)
    return routes


_MULTIPART_BYTES = 65_536


@needs("predict")
async def predict(
    request: Request,
    response: Response,
    rooms: InRooms,
    top_k: TopK = 5,
    timeout_ms: TimeoutMs = None,
    idempotency_key: IdempotencyKey = None,
) -> Answer:
    """Classify one image: send it as the body, or as the multipart field `image`.

    JPEG, PNG or WebP, whatever the content type says. The prediction is in the log before the
    answer leaves. With an `Idempotency-Key`, asking again for a day gives the same answer, marked
    by the header `Idempotent-Replayed: true`, and no second prediction.
    """
    asked = Asked(top_k, request_id_of(request), _seconds(timeout_ms))
    with rooms.bodies.hold(request) as body:
        data = await uploads.read_one(body, max_bytes=rooms.limits.max_image_bytes)
        if idempotency_key is None:
            return _answer(await rooms.predictor.predict(data, asked))
        identity = identify(caller_of(request), idempotency_key, data, top_k=top_k)
        kept, replayed = await rooms.idempotency.answer(
            identity, lambda: _predict_under_key(rooms, data, asked, identity)
        )
    if replayed:
        response.headers[REPLAYED] = "true"
    return Answer.model_validate(kept.answer)


async def _predict_under_key(rooms: Rooms, data: bytes, asked: Asked, identity: Identity) -> Kept:
    def keep(answered: Answered) -> Kept:
        prediction, answer = answered.prediction, _answer(answered).model_dump(mode="json")
        return Kept(*identity.place, identity.request_sha256, prediction.id, answer, prediction.at)

    return keep(await rooms.predictor.predict(data, replace(asked, keep=keep)))


@needs("predict")
async def predict_batch(
    request: Request, rooms: InRooms, top_k: TopK = 5, timeout_ms: TimeoutMs = None
) -> BatchAnswer:
    """Classify many images, each in a multipart field `images`: one answer or problem for each."""
    if HEADER in request.headers:
        raise UsageError(f"{HEADER} works for one image; send each of them to /v1/predict")
    limit = rooms.limits.max_image_bytes
    asked = Asked(top_k, request_id_of(request), _seconds(timeout_ms))

    async def attempt(data: bytes | None) -> Answer | Refusal:
        if data is None:
            too_large = f"larger than {limit} bytes"
            return Refusal(problem=problems.build(413, too_large, asked.request_id))
        try:
            return _answer(await rooms.predictor.predict(data, asked))
        except Exception as error:
            # One image's failure is that image's answer; the others still get theirs.
            return Refusal(problem=describe(error, asked.request_id))

    with rooms.bodies.hold(request) as body:
        files = await uploads.read_many(body, max_images=rooms.max_images, max_bytes=limit)
        return BatchAnswer(results=await asyncio.gather(*map(attempt, files)))


@router.get("/v1/predictions", tags=["predictions"], responses=responses(422, 503))
@needs("read")
def list_predictions(
    rooms: InRooms,
    *,
    version: Name = None,
    label: Name = None,
    start: Annotated[MomentInQuery | None, Query(alias="from")] = None,
    end: Annotated[MomentInQuery | None, Query(alias="to")] = None,
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
    with _log_of(rooms) as connection:
        page = predictions.page(connection, wanted, after=after, limit=limit)
    return PredictionList(
        predictions=[LoggedPrediction.of(each) for each in page.predictions],
        next=cursors.write(page.next) if page.next else None,
    )


@router.get("/v1/predictions/{id}", tags=["predictions"], responses=responses(404, 422, 503))
@needs("read")
def get_prediction(id: UUID, rooms: InRooms) -> LoggedPrediction:  # noqa: A002 - the route's word
    """Show one prediction."""
    with _log_of(rooms) as connection:
        return LoggedPrediction.of(predictions.get(connection, id))


@router.put(
    "/v1/predictions/{id}/label",
    tags=["predictions"],
    responses=responses(400, 404, 408, 413, 422, 503),
)
@needs("label")
def put_label(id: UUID, said: TrueLabel, rooms: InRooms, request: Request) -> LoggedPrediction:  # noqa: A002
    """Say what the picture of a prediction really shows; said again, the later word counts."""
    serving = rooms.slot.peek()
    labels = serving.runner.labels if serving else ()
    now = rooms.clock.now()
    with _log_of(rooms) as connection:
        known_labels.require_known(connection, said.label, labels)
        return LoggedPrediction.of(
            predictions.set_label(connection, id, said.label, by=_labelled_by(request), now=now)
        )


@router.get("/v1/model", tags=["models"], responses=responses(503))
@needs("read")
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
        engine=serving.runner.engine,
        engines=[EngineFound.model_validate(each) for each in serving.trial.measurements],
        metrics=manifest.metrics,
        created_at=manifest.created_at,
        loaded_at=serving.loaded_at,
    )


@router.get("/v1/models", tags=["models"], responses=responses(503))
@needs("read")
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
async def readyz(rooms: InRooms, request: Request) -> Response:
    """Say whether predictions can be answered, and what stands in the way."""
    found = await run_in_threadpool(health.readiness, rooms)
    if not is_trusted(request):
        found = found.in_short()
    headers = {} if found.ready else {"Retry-After": str(problems.RETRY_AFTER_S)}
    return JSONResponse(found.model_dump(exclude_none=True), 200 if found.ready else 503, headers)


@router.get("/metrics", tags=["operation"], response_class=Response)
@needs("read")
async def metrics(rooms: InRooms) -> Response:
    """Show the service's own numbers, for Prometheus; those of all its processes together."""
    if rooms.link:
        page = await rooms.link.metrics()
    else:
        page = await run_in_threadpool(rooms.metrics.render)
    return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", include_in_schema=False)
@needs("read")
async def root() -> RedirectResponse:
    """Lead a person to the documentation."""
    return RedirectResponse("/docs")


def _seconds(timeout_ms: int | None) -> float | None:
    return None if timeout_ms is None else timeout_ms / 1000


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


@contextlib.contextmanager
def _log_of(rooms: Rooms) -> Generator[Connection]:
    """Open a transaction on the prediction log; what is still in the spool is not called unknown.

    While Postgres is known to be away it is not waited for: every waiting request holds a thread.
    """
    if rooms.store.away:
        raise StoreAwayError(rooms.store.away)
    try:
        with transaction(rooms.engine) as connection:
            yield connection
    except NotFoundError as error:
        # Another process of this service may have spooled it: the folder is all of theirs.
        if not (rooms.spool and rooms.spool.size):
            raise
        raise OverloadedError(
            f"{error}; but some predictions are still spooled, try again when they are stored",
            retry_after_s=5,
        ) from error


def _labelled_by(request: Request) -> str:
    caller = caller_of(request)
    return _WITHOUT_KEY if caller == "local" else f"key:{caller}"


def _check_range(start: datetime | None, end: datetime | None) -> None:
    if start and end and start >= end:
        raise UsageError("from must be earlier than to")
