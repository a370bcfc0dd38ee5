"""The runtimes that can compute a bundle's graph, behind one face.

| engine | where | what it computes in |
|---|---|---|
| onnxruntime-fp32 | any CPU | float32; the reference that every other one is held against |
| onnxruntime-int8 | CPU | integers of 8 bits; a bundle's own graph, where one was kept |
| openvino-fp32 | CPU | float32 |
| openvino-bf16 | CPU with AVX512-BF16 or AMX-BF16 | bfloat16, 8 bits of mantissa |
| openvino-f16 | CPU with AMX-FP16 | half precision, 11 bits of mantissa |
| onnxruntime-cuda-fp16 | NVIDIA GPU | half precision, 11 bits; what decides in float32 |
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
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from core.bundle import cuda
from core.bundle.bound_session import plain_options
from core.bundle.sessions import Described, Device, Session, Tensor, Threads, buckets
from core.errors import BundleError, UsageError

EngineName = Literal[
    "onnxruntime-fp32",
    "onnxruntime-int8",
    "openvino-fp32",
    "openvino-bf16",
    "openvino-f16",
    "onnxruntime-cuda-fp16",
    "onnxruntime-cuda-fp32",
]

REFERENCE: Final[EngineName] = "onnxruntime-fp32"
INT8: Final[EngineName] = "onnxruntime-int8"
CUDA: Final[EngineName] = "onnxruntime-cuda-fp32"
CUDA_HALF: Final[EngineName] = "onnxruntime-cuda-fp16"
ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)

_CPU_BATCH: Final = 4  # a fuller one costs those that wait for it more than it saves

_NAMES = ("image", "probabilities", "logits", "embedding")

# Ours -> OpenVINO's word for a precision, as it reads and as it writes it.
_PRECISIONS = {"openvino-fp32": "f32", "openvino-bf16": "bf16", "openvino-f16": "f16"}
_TYPES = {"u8": "tensor(uint8)", "f32": "tensor(float)"}


def candidates(device: Device, *, quantised: bool = False) -> tuple[EngineName, ...]:
    """Return the engines worth timing on a device, the most exact one first.

    Args:
        device: Where.
        quantised: Whether the bundle has a graph in integers that was kept.
    """
    if where(device) == "cuda":
        return (CUDA, CUDA_HALF)
    in_integers: tuple[EngineName, ...] = (INT8,) if quantised else ()
    return (REFERENCE, "openvino-f16", "openvino-bf16", "openvino-fp32", *in_integers)


def default_engine(device: Device) -> EngineName:
    """Return onnxruntime in float32 on that device."""
    return CUDA if where(device) == "cuda" else REFERENCE


def where(device: Device) -> Literal["cpu", "cuda"]:
    """Return where to run: `auto` is the GPU where onnxruntime knows CUDA and there is one."""
    try:
        return cuda.resolve(device, _onnxruntime())
    except BundleError:  # told when a graph is opened
        return cuda.resolve(device, None)


def will_use_gpu(engine: EngineName | None, device: Device) -> bool:
    """Say whether that engine, or the fastest on that device, computes on an NVIDIA GPU."""
    return is_on_gpu(engine) if engine else where(device) == "cuda"


@dataclass(frozen=True, slots=True)
class Suited:
    """How a service does well to call an engine: by so many threads, with so many images."""

    callers: int
    batch: int


def suited(engine: EngineName | None, device: Device, *, cores: int) -> Suited:
    """Return what suits that engine, or the fastest on that device, where its owner set nothing."""
    if will_use_gpu(engine, device):
        return Suited(cuda.CALLERS, cuda.DEFAULT_BATCH)
    return Suited(cores, _CPU_BATCH)


def is_on_gpu(engine: EngineName) -> bool:
    """Say whether an engine computes on an NVIDIA GPU."""
    return engine in {CUDA, CUDA_HALF}


def is_half(engine: EngineName) -> bool:
    """Say whether an engine takes a graph in half precision (core.bundle.half_precision)."""
    return engine == CUDA_HALF


def is_quantised(engine: EngineName) -> bool:
    """Say whether an engine takes a bundle's graph in integers, and no other."""
    return engine == INT8


def batches(engine: EngineName, largest: int) -> tuple[int, ...]:
    """Return the sizes of batches that an engine makes a difference between, up to the largest."""
    return buckets(largest) if is_on_gpu(engine) else tuple(range(1, largest + 1))


def is_exact(engine: EngineName) -> bool:
    """Say whether an engine computes in float32."""
    return engine.endswith("fp32")


def open_session(
    model: bytes, path: Path, *, engine: EngineName, device: Device, threads: Threads
) -> Session:
    """Load a graph.

    Args:
        model: The bytes of an ONNX file that keeps nothing elsewhere; in half precision for an
            engine that `is_half`, in integers for one that `is_quantised`. OpenVINO is never
            given integers: it answers wrongly there, and says nothing.
        path: Where they come from, for messages.
        engine: What is to compute it.
        device: Where; `auto` is wherever the engine computes.
        threads: How it shares out the processor.

    Raises:
        UsageError: `threads` are fewer than one, or the engine does not compute on that device.
        BundleError: The runtime is not installed, cannot load the graph, cannot compute in that
            precision here, or the GPU is not there.
    """
    least = min(threads.per_call, threads.callers, *threads.batches)
    if least < 1:
        raise UsageError(f"threads must be 1 or more, not {least}")
    if device != "auto" and is_on_gpu(engine) != (device == "cuda"):
        raise UsageError(f"device {device} was asked for, and {engine} does not compute there")
    if engine in _PRECISIONS:
        return _open_openvino(model, path, engine, threads)
    if is_on_gpu(engine):
        half = is_half(engine)
        return cuda.open_on_gpu(_onnxruntime(), model, path, half=half, threads=threads)
    return _open_onnxruntime(model, path, threads)


def _onnxruntime() -> Any:
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs] -- it ships none
    except ImportError as error:
        raise BundleError(
            "onnxruntime is not installed; pip install 'weakspot[cpu]' or 'weakspot[gpu]'"
        ) from error
    return cast("Any", onnxruntime)


def _open_onnxruntime(model: bytes, path: Path, threads: Threads) -> Session:
    ort = _onnxruntime()
    options = plain_options(ort, threads.per_call)
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise BundleError(f"{path} cannot be loaded: {error}") from error
    return cast("Session", session)


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

        def compiled_for(streams: int) -> Any:
            shared_out = {
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": threads.callers * threads.per_call,
                # Two services on one machine must not be pinned to the same cores.
                "ENABLE_CPU_PINNING": False,
            }
            return core.compile_model(graph, "CPU", shared_out)

        # One stream a caller: each computes alone, and none waits for another.
        compiled = compiled_for(threads.callers)
        whole = compiled_for(1) if threads.callers > 1 else compiled
        done: str = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    except Exception as error:  # OpenVINO's errors have no common base
        raise BundleError(f"{path} cannot be loaded by {engine}: {error}") from error
    if done != precision:
        raise BundleError(f"this processor does not compute in {precision}; OpenVINO takes {done}")
    return _OpenVino(compiled, whole, threads.callers, exact=is_exact(engine))


class _OpenVino:
    """OpenVINO's compiled graph with the face of an onnxruntime session.

    An infer request holds the memory of one call, so there is one for each caller. A call that
    finds no other under way takes the threads of all callers: ResNet50 answers one image in 11 ms
    on two cores instead of 20, and in the same 20 where something else holds one of them.
    """

    def __init__(self, compiled: Any, whole: Any, callers: int, *, exact: bool) -> None:
        self._inputs = [_describe(each) for each in compiled.inputs]
        self._outputs = [_describe(each) for each in compiled.outputs]
        self._exact = exact
        self._whole = whole.create_infer_request()
        self._shares: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(callers):
            self._shares.put(compiled.create_infer_request())
        self._under_way = 0
        self._counting = threading.Lock()

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, NDArray[np.uint8]], /
    ) -> list[NDArray[np.float32]]:
        with self._counting:
            alone = self._under_way == 0
            self._under_way += 1
        # Only one call at a time is the first, so the whole machine is never asked for twice.
        request = self._whole if alone else self._shares.get()
        try:
            results = request.infer(dict(feed), share_inputs=True)
            found = {name: np.array(results[name], dtype=np.float32) for name in outputs}
        finally:
            if not alone:
                self._shares.put(request)
            with self._counting:
                self._under_way -= 1
        if not self._exact:
            _restore(found)
        return [found[name] for name in outputs]

    def get_inputs(self) -> list[Tensor]:
        return [cast("Tensor", each) for each in self._inputs]

    def get_outputs(self) -> list[Tensor]:
        return [cast("Tensor", each) for each in self._outputs]


def _describe(port: Any) -> Described:
    shape: list[int | str | None] = [
        "open" if length.is_dynamic else length.get_length() for length in port.get_partial_shape()
    ]
    kind: str = port.get_element_type().get_type_name()
    # One tensor may have several names; those of a bundle's graph are the ones that count.
    names: set[str] = port.get_names()
    name = next((each for each in _NAMES if each in names), port.get_any_name())
    return Described(name, _TYPES.get(kind, f"tensor({kind})"), shape)


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
