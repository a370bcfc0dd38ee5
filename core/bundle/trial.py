"""A bundle is tried out in a child process before it may serve here.

The child has limits on memory and time and none of this process's secrets. In it the bundle is
verified, loaded and asked about its own real images by every engine that could compute it; each
is timed (on a CPU image by image, on a GPU by full batches) and held against onnxruntime in
float32, and the fastest that agrees is chosen. What a
hostile or broken graph does (a constant of 400 GB, an endless loop, a crash of the runtime)
happens to the child, and becomes a BundleError here.

Only the name of the engine and the figures come back; the caller then loads the bundle itself.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.bundle import engines, files, sentinels, variants
from core.bundle.engines import EngineName
from core.bundle.runner import Runner
from core.bundle.sentinels import Sentinels
from core.bundle.sessions import Device, Threads
from core.errors import BundleError, WeakspotError

LEAST_AGREEMENT: Final = 0.98  # of top-1 answers, with the reference
# A graph in integers was judged on far more images than these; here it only has to compute on
# this machine what it computed on that one. A processor that overflows agrees on far fewer.
LEAST_QUANTISED_AGREEMENT: Final = 0.95

# Of the parent's environment, what a runtime may need to be found and to find a GPU.
_PASSED_ON = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_CACHE_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "LANG",
)
_TAIL = 600  # characters of what a child that crashed said last


@dataclass(frozen=True, slots=True)
class Task:
    """How a bundle is to be tried.

    Attributes:
        device: Where it is to run.
        callers: Model calls at a time, each by one thread.
        max_batch_size: The largest batch it will see.
        seconds: How long each engine is timed.
        engine: The only one to try; None for all that could serve.
    """

    device: Device = "auto"
    callers: int = 1
    max_batch_size: int = 1
    seconds: float = 1.0
    engine: EngineName | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may cost.

    Attributes:
        seconds: Of wall-clock time, for everything.
        memory_bytes: Of address space, on a CPU; CUDA reserves more than any machine has.
    """

    seconds: float = 180.0
    memory_bytes: int = 8_000_000_000


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found of one engine.

    Attributes:
        engine: Which.
        images_per_s: With all callers at once, an image a call, on a GPU a full batch; None when
            it did not run.
        deviation: Largest difference of a logit from the reference, over the bundle's images.
        agreement: Share of those images with the same top-1 answer as the reference.
        passed_over: Why it does not serve; None for the one that does.
    """

    engine: EngineName
    images_per_s: float | None = None
    deviation: float | None = None
    agreement: float | None = None
    passed_over: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """The engine that is to serve, and what was found of all of them."""

    engine: EngineName
    measurements: tuple[Measurement, ...]

    @property
    def chosen(self) -> Measurement:
        """What was found of the engine that is to serve."""
        return next(each for each in self.measurements if each.engine == self.engine)

    def to_json(self) -> str:
        """Return the trial as `from_json` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Trial:
        """Return the trial that `to_json` wrote."""
        fields: Any = json.loads(text)
        found = tuple(Measurement(**each) for each in fields["measurements"])
        return cls(fields["engine"], found)


def try_out(folder: Path, task: Task, limits: Limits | None = None) -> Trial:
    """Try a bundle in a child process.

    Raises:
        BundleError: It cannot serve: the message is the child's, or says how the child ended.
    """
    limits = limits or Limits()
    command = [sys.executable, "-B", "-m", "core.bundle.trial", str(folder.absolute())]
    command += [json.dumps(asdict(task)), json.dumps(asdict(limits))]
    environment = child_environment(task.callers)
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, timeout=limits.seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"{folder} was not loaded and tried within {limits.seconds:.0f} s; does its graph end?"
        ) from error
    answer = ended.stdout.decode(errors="replace").strip().splitlines()
    if ended.returncode == 0 and answer:
        return Trial.from_json(answer[-1])
    if ended.returncode == 1 and answer:
        raise BundleError(str(json.loads(answer[-1])["error"]))
    said = ended.stderr.decode(errors="replace").strip()[-_TAIL:]
    how = f"signal {-ended.returncode}" if ended.returncode < 0 else f"exit {ended.returncode}"
    raise BundleError(f"{folder} ended the process that tried it, by {how}: {said or 'no word'}")


def child_environment(callers: int) -> dict[str, str]:
    """Return what a process that loads a bundle may know of this one: none of its secrets.

    Args:
        callers: Model calls at a time.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # The runtimes' own threads would not know how few cores they are to use.
    environment["OMP_NUM_THREADS"] = str(callers)
    return environment


def measure(folder: Path, task: Task) -> Trial:
    """Try a bundle in this process; `try_out` is the safe way.

    Raises:
        BundleError: It cannot be loaded, or no engine is there that agrees with the reference.
    """
    manifest = files.verify(folder)
    real = sentinels.read(folder, manifest)
    pinned = task.engine is not None
    quantised = variants.kept(manifest, variants.INT8)
    all_names = engines.candidates(task.device, quantised=quantised)
    names = (task.engine,) if task.engine else all_names
    found = [_try_engine(folder, name, task, real, pinned=pinned) for name in names]
    fit = [each for each in found if each.passed_over is None]
    if not fit:
        reasons = "; ".join(f"{each.engine}: {each.passed_over}" for each in found)
        raise BundleError(f"no engine can serve {folder}: {reasons}")
    best = max(fit, key=lambda each: each.images_per_s or 0.0)
    return Trial(best.engine, tuple(_explain(each, best) for each in found))


def _try_engine(
    folder: Path, engine: EngineName, task: Task, real: Sentinels, *, pinned: bool
) -> Measurement:
    threads = Threads(1, task.callers, (task.max_batch_size,))
    try:
        runner = Runner.open(folder, task.device, threads, engine=engine, tried=True)
        shape = (task.max_batch_size, *real.images.shape[1:])
        runner.run(np.zeros(shape, dtype=np.uint8))
        logits, pace = _ask_everything(runner, real, task)
    except WeakspotError as error:
        # Float32 is what the bundle was made with: what fails there is the bundle's own fault.
        if pinned or engine == engines.REFERENCE:
            raise
        return Measurement(engine, passed_over=str(error))
    deviation = float(np.abs(logits - real.logits).max())
    agreement = float((logits.argmax(axis=1) == real.logits.argmax(axis=1)).mean())
    reason = None
    least = LEAST_QUANTISED_AGREEMENT if engines.is_quantised(engine) else LEAST_AGREEMENT
    if agreement < least:
        reason = f"agrees with {engines.REFERENCE} on {agreement:.0%} of the bundle's images"
    return Measurement(runner.engine, pace, deviation, agreement, reason)


def _ask_everything(
    runner: Runner, real: Sentinels, task: Task
) -> tuple[NDArray[np.float32], float]:
    """Ask for one image (on a GPU one batch) after the other, by all callers, each at least once.

    Returns:
        The logits, float32 (n, K), and the images per second.

    Raises:
        BundleError: An answer is not the one that was stored; the runtime failed.
    """
    n = len(real.images)
    size = task.max_batch_size if engines.is_on_gpu(runner.engine) else 1
    all_rows = [np.arange(first, first + size) % n for first in range(0, n, size)]
    batches = [real.images[rows] for rows in all_rows]
    allowed = runner.allowed_difference
    logits = np.empty_like(real.logits)
    ticket = itertools.count()
    begun = time.monotonic()

    def ask() -> int:
        asked = 0
        while (turn := next(ticket)) < len(batches) or time.monotonic() - begun < task.seconds:
            rows = all_rows[turn % len(batches)]
            outputs = runner.run(batches[turn % len(batches)])
            sentinels.check_answers(outputs, real.logits[rows], runner.version, allowed)
            logits[rows] = outputs.logits
            asked += size
        return asked

    with ThreadPoolExecutor(task.callers) as pool:
        asked = sum(each.result() for each in [pool.submit(ask) for _ in range(task.callers)])
    return logits, asked / (time.monotonic() - begun)


def _explain(each: Measurement, best: Measurement) -> Measurement:
    if each.passed_over is not None or each is best:
        return each
    slower = f"slower: {each.images_per_s:.0f} images/s against {best.images_per_s:.0f}"
    return Measurement(each.engine, each.images_per_s, each.deviation, each.agreement, slower)


def main(arguments: Sequence[str]) -> int:
    """Run in the child: take the limits on, try the bundle, print one JSON object."""
    folder, task = Path(arguments[0]), Task(**json.loads(arguments[1]))
    on_gpu = engines.will_use_gpu(task.engine, task.device)
    _take_limits(Limits(**json.loads(arguments[2])), on_gpu=on_gpu)
    try:
        print(measure(folder, task).to_json(), flush=True)  # noqa: T201 - the answer
    except (WeakspotError, MemoryError) as error:
        words = str(error) or f"{folder} needs more memory than the child may take"
        print(json.dumps({"error": words}), flush=True)  # noqa: T201 - likewise
        return 1
    return 0


def _take_limits(limits: Limits, *, on_gpu: bool) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(limits.seconds * engines.all_cores()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if not on_gpu:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # The runtimes' own threads may not end; the answer is out.
    os._exit(code)
