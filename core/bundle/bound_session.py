"""onnxruntime over memory that is bound once, with a fixed size for each batch.

A GPU loses more time to launching kernels and to making room than to computing a small batch. So
everything is settled when the graph is loaded: for each batch size that is asked for, one session
in which that size is a constant; for each caller, memory on the device for its input and outputs,
bound once; and on a GPU the recording (CUDA graph) of all kernels between them. A call then is a
copy in, one launch, and a copy out. A batch is padded to the next size and the rest cut off.

Why a session for each size, and not one with a recording for each: onnxruntime records a session
only when no tensor crosses between CPU and GPU inside. The exporter's arithmetic with the batch's
length (Shape, Range, Gather) would run on the CPU; with that length a constant it is folded away.
The price is a copy of the weights for each size, 50 MB for a ResNet50 in half precision.

What is locked, and why:

- A recording belongs to the thread that made it, and one session may be run by one thread at a
  time. So each BoundSession has one thread that opens, records and runs all of its sessions.
- Callers copy in and out by themselves: one does while another's batch computes. Memory and
  binding of a caller are taken from a queue and given back, so no two calls share any.
- While a recording is made nothing else may touch the GPU: core.bundle.capture_gate.

Nothing here knows CUDA by name: the same code runs on the CPU, without recordings, in the tests.
A numpy array goes to the device by way of pageable memory: onnxruntime's Python interface gives
pinned memory for plug-in providers only.

References:
    onnxruntime, docs/execution-providers/CUDA-ExecutionProvider.md, "Using CUDA Graphs":
    IOBinding, fixed addresses, `gpu_graph_id`, one session not to be run by two threads.
    onnxruntime/core/providers/cuda/cuda_execution_provider.h, .cc: the recording lies in the
    PerThreadContext; with CUDA graphs the session has one non-blocking stream.
    github.com/microsoft/onnxruntime/pull/16491: CPU nodes are allowed, copies between are not.
"""

from __future__ import annotations

import queue
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from core.bundle.capture_gate import GATE
from core.bundle.sessions import Described, Tensor, Threads
from core.errors import BundleError

_OUTPUTS: Final = ("probabilities", "logits", "embedding")
_GRAPH_ID: Final = "gpu_graph_id"
_UNRECORDED: Final = "-1"
# Two plain ones, one that records, one that replays. onnxruntime does them all in the first call;
# should a version do one in each, the recording must not fall among the callers' own.
_RUNS_TO_RECORD: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a graph is to run.

    Attributes:
        device: The memory, in onnxruntime's words.
        providers: What computes, in onnxruntime's words.
        records: Whether the provider makes CUDA graphs.
    """

    device: Literal["cpu", "cuda"]
    providers: tuple[Any, ...]
    records: bool = False


@dataclass(frozen=True, slots=True)
class _Bound:
    """One caller's memory for batches of one size."""

    session: Any
    binding: Any
    options: Any
    staging: NDArray[np.uint8]
    image: Any
    answers: dict[str, Any]

    def copy_in(self, images: NDArray[np.uint8]) -> None:
        if len(images) == len(self.staging):
            self.image.update_inplace(images)
            return
        # The rows behind them keep what they had; their answers are cut off.
        self.staging[: len(images)] = images
        self.image.update_inplace(self.staging)

    def run(self) -> None:
        self.session.run_with_iobinding(self.binding, self.options)

    def copy_out(self, outputs: Sequence[str], n: int) -> list[NDArray[np.float32]]:
        return [np.array(self.answers[name].numpy()[:n]) for name in outputs]


class BoundSession:
    """A graph on one device, prepared for some batch sizes and callers.

    Many threads may call it at once; as many as there are callers are served at a time.
    """

    def __init__(self, ort: Any, model: bytes, place: Place, threads: Threads) -> None:
        """Load the graph once for each batch size, and bind and record it for each caller.

        Raises:
            BundleError: The graph does not take one image of fixed height and width.
            Exception: onnxruntime's own, when it cannot load, record or run the graph.
        """
        self._inputs, self._outputs = _describe(ort, model)
        shape = _image_shape(self._inputs)
        self._sizes = sorted(set(threads.batches))
        # It ends by itself when this object, and with it the executor, is gone.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bound-session")
        self._callers: queue.SimpleQueue[dict[int, _Bound]] = queue.SimpleQueue()
        callers: list[dict[int, _Bound]] = [{} for _ in range(threads.callers)]
        # The largest first: memory that it took is large enough for the others.
        for size in reversed(self._sizes):
            batch = np.zeros((size, *shape), dtype=np.uint8)
            session, answers = self._open(ort, model, place, batch)
            for number, caller in enumerate(callers, start=1):
                caller[size] = self._prepare(ort, session, place, (batch, answers), number)
        for caller in callers:
            self._callers.put(caller)

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, NDArray[np.uint8]], /
    ) -> list[NDArray[np.float32]]:
        """Return the outputs asked for, in that order."""
        images = feed["image"]
        most = self._sizes[-1]
        pieces = [
            self._run_piece(outputs, images[begin : begin + most])
            for begin in range(0, len(images), most)
        ]
        if len(pieces) == 1:
            return pieces[0]
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def get_inputs(self) -> list[Tensor]:
        """Return what the graph takes."""
        return self._inputs

    def get_outputs(self) -> list[Tensor]:
        """Return what the graph gives."""
        return self._outputs

    def _run_piece(
        self, outputs: Sequence[str], images: NDArray[np.uint8]
    ) -> list[NDArray[np.float32]]:
        caller = self._callers.get()
        try:
            bound = caller[self._sizes[bisect_left(self._sizes, len(images))]]
            with GATE.together():
                bound.copy_in(images)
                self._thread.submit(bound.run).result()
                return bound.copy_out(outputs, len(images))
        finally:
            self._callers.put(caller)

    def _open(
        self, ort: Any, model: bytes, place: Place, batch: NDArray[np.uint8]
    ) -> tuple[Any, dict[str, NDArray[np.float32]]]:
        """Load the graph for one batch size, and run it once unrecorded.

        The first run chooses algorithms and takes memory, which must be over before a recording.

        Returns:
            The session, and an answer of each output for its shape.
        """
        options = _options(ort)
        length = self._inputs[0].shape[0]
        if isinstance(length, str):
            options.add_free_dimension_override_by_name(length, len(batch))
        names = list(_OUTPUTS)

        def open_and_run() -> tuple[Any, list[NDArray[np.float32]]]:
            # Without this, a provider that fails is replaced by the CPU, in silence.
            session = ort.InferenceSession(
                model, options, providers=list(place.providers), enable_fallback=0
            )
            _check_provider(session, place)
            unrecorded = _run_options(ort, _UNRECORDED)
            return session, session.run(names, {"image": batch}, unrecorded)

        with GATE.together():
            session, answers = self._thread.submit(open_and_run).result()
        return session, dict(zip(names, answers, strict=True))

    def _prepare(
        self,
        ort: Any,
        session: Any,
        place: Place,
        example: tuple[NDArray[np.uint8], dict[str, NDArray[np.float32]]],
        number: int,
    ) -> _Bound:
        """Give a caller its memory, and record what is to be done with it."""
        batch, answers = example
        # Allocating is not safe among threads in onnxruntime's Python interface, either.
        with GATE.alone():
            binding = session.io_binding()
            image = _room(ort, batch, place)
            binding.bind_ortvalue_input("image", image)
            rooms = {name: _room(ort, answer, place) for name, answer in answers.items()}
            for name, room in rooms.items():
                binding.bind_ortvalue_output(name, room)
            # Zero is onnxruntime's own.
            options = _run_options(ort, str(number) if place.records else _UNRECORDED)
            bound = _Bound(session, binding, options, batch.copy(), image, rooms)
            bound.copy_in(batch)
            for _ in range(_RUNS_TO_RECORD if place.records else 1):
                self._thread.submit(bound.run).result()
        return bound


def _options(ort: Any) -> Any:
    options = plain_options(ort, 1)
    # What it saves depends on the order of runs, and a recording must not.
    options.enable_mem_pattern = False
    return options


def plain_options(ort: Any, threads: int) -> Any:
    """Return onnxruntime's options for a graph that each call computes with so many threads."""
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


def _run_options(ort: Any, graph_id: str) -> Any:
    options = ort.RunOptions()
    options.log_severity_level = 4
    options.add_run_config_entry(_GRAPH_ID, graph_id)
    return options


def _describe(ort: Any, model: bytes) -> tuple[list[Tensor], list[Tensor]]:
    """Return the graph's inputs and outputs as it was written, its batch still open."""
    options = plain_options(ort, 1)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = (session.get_inputs(), session.get_outputs())
    inputs, outputs = (
        [cast("Tensor", Described(each.name, each.type, list(each.shape))) for each in tensors]
        for tensors in found
    )
    return inputs, outputs


def _image_shape(inputs: list[Tensor]) -> tuple[int, ...]:
    told = [(each.name, each.type, each.shape) for each in inputs]
    if len(inputs) != 1 or inputs[0].name != "image" or inputs[0].type != "tensor(uint8)":
        raise BundleError(f"a GPU needs a graph of one input image, tensor(uint8), not {told}")
    lengths = [length for length in inputs[0].shape[1:] if isinstance(length, int)]
    if len(lengths) != 3:
        raise BundleError(f"a GPU needs images of a fixed height and width, not {told}")
    return tuple(lengths)


def _check_provider(session: Any, place: Place) -> None:
    wanted = place.providers[0]
    name: str = wanted if isinstance(wanted, str) else wanted[0]
    if name not in session.get_providers():
        raise BundleError(f"onnxruntime could not start {name}")


def _room(ort: Any, like: NDArray[Any], place: Place) -> Any:
    return ort.OrtValue.ortvalue_from_shape_and_type(
        list(like.shape), like.dtype.type, place.device, 0
    )
