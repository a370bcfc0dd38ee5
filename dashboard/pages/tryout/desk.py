"""Where the champion answers pictures for the dashboard: one at a time, on one thread.

The page must not slow down what else the dashboard does, so few pictures wait and the others are
refused. The bundle is loaded when it is first asked, and given up for another when the champion
changes. It is the registered one, verified, in the reference engine: onnxruntime in float32.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.bundle import files
from core.errors import BundleError, InvalidImageError, OverloadedError, WeakspotError
from core.images.decode import decode
from core.images.preprocess import preprocess
from core.store import registry
from core.store.database import transaction

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray
    from sqlalchemy import Engine

    from core.bundle.runner import Runner
    from core.store.registry import Version

MAX_BYTES = 10_000_000
WAITING = 3  # pictures, with the one that is being answered
_PATIENCE_S = 30.0
_RETRY_AFTER_S = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """What the champion said of a picture.

    Attributes:
        runner: The version that answered.
        tensor: The picture as it saw it, uint8 (H, W, 3).
        probabilities: One a class, float32 (K,).
        embedding: Where the picture lies, float32 (256,).
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        decode_ms: What decoding and resizing took.
        model_ms: What the model took.
    """

    runner: Runner
    tensor: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    width: int
    height: int
    decode_ms: float
    model_ms: float


class Desk:
    """Answers pictures in turn; safe to ask from many threads."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(WAITING)
        self._turn = threading.Lock()
        self._runner: Runner | None = None

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait until nobody else is being answered, and keep the desk until the block ends.

        Raises:
            OverloadedError: Too many wait already, or it took too long.
        """
        if not self._places.acquire(blocking=False):
            raise OverloadedError(
                f"{WAITING} pictures are being answered already; try again in a moment",
                retry_after_s=_RETRY_AFTER_S,
            )
        try:
            if not self._turn.acquire(timeout=_PATIENCE_S):
                raise OverloadedError(
                    f"there was no answer within {_PATIENCE_S:.0f} s; try again",
                    retry_after_s=_RETRY_AFTER_S,
                )
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()

    def answer(self, version: Version, data: bytes) -> Answered:
        """Answer a picture; whoever asks has the turn.

        Raises:
            InvalidImageError: The bytes are no usable image.
            BundleError: The version's bundle is not here, or cannot be used.
        """
        if not data:
            raise InvalidImageError("the picture is empty: 0 bytes were sent")
        runner = self._runner_of(version)
        begun = time.monotonic()
        pixels = decode(data, max_bytes=MAX_BYTES)
        tensor = preprocess(pixels, runner.recipe)
        asked = time.monotonic()
        outputs = runner.run(tensor[np.newaxis])
        done = time.monotonic()
        return Answered(
            runner=runner,
            tensor=tensor,
            probabilities=outputs.probabilities[0],
            embedding=outputs.embedding[0],
            width=pixels.shape[1],
            height=pixels.shape[0],
            decode_ms=1000 * (asked - begun),
            model_ms=1000 * (done - asked),
        )

    def _runner_of(self, version: Version) -> Runner:
        if self._runner is not None and self._runner.digest == version.digest:
            return self._runner
        self._runner = None  # Two models at once would take twice the memory.
        self._runner = _load(version)
        return self._runner


def require_champion(engine: Engine) -> Version:
    """Return the version that serves.

    Raises:
        BundleError: There is none yet.
        StoreError: Postgres is away.
    """
    with transaction(engine) as connection:
        champion = registry.champion(connection)
    if champion is None:
        raise BundleError("there is no model yet; run: weakspot train")
    return champion


def require_bundle(version: Version) -> Path:
    """Return the folder of a version's bundle, which lies where the service looks for it, too.

    Raises:
        BundleError: It is not on this machine.
    """
    folder = Path(version.uri)
    if not (folder / files.MODEL).is_file():
        raise BundleError(
            f"the bundle of {version.version} is not on the machine that the dashboard runs on; "
            "start the dashboard with the WEAKSPOT_HOME of the service, or copy the folder of "
            "that version into its bundles"
        )
    return folder


def require_runtime() -> None:
    """Refuse where no picture can be answered.

    Raises:
        BundleError: onnxruntime is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise BundleError(
            "onnxruntime is not installed beside the dashboard: pip install 'weakspot[cpu]'; "
            "in the browser the model can be asked without it"
        )


def _load(version: Version) -> Runner:
    folder = require_bundle(version)
    require_runtime()
    from core.bundle.runner import Runner

    if files.digest(folder) != version.digest:
        raise BundleError(f"the bundle of {version.version} is not the one that was registered")
    try:
        return Runner.open(folder, "cpu", threads=1)
    except WeakspotError:
        raise
    except Exception as error:
        raise BundleError(f"the bundle of {version.version} cannot be loaded: {error}") from error
