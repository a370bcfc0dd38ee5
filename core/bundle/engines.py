"""The runtimes that can compute a bundle's graph, behind one face.

| engine | where | what it computes in |
|---|---|---|
| onnxruntime-fp32 | any CPU | float32; the reference that every other one is held against |
| openvino-fp32 | CPU | float32 |
| openvino-bf16 | CPU with AVX512-BF16 or AMX-BF16 | bfloat16, 8 bits of mantissa |
| openvino-f16 | CPU with AMX-FP16 | half precision, 11 bits of mantissa |
| onnxruntime-cuda-fp32 | NVIDIA GPU | float32 |

OpenVINO computes in another precision than it was asked for where the processor lacks the asked
one, and says so only when asked again: such an engine is refused here, so that a name never
promises what is not done. Which engine is fastest is measured, not guessed: core.bundle.trial.

The runtimes are imported when a session is opened, not before.
"""

from __future__ import annotations

import io
import os
import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import BundleError, UsageError

Device = Literal["auto", "cpu", "cuda"]
EngineName = Literal[
    "onnxruntime-fp32", "openvino-fp32", "openvino-bf16", "openvino-f16", "onnxruntime-cuda-fp32"
]

REFERENCE: Final[EngineName] = "onnxruntime-fp32"
CUDA: Final[EngineName] = "onnxruntime-cuda-fp32"
ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)

_NAMES = ("image", "probabilities", "logits", "embedding")
_CUDA_PROVIDER = "CUDAExecutionProvider"
_CPU_PROVIDER = "CPUExecutionProvider"

# Ours -> OpenVINO's word for a precision, as it reads and as it writes it.
_PRECISIONS = {"openvino-fp32": "f32", "openvino-bf16": "bf16", "openvino-f16": "f16"}
_TYPES = {"u8": "tensor(uint8)", "f32": "tensor(float)"}


class Tensor(Protocol):
    """An input or output of a graph; a length that it leaves open is a name."""

    name: str
    type: str
    shape: list[int | str | None]


class Session(Protocol):
    """A loaded graph; many threads may call it at once."""

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, NDArray[np.uint8]], /
    ) -> list[NDArray[np.float32]]:
        """Return the outputs asked for, in that order."""
        ...

    def get_inputs(self) -> list[Tensor]:
        """Return what the graph takes."""
        ...

    def get_outputs(self) -> list[Tensor]:
        """Return what the graph gives."""
        ...


@dataclass(frozen=True, slots=True)
class Threads:
    """How a session shares out the processor.

    Attributes:
        per_call: Threads that compute one call.
        callers: Calls that are made at a time, each by a thread of its own.
    """

    per_call: int
    callers: int = 1


def candidates(device: Device) -> tuple[EngineName, ...]:
    """Return the engines worth timing on a device, the reference first."""
    if device == "cpu" or not _has_cuda():
        return (REFERENCE, "openvino-f16", "openvino-bf16", "openvino-fp32")
    return (CUDA,)


def default_engine(device: Device) -> EngineName:
    """Return onnxruntime on that device; `auto` takes the GPU where onnxruntime knows one."""
    if device == "cuda" or (device == "auto" and _has_cuda()):
        return CUDA
    return REFERENCE


def is_exact(engine: EngineName) -> bool:
    """Say whether an engine computes in float32."""
    return engine.endswith("fp32")


def open_session(
    model: bytes, path: Path, *, engine: EngineName, device: Device, threads: Threads
) -> tuple[Session, EngineName]:
    """Load a graph.

    Args:
        model: The bytes of an ONNX file that keeps nothing elsewhere.
        path: Where they come from, for messages.
        engine: What is to compute it.
        device: `cuda` insists on a GPU; `auto` falls back to the CPU.
        threads: How it shares out the processor.

    Returns:
        The session, and the engine it really is: `auto` may have fallen back.

    Raises:
        UsageError: `threads` are fewer than one.
        BundleError: The runtime is not installed, cannot load the graph, cannot compute in that
            precision here, or the GPU is not there.
    """
    if min(threads.per_call, threads.callers) < 1:
        raise UsageError(f"threads must be 1 or more, not {min(threads.per_call, threads.callers)}")
    if engine in _PRECISIONS:
        return _open_openvino(model, path, engine, threads), engine
    return _open_onnxruntime(model, path, engine, device, threads)


def _has_cuda() -> bool:
    available: list[str] = _onnxruntime().get_available_providers()
    return _CUDA_PROVIDER in available


def _onnxruntime() -> Any:
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs] -- it ships none
    except ImportError as error:
        raise BundleError(
            "onnxruntime is not installed; pip install 'weakspot[cpu]' or 'weakspot[gpu]'"
        ) from error
    return cast("Any", onnxruntime)


def _open_onnxruntime(
    model: bytes, path: Path, engine: EngineName, device: Device, threads: Threads
) -> tuple[Session, EngineName]:
    ort = _onnxruntime()
    available: list[str] = ort.get_available_providers()
    if engine == CUDA and _CUDA_PROVIDER not in available:
        raise BundleError(
            f"device cuda was asked for, but this onnxruntime has only {available}; "
            "pip install 'weakspot[gpu]' in place of 'weakspot[cpu]', or take device cpu"
        )
    if engine == CUDA:
        ort.preload_dlls()
    # Tensor cores would round fp32 to 10 bits and move logits by more than the sentinels allow.
    cuda: list[Any] = [(_CUDA_PROVIDER, {"use_tf32": "0"})] if engine == CUDA else []
    try:
        session = ort.InferenceSession(
            model, sess_options=_options(ort, threads.per_call), providers=[*cuda, _CPU_PROVIDER]
        )
    except Exception as error:  # onnxruntime's errors have no common base
        raise BundleError(f"{path} cannot be loaded: {error}") from error
    on_cuda = _CUDA_PROVIDER in session.get_providers()
    if engine == CUDA and device == "cuda" and not on_cuda:
        raise BundleError(
            "device cuda was asked for, but onnxruntime could not use it: is there an NVIDIA GPU, "
            "its driver, and the CUDA libraries that onnxruntime-gpu[cuda,cudnn] brings?"
        )
    return cast("Session", session), CUDA if on_cuda else REFERENCE


def _options(ort: Any, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, not printed
    # A thread that spins between requests takes the core another one needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Without this, bytes in onnxruntime's own format would pass for a model unchecked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _open_openvino(model: bytes, path: Path, engine: EngineName, threads: Threads) -> Session:
    try:
        import openvino
    except ImportError as error:
        raise BundleError("openvino is not installed; pip install 'weakspot[cpu]'") from error
    ov: Any = openvino
    precision = _PRECISIONS[engine]
    try:
        core = ov.Core()
        graph = core.read_model(io.BytesIO(model))
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "THROUGHPUT",
                # One stream a caller: each computes alone, and none waits for another.
                "NUM_STREAMS": threads.callers,
                "INFERENCE_NUM_THREADS": threads.callers * threads.per_call,
                # Two services on one machine must not be pinned to the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        done: str = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    except Exception as error:  # OpenVINO's errors have no common base
        raise BundleError(f"{path} cannot be loaded by {engine}: {error}") from error
    if done != precision:
        raise BundleError(f"this processor does not compute in {precision}; OpenVINO takes {done}")
    return _OpenVino(compiled, threads.callers, exact=is_exact(engine))


@dataclass(frozen=True, slots=True)
class _Described:
    name: str
    type: str
    shape: list[int | str | None]


class _OpenVino:
    """OpenVINO's compiled graph with the face of an onnxruntime session.

    An infer request holds the memory of one call, so there is one for each caller.
    """

    def __init__(self, compiled: Any, callers: int, *, exact: bool) -> None:
        self._inputs = [_describe(each) for each in compiled.inputs]
        self._outputs = [_describe(each) for each in compiled.outputs]
        self._exact = exact
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(callers):
            self._free.put(compiled.create_infer_request())

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, NDArray[np.uint8]], /
    ) -> list[NDArray[np.float32]]:
        request = self._free.get()
        try:
            results = request.infer(dict(feed), share_inputs=True)
            found = {name: np.array(results[name], dtype=np.float32) for name in outputs}
        finally:
            self._free.put(request)
        if not self._exact:
            _restore(found)
        return [found[name] for name in outputs]

    def get_inputs(self) -> list[Tensor]:
        return [cast("Tensor", each) for each in self._inputs]

    def get_outputs(self) -> list[Tensor]:
        return [cast("Tensor", each) for each in self._outputs]


def _describe(port: Any) -> _Described:
    shape: list[int | str | None] = [
        "open" if length.is_dynamic else length.get_length() for length in port.get_partial_shape()
    ]
    kind: str = port.get_element_type().get_type_name()
    # One tensor may have several names; those of a bundle's graph are the ones that count.
    names: set[str] = port.get_names()
    name = next((each for each in _NAMES if each in names), port.get_any_name())
    return _Described(name, _TYPES.get(kind, f"tensor({kind})"), shape)


def _restore(found: dict[str, NDArray[np.float32]]) -> None:
    """Compute in float32 what a coarse softmax and norm would round to three digits."""
    if "probabilities" in found and "logits" in found:
        shifted = found["logits"] - found["logits"].max(axis=1, keepdims=True)
        weights = np.exp(shifted)
        found["probabilities"] = weights / weights.sum(axis=1, keepdims=True)
    if "embedding" in found:
        length = np.linalg.norm(found["embedding"], axis=1, keepdims=True)
        found["embedding"] = found["embedding"] / np.maximum(length, np.finfo(np.float32).tiny)


def all_cores() -> int:
    """Return how many cores this process may run on, by affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
