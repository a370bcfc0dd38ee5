"""How fast this machine is: the engines by batch size and threads, and the decoding of photographs.

Everything is measured in this process, one thing after the other, for a fixed time. HTTP is not
part of it; `make bench` measures the service.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.bundle import files, sentinels
from core.bundle.engines import EngineName
from core.bundle.runner import Runner
from core.bundle.sessions import Device, Threads
from core.errors import BundleError
from core.images.decode import decode
from core.images.preprocess import Recipe, preprocess

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
GPU_BATCH_SIZES = (*BATCH_SIZES, 64, 128)
_PHOTO_BYTES = 90_000
_PHOTO_SIDE = 640  # of its short side; about what a photograph of that many bytes has


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of one engine.

    Attributes:
        engine: Which.
        threads: Callers at a time; on a CPU each computes its call alone.
        batch_size: Images per call.
        images_per_s: By all callers together.
    """

    engine: str
    threads: int
    batch_size: int
    images_per_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        device: Where.
        engines: Which engines.
        threads: Numbers of callers.
        batch_sizes: Images per call.
        seconds: How long each.
    """

    device: Device
    engines: tuple[EngineName, ...]
    threads: tuple[int, ...]
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An engine that cannot compute here, and why."""

    engine: str
    reason: str


def measure_engines(folder: Path, plan: Plan) -> Iterator[Speed | Failure]:
    """Yield the speed of each engine, number of threads and batch size."""
    images = sentinels.read(folder, files.verify(folder)).images
    for engine in plan.engines:
        try:
            for threads in plan.threads:
                shares = Threads(1, threads, plan.batch_sizes)
                runner = Runner.open(folder, plan.device, shares, engine=engine)
                for size in plan.batch_sizes:
                    batch = np.ascontiguousarray(images[np.arange(size) % len(images)])
                    rate = runs_per_s(lambda: runner.run(batch), threads, plan.seconds)  # noqa: B023
                    yield Speed(runner.engine, threads, size, rate * size)
        except BundleError as error:
            yield Failure(engine, str(error))


def measure_decoding(folder: Path, threads: Sequence[int], seconds: float) -> Iterator[Speed]:
    """Yield how many photographs of about 90 KB are decoded and resized a second."""
    manifest = files.verify(folder)
    images = sentinels.read(folder, manifest).images
    photos = [photograph(image) for image in images[:8]]
    for number in threads:
        rate = runs_per_s(lambda: _prepare_all(photos, manifest.recipe), number, seconds)
        yield Speed("decode and resize", number, 1, rate * len(photos))


def photograph(image: NDArray[np.uint8]) -> bytes:
    """Return a picture as a JPEG of a photograph's size, about 90 KB."""
    height, width = image.shape[:2]
    scale = _PHOTO_SIDE / min(height, width)
    large = Image.fromarray(image).resize(
        (round(width * scale), round(height * scale)), Image.Resampling.BICUBIC
    )
    # Enlarging leaves no fine detail; some noise stands for it, as in any camera's picture.
    rng = np.random.default_rng(0)
    noisy = np.asarray(large) + rng.normal(0, 6, (large.height, large.width, 1))
    grainy = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    data = b""
    for quality in range(95, 30, -5):
        file = io.BytesIO()
        grainy.save(file, "JPEG", quality=quality)
        data = file.getvalue()
        if len(data) <= _PHOTO_BYTES:
            break
    return data


def _prepare_all(photos: Sequence[bytes], recipe: Recipe) -> None:
    for data in photos:
        preprocess(decode(data), recipe)


def runs_per_s(work: Callable[[], object], threads: int, seconds: float) -> float:
    """Let so many threads do the work again and again, and count; the first time does not."""
    work()
    counts = [0] * threads
    begun = time.monotonic()

    def repeat(index: int) -> None:
        while counts[index] == 0 or time.monotonic() - begun < seconds:
            work()
            counts[index] += 1

    workers = [threading.Thread(target=repeat, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - begun)
