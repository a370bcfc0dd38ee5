"""What a version gives for its frozen images, here and now: the bits, and how far off they are.

The same graph computed on the same machine by the same engine gives the same bits every day. When
it does not, something under it has changed: a driver, onnxruntime, Pillow, numpy. On another
machine other bits are to be expected; there the difference from the bundle's own answers counts.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.bundle import engines, originals, sentinels
from core.bundle.originals import Originals
from core.bundle.outputs import Outputs
from core.bundle.runner import Runner
from core.bundle.sentinels import Sentinels

# Pixels may differ by so much of 255 on average before they are other pictures: another build of
# a decoder rounds by up to one level in places.
ALLOWED_PIXELS = 1.0

BATCH = 16
_LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "openvino", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class Marks:
    """What a version gave.

    Attributes:
        preprocessing: SHA-256 of the pixels its originals decode to; None without originals.
        answers: SHA-256 of its logits and embeddings of the sentinels.
        largest: Largest difference of a logit from those in the bundle.
        allowed: How much that may be, for the engine.
        pixels_off: Mean difference of the pixels from those in the bundle, of 255.
        by_pixels: Largest difference of a logit that these other pixels make; None without
            originals.
    """

    preprocessing: str | None
    answers: str
    largest: float
    allowed: float
    pixels_off: float | None
    by_pixels: float | None = None

    @property
    def is_far_off(self) -> bool:
        """Whether these are no longer the answers that the version was measured by."""
        return self.largest > self.allowed or (self.pixels_off or 0.0) > ALLOWED_PIXELS


@dataclass(frozen=True, slots=True)
class Frozen:
    """A bundle's frozen set, read."""

    sentinels: Sentinels
    originals: Originals | None


def read(runner: Runner) -> Frozen:
    """Return the frozen set of a version's bundle, as it lies on the disk now.

    Raises:
        BundleError: It is altered, or gone.
    """
    return Frozen(
        sentinels.read(runner.folder, runner.manifest),
        originals.read(runner.folder, runner.manifest),
    )


def take(
    runner: Runner,
    frozen: Frozen | None = None,
    *,
    batch: int = BATCH,
    before_each: Callable[[], None] | None = None,
) -> Marks:
    """Ask a version about all of its frozen images.

    Args:
        runner: The version.
        frozen: What `read` gave; read now when None.
        batch: Images in one call; the bits may depend on it.
        before_each: Called before each call, by whoever has more urgent things to do.

    Raises:
        BundleError: The model fails on them, or they are altered.
        InvalidImageError: This machine cannot decode an original any more.
    """
    frozen = frozen or read(runner)
    asked, kept = frozen.sentinels, frozen.originals

    def run(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found: list[Outputs] = []
        for start in range(0, len(images), batch):
            if before_each is not None:
                before_each()
            found.append(runner.run(images[start : start + batch]))
        logits = np.concatenate([each.logits for each in found])
        return logits, np.concatenate([each.embedding for each in found])

    logits, embedding = run(asked.images)
    pixels = None if kept is None else originals.decoded(kept.encoded, runner.recipe)
    return Marks(
        preprocessing=None if pixels is None else _digest(pixels),
        answers=_digest(logits, embedding),
        largest=float(np.abs(logits - asked.logits).max()),
        allowed=runner.allowed_difference,
        pixels_off=None if pixels is None or kept is None else _apart(pixels, kept.pixels),
        by_pixels=None if pixels is None or kept is None else _moved(run, pixels, kept.pixels),
    )


def place(runner: Runner, *, one_by_one: bool = False) -> str:
    """Return the machine, by what the bits of its arithmetic depend on.

    Args:
        runner: What computes.
        one_by_one: Whether each image is a call of its own, computed by one thread.
    """
    where = "GPU" if engines.is_on_gpu(runner.engine) else f"{engines.all_cores()} threads"
    how = "one by one" if one_by_one else where
    return f"{platform.system()} {platform.machine()}, {_processor()}, {how}"


def repeats_bits(runner: Runner) -> bool:
    """Say whether the engine promises the same bits every day: a GPU may choose other kernels."""
    return not engines.is_on_gpu(runner.engine)


def libraries() -> dict[str, str]:
    """Return the versions of what decodes and computes, of that which is installed."""
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named.group(1) if named else platform.processor() or "unknown processor"


def _digest(*arrays: NDArray[np.generic]) -> str:
    sha256 = hashlib.sha256()
    for array in arrays:
        sha256.update(np.ascontiguousarray(array).tobytes())
    return sha256.hexdigest()


def _moved(
    run: Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]],
    pixels: NDArray[np.uint8],
    before: NDArray[np.uint8],
) -> float:
    """Return by how much a logit differs at most when these pixels stand for those of before."""
    if np.array_equal(pixels, before):
        return 0.0
    return float(np.abs(run(pixels)[0] - run(before)[0]).max())


def _apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())
