"""onnxruntime on the CPU that keeps CUDA's rules, and notes whoever breaks them.

It stands in for onnxruntime-gpu where there is no GPU. The answers are onnxruntime's own; added
is what the CUDA provider asks of its callers (core.bundle.bound_session names the sources):

- a session is run by the thread that ran it first, and a recording belongs to its thread;
- a recording is of one binding, and its memory stays where it is;
- while one is made, nothing else of the process copies, allocates, opens or runs.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_LINGER_S = 0.002  # in each step, so that a rule that can be broken is


class StrictOrt:
    """The module, as far as it is used.

    Attributes:
        broken: What was done against the rules.
        recordings: The thread of each recording, by the session's number and graph id.
        replays: How many calls were answered by a recording.
    """

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.recordings: dict[tuple[int, str], threading.Thread] = {}
        self.replays = 0
        self.numbers = itertools.count()
        self.OrtValue = _Values(self)
        self._lock = threading.Lock()
        self._busy: list[str] = []
        self._recording = False

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def InferenceSession(self, model: bytes, options: Any, providers: Any, **_: Any) -> Any:  # noqa: N802
        """Open a session; one of the CPU's own is not watched."""
        inner = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if providers == ["CPUExecutionProvider"]:
            return inner
        with self.doing("opening"):
            return _Session(self, inner)

    @contextmanager
    def doing(self, what: str, *, recording: bool = False) -> Iterator[None]:
        """Note what meets a recording."""
        with self._lock:
            if self._recording:
                self.broken.append(f"{what} during a recording")
            if recording and self._busy:
                self.broken.append(f"a recording during {self._busy}")
            self._recording |= recording
            self._busy.append(what)
        try:
            time.sleep(_LINGER_S)
            yield
        finally:
            with self._lock:
                self._busy.remove(what)
                if recording:
                    self._recording = False


class _Session:
    def __init__(self, ort: StrictOrt, inner: Any) -> None:
        self._ort, self._inner = ort, inner
        self._number = next(ort.numbers)
        self._thread: threading.Thread | None = None
        self._running = threading.Lock()
        self._bound: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def io_binding(self) -> Any:
        return _Binding(self._inner.io_binding())

    def run(self, names: list[str], feed: dict[str, NDArray[Any]], options: Any) -> Any:
        assert options.get_run_config_entry("gpu_graph_id") == "-1", "recorded by way of numpy"
        with self._alone(), self._ort.doing("running"):
            return self._inner.run(names, feed)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        graph_id = options.get_run_config_entry("gpu_graph_id")
        key, me = (self._number, graph_id), threading.current_thread()
        is_new = graph_id != "-1" and key not in self._ort.recordings
        with self._alone(), self._ort.doing("running", recording=is_new):
            self._inner.run_with_iobinding(binding.inner)
        if is_new:
            self._ort.recordings[key] = me
            self._bound[graph_id] = binding
        elif graph_id != "-1":
            self._ort.replays += 1
            if self._ort.recordings[key] is not me or self._bound[graph_id] is not binding:
                self._ort.broken.append("a replay by another thread or of another binding")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        me = threading.current_thread()
        if self._thread not in {None, me}:
            self._ort.broken.append("a session run by two threads")
        self._thread = me
        if not self._running.acquire(blocking=False):
            self._ort.broken.append("a session run twice at once")
            self._running.acquire()
        try:
            yield
        finally:
            self._running.release()


class _Binding:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.inner.bind_ortvalue_input(name, value.inner)

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        self.inner.bind_ortvalue_output(name, value.inner)


class _Values:
    def __init__(self, ort: StrictOrt) -> None:
        self._ort = ort

    def ortvalue_from_shape_and_type(
        self, shape: list[int], kind: Any, device: str, number: int
    ) -> Any:
        assert (device, number) == ("cuda", 0)
        with self._ort.doing("allocating"):
            return _Value(self._ort, onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, kind))


class _Value:
    def __init__(self, ort: StrictOrt, inner: Any) -> None:
        self._ort, self.inner = ort, inner

    def update_inplace(self, data: NDArray[Any]) -> None:
        assert list(data.shape) == list(self.inner.shape()), "a copy of another size"
        with self._ort.doing("copying in"):
            self.inner.update_inplace(data)

    def numpy(self) -> NDArray[Any]:
        with self._ort.doing("copying out"):
            return np.array(self.inner.numpy())
