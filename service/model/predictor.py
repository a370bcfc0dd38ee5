"""One image on one page: from the bytes that were sent to a logged answer.

Decoding runs in threads of its own, beside the model's. Everything a request holds is counted
when it comes in, so however many arrive, what waits is bounded and the rest is refused at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.clock import Clock
from core.errors import InvalidImageError, OverloadedError, UsageError
from core.images.decode import decode
from core.images.descriptors import describe
from core.images.picture import as_pillow
from core.images.preprocess import Recipe, preprocess
from core.store.idempotency import Kept
from core.store.predictions import Prediction, new_id
from service.log.prediction_log import Logged, PredictionLog
from service.model.batcher import AnyBatcher, Outcome
from service.model.model_slot import ModelSlot, Serving
from service.model.pixel_budget import PixelBudget
from service.telemetry import Metrics

LOGGED_TOP = 5  # labels kept of every prediction, however many its answer shows


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for.

    Attributes:
        max_image_bytes: Of one image as sent.
        max_image_pixels: Of one image, decoded.
        max_pixels: Of all images decoded at one moment; a larger one is decoded alone.
        max_waiting: Images on their way through the service at one moment.
        max_decoding: Images decoded at one moment.
        timeout_s: From the whole image received to its answer.
    """

    max_image_bytes: int
    max_image_pixels: int
    max_pixels: int
    max_waiting: int
    max_decoding: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Asked:
    """How one image is to be answered.

    Attributes:
        top_k: How many labels the answer shows, at most.
        request_id: Kept in the log.
        timeout_s: The caller's own patience; None leaves it to the service.
        serving: The version that is to answer; None takes whichever serves.
        keep: Says what is kept of the answer, in the transaction of its row.
    """

    top_k: int
    request_id: str
    timeout_s: float | None = None
    serving: Serving | None = None
    keep: Callable[[Answered], Kept] | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A logged prediction, and the labels its answer shows.

    Attributes:
        prediction: As it stands in the log.
        model: Name of the model whose version answered.
        top: The likeliest labels, best first, as many as were asked for.
        logged: Where its row is.
        outcome: All that the model said.
    """

    prediction: Prediction
    model: str
    top: list[dict[str, Any]]
    logged: Logged
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Picture:
    """An image, ready for a model."""

    tensor: NDArray[np.uint8]
    descriptors: dict[str, float]
    sha256: str
    seconds: float


_Reading = Callable[[Recipe], _Picture]


class Predictor:
    """Answers images, each with a committed row.

    Args:
        slot: Holds the version that serves.
        batcher: Runs it.
        log: Keeps what it said.
        limits: What one request may ask for.
        clock: Gives predictions their time.
        metrics: Told how long each stage took.

    Attributes:
        on_answered: Told of every logged prediction, with its picture as the model saw it.
        on_sent: Told of every logged prediction whose picture came as a file, with that file.
    """

    def __init__(
        self,
        *,
        slot: ModelSlot,
        batcher: AnyBatcher,
        log: PredictionLog,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._slot = slot
        self._batcher = batcher
        self._log = log
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._pixels = PixelBudget(limits.max_pixels)
        self._pool = ThreadPoolExecutor(limits.max_decoding, thread_name_prefix="decode")
        self._inside = 0
        self.on_answered: Callable[[Prediction, NDArray[np.uint8]], None] = lambda _p, _image: None
        self.on_sent: Callable[[Prediction, bytes], None] = lambda _p, _data: None

    def stop(self) -> None:
        """End the decoding threads; what waits for one is no longer awaited by anybody."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        """Return how many images are on their way through the service."""
        return self._inside

    async def predict(self, data: bytes, asked: Asked) -> Answered:
        """Answer one image.

        Args:
            data: A whole JPEG, PNG or WebP file.
            asked: How.

        Raises:
            InvalidImageError: The bytes are no usable image.
            OverloadedError: Too much is waiting, or the answer took too long.
            BundleError: No model serves.
            StoreError: The row could not be committed, so there is no answer.
        """
        if not data:
            raise InvalidImageError("the image is empty: 0 bytes were sent")
        answered = await self._admit(
            lambda recipe: _read(data, recipe, self._limits, self._pixels), asked
        )
        self.on_sent(answered.prediction, data)
        return answered

    async def predict_tensor(self, tensor: NDArray[np.uint8], asked: Asked) -> Answered:
        """Answer one picture that is decoded and resized already.

        Args:
            tensor: uint8 (height, width, 3), as the serving version's recipe gives.
            asked: How.

        Raises:
            UsageError: The serving version takes another shape.
            OverloadedError: Too much is waiting, or the answer took too long.
            BundleError: No model serves.
            StoreError: The row could not be committed, so there is no answer.
        """
        return await self._admit(lambda recipe: _take(tensor, recipe), asked)

    async def _admit(self, read: _Reading, asked: Asked) -> Answered:
        if self._inside >= self._limits.max_waiting:
            raise OverloadedError(f"{self._inside} images are being answered already; try again")
        patience_s = min(self._limits.timeout_s, asked.timeout_s or self._limits.timeout_s)
        self._refuse_what_comes_too_late(patience_s)
        self._inside += 1
        try:
            async with asyncio.timeout(patience_s):
                return await self._answer(read, asked, time.monotonic())
        except TimeoutError as error:
            raise OverloadedError(
                f"there was no answer within {patience_s:g} s; try again"
            ) from error
        finally:
            self._inside -= 1

    def _refuse_what_comes_too_late(self, patience_s: float) -> None:
        """Refuse at once what those ahead of it leave no time for, before it costs anything."""
        expected_s = self._batcher.expected_s(self._inside + 1)
        if expected_s > patience_s:
            raise OverloadedError(
                f"an answer would take about {expected_s:.2g} s and {patience_s:g} s are allowed; "
                "try again later, or allow more",
                retry_after_s=math.ceil(expected_s),
            )

    async def _answer(self, read: _Reading, asked: Asked, begun: float) -> Answered:
        serving = asked.serving or self._slot.current()
        at = self._clock.now()
        picture = await asyncio.get_running_loop().run_in_executor(
            self._pool, read, serving.runner.recipe
        )
        # Between decoding and inference the event loop has a turn: whoever gave up meanwhile is
        # gone from here, and what waits in the queue past its time is dropped there unseen.
        outcome = await self._batcher.submit(serving.runner, picture.tensor)
        top = _rank(outcome, serving.runner.labels, max(asked.top_k, LOGGED_TOP))
        prediction = Prediction(
            id=new_id(at),
            at=at,
            version=serving.runner.version,
            label=top[0]["label"],
            confidence=outcome.confidence,
            top=top[:LOGGED_TOP],
            margin=outcome.margin,
            entropy=outcome.entropy,
            descriptors=picture.descriptors,
            latency_ms=1000 * (time.monotonic() - begun),
            image_sha256=picture.sha256,
            embedding=outcome.embedding,
            request_id=asked.request_id,
        )
        committing = time.monotonic()
        answered = Answered(prediction, serving.name, top[: asked.top_k], "stored", outcome)
        logged = await self._log.commit(prediction, asked.keep(answered) if asked.keep else None)
        self._measure(picture, outcome, serving, time.monotonic() - committing)
        self.on_answered(prediction, picture.tensor)
        return replace(answered, logged=logged)

    def _measure(self, picture: _Picture, outcome: Outcome, serving: Serving, log_s: float) -> None:
        self._metrics.observe("decode", picture.seconds)
        self._metrics.observe("queue", outcome.queue_s)
        self._metrics.observe("infer", outcome.infer_s)
        self._metrics.observe("log", log_s)
        self._metrics.answered(serving.runner.version)


def _read(data: bytes, recipe: Recipe, limits: Limits, budget: PixelBudget) -> _Picture:
    begun = time.monotonic()
    with ExitStack() as room:
        pixels = decode(
            data,
            max_bytes=limits.max_image_bytes,
            max_pixels=limits.max_image_pixels,
            reserve=lambda count: room.enter_context(budget.hold(count)),
        )
        picture = as_pillow(pixels)
        return _Picture(
            tensor=preprocess(picture, recipe),
            descriptors=describe(picture),
            sha256=hashlib.sha256(data).hexdigest(),
            seconds=time.monotonic() - begun,
        )


def _take(tensor: NDArray[np.uint8], recipe: Recipe) -> _Picture:
    begun = time.monotonic()
    expected = (recipe.height, recipe.width, 3)
    if tensor.dtype != np.uint8 or tensor.shape != expected:
        raise UsageError(
            f"the version that serves takes uint8 {expected}, not {tensor.dtype} {tensor.shape}"
        )
    tensor = np.ascontiguousarray(tensor)
    return _Picture(
        tensor=tensor,
        descriptors=describe(tensor),
        sha256=hashlib.sha256(tensor.tobytes()).hexdigest(),
        seconds=time.monotonic() - begun,
    )


def _rank(outcome: Outcome, labels: tuple[str, ...], k: int) -> list[dict[str, Any]]:
    """Return the k likeliest labels, best first; of equals the one that comes first."""
    order = np.argsort(-outcome.probabilities, kind="stable")[:k]
    return [
        {"label": labels[i], "probability": round(float(outcome.probabilities[i]), 6)}
        for i in order
    ]
