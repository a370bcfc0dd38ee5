"""Keeps the GPU still while a CUDA graph is captured.

onnxruntime captures in CUDA's global mode: while it does, a copy, an allocation or a wait by any
thread of the process fails and spoils the capture. So whoever only uses the GPU goes in together
with others, and whoever captures goes in alone. Who wants to be alone is not kept waiting by
those who come after.

References:
    onnxruntime/core/providers/cuda/cuda_graph.cc: cudaStreamCaptureModeGlobal in CaptureBegin.
    CUDA Runtime API, cudaThreadExchangeStreamCaptureMode: what is prohibited meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager


class CaptureGate:
    """Many users at a time, or one that captures; it cannot be entered twice by one thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._wanting = 0
        self._taken = False

    @contextmanager
    def together(self) -> Generator[None]:
        """Use the GPU beside others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken and not self._wanting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Generator[None]:
        """Have the GPU for oneself."""
        with self._changed:
            self._wanting += 1
            try:
                self._changed.wait_for(lambda: not self._taken and not self._inside)
                self._taken = True
            finally:
                self._wanting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


GATE = CaptureGate()  # of this process, whatever sessions it has
