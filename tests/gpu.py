"""Whether there is a GPU to test on."""

from collections.abc import Callable
from typing import Any

import pytest

from core.bundle import engines

HAS_GPU = engines.where("auto") == "cuda"


def needs_gpu(test: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a test that an NVIDIA GPU and onnxruntime-gpu must be there for."""
    without = pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU, or onnxruntime without CUDA")
    return pytest.mark.gpu(without(test))
