"""The NVIDIA GPU: is there one, does onnxruntime get hold of it, and a graph opened on it.

A GPU that was asked for is used, or the reason is told: onnxruntime by itself would go on on the
CPU when a library is missing, and say so nowhere but on stderr.

References:
    onnxruntime, docs/execution-providers/CUDA-ExecutionProvider.md: the provider's options;
    `prefer_nhwc` since 1.20: tensor cores compute convolutions in that layout only.
    github.com/microsoft/onnxruntime/pull/19470: cuDNN's graphs round float32 to TF32 unless
    NVIDIA_TF32_OVERRIDE forbids it, whatever `use_tf32` says.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from core.bundle.bound_session import BoundSession, Place
from core.bundle.sessions import Device, Threads
from core.errors import BundleError

_log = logging.getLogger(__name__)

PROVIDER: Final = "CUDAExecutionProvider"

DEFAULT_BATCH: Final = 64  # images a call, where the owner set none
CALLERS: Final = 2  # one copies while the other's batch computes

_PATIENCE_S: Final = 60.0


def resolve(device: Device, ort: Any | None) -> Literal["cpu", "cuda"]:
    """Return where to run: `auto` is the GPU where onnxruntime knows CUDA and there is a GPU.

    Args:
        device: What was asked for.
        ort: The module onnxruntime; None where it is not installed.
    """
    if device != "auto":
        return device
    knows = ort is not None and PROVIDER in ort.get_available_providers()
    return "cuda" if knows and is_visible() else "cpu"


def is_visible(dev: Path = Path("/dev")) -> bool:
    """Say whether this process may see an NVIDIA GPU; whether it works is not asked."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return False
    return any(dev.glob("nvidia[0-9]*")) or (dev / "dxg").exists()  # the latter: WSL


def open_on_gpu(
    ort: Any, model: bytes, path: Path, *, half: bool, threads: Threads
) -> BoundSession:
    """Load a graph on the GPU; without recordings where onnxruntime cannot make them.

    Args:
        ort: The module onnxruntime.
        model: The bytes of the graph, in half precision where that is wanted.
        path: Where they come from, for messages.
        half: Whether it computes in half precision.
        threads: For which batches and callers.

    Raises:
        BundleError: There is no GPU, onnxruntime cannot use it, or cannot load the graph.
    """
    load_libraries(ort)
    try:
        return BoundSession(ort, model, place(half=half, records=True), threads)
    except Exception as error:  # onnxruntime's errors have no common base
        explain(ort)
        reason = str(error)
    try:
        session = BoundSession(ort, model, place(half=half, records=False), threads)
    except Exception as error:
        raise BundleError(f"{path} cannot be loaded on the GPU: {error}") from error
    _log.warning("%s runs without CUDA graphs, and slower: %s", path, reason)
    return session


def place(*, half: bool, records: bool, changed: Mapping[str, str] | None = None) -> Place:
    """Return the GPU as a place to run, with the options that are documented to help.

    Args:
        half: Whether the graph computes in half precision.
        records: Whether CUDA graphs are made.
        changed: Options of the provider that are to differ, to measure what they are worth.
    """
    options = {
        "device_id": "0",
        "cudnn_conv_use_max_workspace": "1",
        # Nothing is taken beyond what the largest batch needs, which is opened first.
        "arena_extend_strategy": "kSameAsRequested",
        # Tensor cores would round fp32 to 10 bits and move logits by more than the sentinels allow.
        "use_tf32": "0",
        "enable_cuda_graph": str(int(records)),
        "prefer_nhwc": str(int(half)),
        **(changed or {}),
    }
    return Place("cuda", ((PROVIDER, options), "CPUExecutionProvider"), records)


def load_libraries(ort: Any) -> None:
    """Load what onnxruntime-gpu[cuda,cudnn] brings, where it is there.

    Raises:
        BundleError: This onnxruntime was built without CUDA.
    """
    available: list[str] = ort.get_available_providers()
    if PROVIDER not in available:
        raise BundleError(
            f"device cuda was asked for, but this onnxruntime has only {available}; "
            "pip install 'weakspot[gpu]' in place of 'weakspot[cpu]', or take device cpu"
        )
    # Read when CUDA's libraries are first loaded; half precision does not use TF32.
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    # What it misses it prints, in the midst of somebody's JSON; `explain` tells it better.
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()


def explain(ort: Any) -> None:
    """Tell why onnxruntime cannot use the GPU, if it is that.

    Raises:
        BundleError: It cannot.
    """
    reasons = [] if is_visible() else ["no NVIDIA GPU is to be seen here"]
    reasons += _missing_library(Path(ort.__file__).parent)
    if reasons:
        raise BundleError(
            "device cuda was asked for, but onnxruntime could not use it: "
            f"{'; '.join(reasons)}. It needs an NVIDIA GPU, its driver, and the libraries that "
            "onnxruntime-gpu[cuda,cudnn] brings"
        )


def _missing_library(package: Path) -> list[str]:
    """Return what the linker says of onnxruntime's CUDA provider; nothing when all is there."""
    library = package / "capi" / "libonnxruntime_providers_cuda.so"
    # Not in this process: loaded by anybody but onnxruntime, the provider is of no use to it.
    script = "import ctypes, onnxruntime, sys; onnxruntime.preload_dlls(); ctypes.CDLL(sys.argv[1])"
    command = [sys.executable, "-c", script, str(library)]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return []
    last = ended.stderr.strip().splitlines()[-1:]
    return [line.removeprefix("OSError: ") for line in last if line.startswith("OSError: ")]
