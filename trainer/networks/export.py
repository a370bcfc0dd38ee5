"""From torch to ONNX, and the proof that nothing changed on the way.

The graph carries everything after the resize, so that no caller can do it differently: bytes in;
normalisation, backbone, head and temperature inside; probabilities, logits and an embedding out.
Exporters have produced graphs with wrong biases, with a fixed batch and with no accuracy at all,
without any complaint; so the file's own bytes are run on real images, alone, by threes and all
together, and must agree with torch before anything is kept.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.bundle.outputs import EMBEDDING_SIZE, Outputs
from core.errors import ParityError, TrainingError
from trainer.networks.architectures import Network

ALLOWED_DIFFERENCE = 1e-3
OUTPUTS = ("probabilities", "logits", "embedding")

_PROJECTION_SEED = 20_261_121  # another seed is another embedding space: never change it
_LARGE_BATCH = 16


class ServedGraph(nn.Module):
    """What is exported: bytes to probabilities, logits and embedding."""

    projection: Tensor
    temperature: Tensor

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        self.register_buffer("projection", torch.from_numpy(projection(network.width)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Answer for bytes of shape (N, H, W, 3)."""
        features = self.network.features(image.permute(0, 3, 1, 2).to(torch.float32))
        logits = self.network.head(features) / self.temperature
        embedding = nn.functional.normalize(features @ self.projection, dim=1)
        return torch.softmax(logits, dim=1), logits, embedding


def projection(width: int) -> NDArray[np.float32]:
    """Return the fixed orthogonal projection of `width` features to the embedding, (width, 256).

    Its columns are orthonormal where there are at least 256 features, so that it is the best a
    random subspace can do; its rows are where there are fewer, so that no distance changes.
    """
    rng = np.random.default_rng(_PROJECTION_SEED)
    tall = (max(width, EMBEDDING_SIZE), min(width, EMBEDDING_SIZE))
    q, r = np.linalg.qr(rng.standard_normal(tall))
    # Signs that depend on the LAPACK at hand are made to depend on the numbers alone.
    q = q * np.sign(np.diag(r))
    return np.ascontiguousarray(q if width >= EMBEDDING_SIZE else q.T, dtype=np.float32)


def served_graph(network: Network, temperature: float) -> ServedGraph:
    """Return a float32 copy on the CPU, in evaluation mode, ready to be exported."""
    own = copy.deepcopy(network).to("cpu", torch.float32)
    plain: Any = own.backbone
    if hasattr(plain, "set_attn_implementation"):
        # Fused attention leaves strides that the exporter cannot view at a free batch size.
        plain.set_attn_implementation("eager")
    return ServedGraph(own, temperature).eval()


def to_onnx(graph: ServedGraph, *, height: int, width: int) -> bytes:
    """Return the graph as one ONNX file with its weights inside and a free batch size.

    Raises:
        TrainingError: torch cannot export this backbone.
    """
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), _quiet_exporter():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                graph,
                (example,),
                input_names=["image"],
                output_names=list(OUTPUTS),
                dynamo=True,
                dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
                verbose=False,
            )
    except Exception as error:  # the exporter's errors have no common base
        raise TrainingError(f"torch cannot export this backbone to ONNX: {error}") from error
    file = io.BytesIO()
    program.save(file, external_data=False)
    return file.getvalue()


def check_parity(
    graph: ServedGraph, model: bytes, images: NDArray[np.uint8]
) -> tuple[Outputs, float]:
    """Run graph and file on real images and refuse any difference that could matter.

    Args:
        graph: The torch side, float32.
        model: The ONNX file.
        images: Real, preprocessed, uint8 (n, H, W, 3); repeated up to 16 where there are fewer.

    Returns:
        What torch says of the n images, and the largest difference found.

    Raises:
        ParityError: An output differs by more than 1e-3, has another shape, or is no number.
    """
    many = images[np.arange(max(len(images), _LARGE_BATCH)) % len(images)]
    session = _session(model)
    with torch.inference_mode():
        expected = [tensor.numpy() for tensor in graph(torch.from_numpy(many))]
    largest = 0.0
    for size in (1, 3, len(many)):
        found = session.run(list(OUTPUTS), {"image": many[:size]})
        largest = max(largest, difference([e[:size] for e in expected], found))
    if not largest <= ALLOWED_DIFFERENCE:
        raise ParityError(largest, ALLOWED_DIFFERENCE)
    n = len(images)
    return Outputs(expected[0][:n], expected[1][:n], expected[2][:n]), largest


def difference(expected: list[NDArray[np.float32]], found: list[NDArray[np.float32]]) -> float:
    """Return the largest difference of any output; infinity where a shape or a number is wrong."""
    if [each.shape for each in found] != [each.shape for each in expected]:
        return float("inf")
    differences = [
        np.abs(one.astype(np.float64) - other).max()
        for one, other in zip(expected, found, strict=True)
    ]
    # max() of numbers and NaN depends on their order; infinity does not.
    return max(float(each) if np.isfinite(each) else float("inf") for each in differences)


@contextmanager
def _quiet_exporter() -> Generator[None]:
    """Keep the exporter from telling that torchvision is not there."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise TrainingError(f"onnxruntime cannot load the exported model: {error}") from error
