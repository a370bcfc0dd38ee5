"""The Open Inference Protocol, version 2: for clients that were written for other servers.

The same predictor answers, so every picture of a request is a row of the prediction log. A
request is answered as a whole, by one version, or not at all. Its errors are problems like all
others; a member `error` repeats the sentence where the protocol's clients look for it.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from core.errors import NotFoundError, UsageError
from service import health
from service.door.auth import needs
from service.log import idempotency
from service.model.model_slot import Serving
from service.model.predictor import Answered, Asked, Predictor
from service.oip import oip_answers, oip_tensors
from service.oip.oip_schemas import (
    REQUEST_BODY,
    InferenceAnswer,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from service.oip.oip_tensors import Expected, InferRequest
from service.problems import RETRY_AFTER_S, request_id_of, responses
from service.rooms import Rooms
from service.routes import InRooms

_EXTENSIONS = ["binary_tensor_data", "classification"]
_HEADER_LENGTH = "Inference-Header-Content-Length"
_QUICK_BYTES = 65_536  # a body up to here is read at once; a larger one beside the event loop

Model = Annotated[str, Path(max_length=200, examples=["classifier"])]
Version = Annotated[str, Path(max_length=200, examples=["v3"])]

router = APIRouter(prefix="/v2", tags=["open inference protocol"])


@router.get("/health/live")
async def server_live() -> ServerLive:
    """Say that the process answers."""
    return ServerLive()


@router.get(
    "/health/ready",
    response_model=ServerReady,
    responses={503: {"description": "Predictions cannot be answered.", "model": ServerReady}},
)
async def server_ready(rooms: InRooms) -> Response:
    """Say whether predictions can be answered."""
    found = await run_in_threadpool(health.readiness, rooms)
    headers = {} if found.ready else {"Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse({"ready": found.ready}, 200 if found.ready else 503, headers)


@router.get("")
@needs("read")
async def server_metadata(request: Request) -> ServerMetadata:
    """Show who answers."""
    version: str = request.app.version
    return ServerMetadata(name="weakspot", version=version, extensions=_EXTENSIONS)


@router.get("/models/{model}/ready", responses=responses(404, 422, 503))
@needs("read")
async def model_ready(model: Model, rooms: InRooms) -> ModelReady:
    """Say that a model serves."""
    return ModelReady(name=_serving(rooms, model).name)


@router.get("/models/{model}/versions/{version}/ready", responses=responses(404, 422, 503))
@needs("read")
async def version_ready(model: Model, version: Version, rooms: InRooms) -> ModelReady:
    """Say that this version of a model serves."""
    return ModelReady(name=_serving(rooms, model, version).name)


@router.get("/models/{model}", responses=responses(404, 422, 503), response_model_exclude_none=True)
@needs("read")
async def model_metadata(model: Model, rooms: InRooms) -> ModelMetadata:
    """Show what a model takes and gives."""
    return _metadata(_serving(rooms, model))


@router.get(
    "/models/{model}/versions/{version}",
    responses=responses(404, 422, 503),
    response_model_exclude_none=True,
)
@needs("read")
async def version_metadata(model: Model, version: Version, rooms: InRooms) -> ModelMetadata:
    """Show what this version of a model takes and gives."""
    return _metadata(_serving(rooms, model, version))


def infer_router(*, max_request_bytes: int) -> APIRouter:
    """Return the routes that classify.

    Args:
        max_request_bytes: Of one request.
    """
    routes = APIRouter(prefix="/v2", tags=["open inference protocol"])
    shared: dict[str, Any] = {
        "response_model": InferenceAnswer,
        "responses": responses(400, 404, 413, 415, 422, 503),
        "openapi_extra": {"requestBody": REQUEST_BODY},
        "max_body_size": max_request_bytes,
    }
    # One large body is taken apart at a time: however many arrive, their parts do not add up.
    turn = asyncio.Semaphore(1)

    @needs("predict")
    async def infer(model: Model, request: Request, rooms: InRooms) -> Response:
        """Classify the pictures of one tensor, by the version that serves.

        `image` is UINT8 of the model's own size, or BYTES: whole JPEG, PNG or WebP files.
        Its bytes may follow the JSON: its parameter `binary_data_size` then says how many they are,
        and the header `Inference-Header-Content-Length` how many bytes of JSON come before them.
        Outputs with the parameter `binary_data` come back in the same way.
        """
        return await _infer(request, rooms, _serving(rooms, model), turn)

    @needs("predict")
    async def infer_version(
        model: Model, version: Version, request: Request, rooms: InRooms
    ) -> Response:
        """Classify the pictures of one tensor, if this version serves."""
        return await _infer(request, rooms, _serving(rooms, model, version), turn)

    routes.post("/models/{model}/infer", **shared)(infer)
    routes.post("/models/{model}/versions/{version}/infer", **shared)(infer_version)
    return routes


async def _infer(
    request: Request, rooms: Rooms, serving: Serving, turn: asyncio.Semaphore
) -> Response:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "compressed requests are not taken; send it as it is")
    if idempotency.HEADER in request.headers:
        raise UsageError("Idempotency-Key is kept by /v1/predict only; leave it out here")
    recipe = serving.runner.recipe
    expected = Expected(
        height=recipe.height,
        width=recipe.width,
        max_images=rooms.max_images,
        max_image_bytes=rooms.limits.max_image_bytes,
    )
    with rooms.bodies.hold(request) as held:
        body = await held.read()
        length = request.headers.get(_HEADER_LENGTH)
        wanted = await _in_turn(turn, len(body), lambda: oip_tensors.read(body, length, expected))
        asked = Asked(1, request_id_of(request), wanted.timeout_s, serving)
        answered = await _answer(rooms.predictor, wanted, asked)
    answer = oip_answers.write(wanted, answered, serving.runner.labels)
    if answer.json_bytes is None:
        return Response(answer.body, media_type="application/json")
    headers = {_HEADER_LENGTH: str(answer.json_bytes)}
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


async def _in_turn(
    turn: asyncio.Semaphore, size: int, read: Callable[[], InferRequest]
) -> InferRequest:
    if size <= _QUICK_BYTES:
        return read()
    async with turn:
        return await run_in_threadpool(read)


async def _answer(predictor: Predictor, wanted: InferRequest, asked: Asked) -> list[Answered]:
    """Return the answers to all pictures; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    predictor.predict(image, asked)
                    if isinstance(image, bytes)
                    else predictor.predict_tensor(image, asked)
                )
                for image in wanted.images
            ]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


def _serving(rooms: Rooms, model: str, version: str | None = None) -> Serving:
    """Return what serves, if it is what was asked for.

    Raises:
        NotFoundError: Something else serves.
        BundleError: Nothing does.
    """
    serving = rooms.slot.current()
    if model != serving.name:
        raise NotFoundError(f"no such model serves here; {serving.name} does")
    if version is not None and version != serving.runner.version:
        raise NotFoundError(
            f"this version does not serve; {serving.runner.version} does, and a request without "
            "a version is answered by whichever serves"
        )
    return serving


def _metadata(serving: Serving) -> ModelMetadata:
    return ModelMetadata.model_validate(
        {
            "name": serving.name,
            "versions": [serving.runner.version],
            "platform": "onnx",
            "inputs": oip_answers.describe_input(serving.runner.recipe),
            "outputs": oip_answers.describe_outputs(serving.runner.labels),
        }
    )
