"""Decoding beside the model: batches flow through two pools, in order and bounded.

One thread decodes a whole batch and hands it to the model's threads, so nothing is waited for
inside a pool and the price of handing over is paid once a batch. Only so many batches are under
way that neither side starves; what a million images need is what a few hundred need.

Decoding runs in threads: Pillow leaves the interpreter to others while it decodes and resizes.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from core.bulk.listing import Item
from core.bundle.outputs import Outputs
from core.bundle.runner import Runner
from core.errors import CatalogError, InvalidImageError, NotFoundError, UsageError
from core.images import source
from core.images.decode import decode
from core.images.preprocess import Recipe, preprocess

_SPARE_BATCHES = 2  # decoded and waiting, for each of the model's threads


@dataclass(frozen=True, slots=True)
class Pace:
    """How the work is shared out.

    Attributes:
        batch_size: Images per model call.
        model_threads: Model calls at a time.
        decode_threads: Batches decoded at a time.

    Raises:
        UsageError: One of them is below 1.
    """

    batch_size: int = 8
    model_threads: int = 1
    decode_threads: int = 2

    def __post_init__(self) -> None:
        if min(self.batch_size, self.model_threads, self.decode_threads) < 1:
            raise UsageError(f"batch size and numbers of threads must be 1 or more: {self}")


@dataclass(frozen=True, slots=True)
class Scored:
    """What was found of one batch of images.

    Attributes:
        items: The images, as they were listed.
        sha256: Of each image's bytes; None where they could not be read.
        errors: What was wrong with each; None where the model answered.
        outputs: The model's answers for those without an error, in order.
    """

    items: list[Item]
    sha256: list[str | None]
    errors: list[str | None]
    outputs: Outputs


@dataclass(frozen=True, slots=True)
class _Decoded:
    items: list[Item]
    sha256: list[str | None]
    errors: list[str | None]
    images: NDArray[np.uint8]


def score(runner: Runner, items: Iterable[Item], pace: Pace) -> Generator[Scored]:
    """Yield what the version says of the images, batch by batch, in their order.

    Raises:
        BundleError: The model failed on a batch.
        CatalogError: The listing failed.
    """
    decoders = ThreadPoolExecutor(pace.decode_threads, thread_name_prefix="decode")
    models = ThreadPoolExecutor(pace.model_threads, thread_name_prefix="model")

    def decode_and_pass_on(batch: list[Item]) -> Future[Scored]:
        return models.submit(_answer, runner, _decode(batch, runner.recipe))

    ahead = pace.decode_threads + (1 + _SPARE_BATCHES) * pace.model_threads
    waiting: deque[Future[Future[Scored]]] = deque()
    listed = iter(items)
    try:
        while batch := list(islice(listed, pace.batch_size)):
            waiting.append(decoders.submit(decode_and_pass_on, batch))
            if len(waiting) >= ahead:
                yield waiting.popleft().result().result()
        while waiting:
            yield waiting.popleft().result().result()
    finally:
        # Decoders first: one that is at work still hands its batch on.
        decoders.shutdown(cancel_futures=True)
        models.shutdown(cancel_futures=True)


def _decode(batch: list[Item], recipe: Recipe) -> _Decoded:
    images = np.empty((len(batch), recipe.height, recipe.width, 3), dtype=np.uint8)
    digests: list[str | None] = []
    errors: list[str | None] = []
    readable = 0
    for item in batch:
        digest = None
        try:
            data = source.read_bytes(item.uri)
            digest = hashlib.sha256(data).hexdigest()
            images[readable] = preprocess(decode(data), recipe)
        except (CatalogError, InvalidImageError, NotFoundError) as error:
            errors.append(str(error) or type(error).__name__)
        else:
            errors.append(None)
            readable += 1
        digests.append(digest)
    return _Decoded(batch, digests, errors, images[:readable])


def _answer(runner: Runner, decoded: _Decoded) -> Scored:
    outputs = runner.run(decoded.images)
    return Scored(decoded.items, decoded.sha256, decoded.errors, outputs)
