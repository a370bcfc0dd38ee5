"""The body of a graph in integers of 8 bits, by static quantisation: for processors, not GPUs.

Every tensor between two layers is given one range, read off real images: the one that costs the
least in mean squares, which cuts rare large numbers off and leaves finer steps to all others.
Weights are given one range for each channel they lead to. Activations are unsigned and weights
signed, which is the pair that x86 multiplies in one instruction (VNNI).

As in half precision, only what lies between the first product and the last ones is converted:
pixels on their way in, classifier, temperature, softmax, projection and norm stay in float32. So
does the first layer, which reads pixels: it costs a fortieth of the work, and a tenth of the error.
What is off by a constant in the features is added again.

What came of the answers is judged in trainer.bundling.variants. The files between two steps lie in
a temporary folder.

References:
    Jacob et al. (2018), Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference, CVPR.
    onnxruntime, docs/performance/model-optimizations/quantization.md.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.bundle import engines
from core.bundle.bound_session import plain_options
from core.bundle.half_precision import body_of, last_products
from core.errors import BundleError

_IMAGES: Final = 200  # to calibrate with, or one of each class where there are more classes
_MOST_IMAGES: Final = 1_000
_BATCH: Final = 4
_DRAWN: Final = 250  # numbers of each image and tensor that ranges are chosen by
_SHARES: Final = np.linspace(0.3, 1, 29)  # of the whole range, those that are tried
_SEED: Final = 0

# Multiplied in integers, or handing integers on without turning them into numbers in between.
_QUANTISED: Final = (
    *("Conv", "MatMul", "Gemm", "Add", "Mul", "Relu", "Clip", "Concat"),
    *("MaxPool", "AveragePool", "GlobalAveragePool"),
)
# What onnxruntime asks for before it quantises; without it, it warns.
_PREPARED: Final = {"onnx.quant.pre_process": "onnxruntime.quant"}


def images_for(classes: int) -> int:
    """Return with how many images a graph of so many classes is calibrated, where there are any.

    Example:
        >>> [images_for(classes) for classes in (15, 500, 20_000)]
        [200, 500, 1000]
    """
    return min(max(_IMAGES, classes), _MOST_IMAGES)


def to_int8(model: bytes, images: NDArray[np.uint8]) -> bytes:
    """Return the graph with its body in integers; input and outputs stay as they are.

    Args:
        model: The bytes of an ONNX file that keeps nothing elsewhere.
        images: Real, preprocessed, of all classes, uint8 (n, H, W, 3), n >= 1: what the ranges
            of numbers inside are read off.

    Raises:
        BundleError: The graph has no layers, or onnxruntime cannot quantise it.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix="weakspot-int8-") as name, _quiet():
        folder = Path(name)
        try:
            prepared = _prepared(model, folder)
            inside = _body(prepared)
            seen = _look(prepared, inside, images)
            path = folder / "int8.onnx"
            # The quantiser takes the numbers out of `prepared`, which is of no use afterwards.
            _quantise(prepared, inside, seen.ranges, images[:1], path)
            return _centred(onnx.load(path), seen.means, images)
        except BundleError:
            raise
        except Exception as error:  # onnxruntime's and onnx' errors have no common base
            raise BundleError(f"the graph cannot be put into integers: {error}") from error


def _prepared(model: bytes, folder: Path) -> Any:
    """Return the graph with constants and norms folded into its layers, and all shapes known."""
    import onnx
    import onnxruntime

    options = plain_options(onnxruntime, engines.all_cores())
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    folded = onnx.shape_inference.infer_shapes(onnx.load(folder / "folded.onnx"))
    for i, node in enumerate(folded.graph.node):
        node.name = node.name or f"node_{i}"
    onnx.helper.set_model_props(folded, _PREPARED)
    return folded


def _body(prepared: Any) -> list[str]:
    """Return the names of the nodes that are to compute in integers."""
    nodes: list[Any] = list(prepared.graph.node)
    kinds = {node.name: node.op_type for node in nodes}
    inside = [nodes[i].name for i in sorted(body_of(nodes)) if nodes[i].op_type in _QUANTISED]
    layers = [name for name in inside if kinds[name] in {"Conv", "MatMul", "Gemm"}]
    if not layers:
        raise BundleError("the graph has no layers that integers would make faster")
    return [name for name in inside if name != layers[0] or len(layers) == 1]


def _tensors(prepared: Any, inside: list[str]) -> list[str]:
    """Return the tensors that go in or out of these nodes, weights apart."""
    weights = {each.name for each in prepared.graph.initializer}
    nodes = [node for node in prepared.graph.node if node.name in set(inside)]
    named = [name for node in nodes for name in (*node.input, *node.output)]
    return [name for name in dict.fromkeys(named) if name and name not in weights]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What float32 computes of the images.

    Attributes:
        ranges: For each tensor the range of numbers that is worth telling apart.
        means: For each product behind the body, by name, the mean of what it reads.
    """

    ranges: dict[str, tuple[float, float]]
    means: dict[str, NDArray[np.float64]]


def _look(prepared: Any, inside: list[str], images: NDArray[np.uint8]) -> _Seen:
    tensors = _tensors(prepared, inside)
    read = {node.name: node.input[0] for node in last_products(list(prepared.graph.node))}
    asked = list(dict.fromkeys([*tensors, *read.values()]))
    rng = np.random.default_rng(_SEED)
    drawn: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tensors}
    ends = dict.fromkeys(tensors, (0.0, 0.0))
    sums: dict[str, Any] = dict.fromkeys(read.values(), 0.0)
    for batch in _run(prepared, asked, images):
        for name in tensors:
            flat = batch[name].ravel()
            drawn[name].append(flat[rng.integers(0, flat.size, _DRAWN * len(batch[name]))])
            low, high = ends[name]
            ends[name] = min(low, float(flat.min())), max(high, float(flat.max()))
        sums = {name: each + batch[name].sum(axis=0, dtype="f8") for name, each in sums.items()}
    return _Seen(
        {name: _range(np.concatenate(parts), *ends[name]) for name, parts in drawn.items()},
        {node: sums[name] / len(images) for node, name in read.items()},
    )


def _run(
    model: Any, tensors: list[str], images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield these tensors for a few images at a time."""
    import onnx
    import onnxruntime

    told = onnx.ModelProto()
    told.CopyFrom(model)
    there = {each.name for each in told.graph.output}
    told.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in tensors
        if name not in there
    )
    options = plain_options(onnxruntime, engines.all_cores())
    session: Any = onnxruntime.InferenceSession(
        told.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for batch in np.array_split(images, -(-len(images) // _BATCH)):
        found = session.run(tensors, {"image": np.ascontiguousarray(batch)})
        yield dict(zip(tensors, found, strict=True))


def _range(numbers: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Return the share of a range around 0 by which 256 steps render numbers best."""
    if not high > low:
        return low, high

    def error(share: float) -> float:
        step = share * (high - low) / 255
        zero = round(-low * share / step)
        places = np.clip(np.round(numbers / step) + zero, 0, 255) - zero
        return float(np.square(places * step - numbers).mean())

    best = min(_SHARES.tolist(), key=error)
    return low * best, high * best


def _quantise(
    prepared: Any,
    inside: list[str],
    ranges: dict[str, tuple[float, float]],
    one: NDArray[np.uint8],
    path: Path,
) -> None:
    from onnxruntime import quantization

    class OneImage(quantization.CalibrationDataReader):
        """The quantiser asks for images although every range is known."""

        def __init__(self) -> None:
            self._left = [{"image": np.ascontiguousarray(one)}]

        def get_next(self) -> Any:
            return self._left.pop() if self._left else None

    quantization.quantize_static(
        prepared,
        path,
        OneImage(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(_QUANTISED),
        nodes_to_quantize=inside,
        per_channel=True,
        reduce_range=False,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        extra_options={
            "TensorQuantOverrides": {
                name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
                for name, (low, high) in ranges.items()
            }
        },
    )


def _centred(
    quantised: Any, meant: dict[str, NDArray[np.float64]], images: NDArray[np.uint8]
) -> bytes:
    """Return the graph with features whose means are those of float32.

    Rounding is noise and a little more: each feature is off by its own constant. No answer turns
    on that, but a linear classifier tells such embeddings from those of float32, and the drift
    check is one. The constant is added where classifier and projection read the features.
    """
    import onnx

    read = {node.name: node.input[0] for node in quantised.graph.node if node.name in meant}
    features = {tensor: meant[name] for name, tensor in read.items() if meant[name].ndim == 1}
    sums: dict[str, Any] = dict.fromkeys(features, 0.0)
    for batch in _run(quantised, list(features), images):
        sums = {name: each + batch[name].sum(axis=0, dtype="f8") for name, each in sums.items()}
    for tensor, mean in features.items():
        off = (mean - sums[tensor] / len(images)).astype(np.float32)
        constant, made = f"{tensor}_off_by", f"{tensor}_centred"
        quantised.graph.initializer.append(onnx.numpy_helper.from_array(off, constant))
        nodes: list[Any] = list(quantised.graph.node)
        readers = [i for i, node in enumerate(nodes) if read.get(node.name) == tensor]
        for i in readers:
            nodes[i].input[0] = made
        add = onnx.helper.make_node("Add", [tensor, constant], [made], name=made)
        quantised.graph.ClearField("node")
        quantised.graph.node.extend([*nodes[: readers[0]], add, *nodes[readers[0] :]])
    return quantised.SerializeToString()


@contextmanager
def _quiet() -> Generator[None]:
    """Keep onnxruntime's quantiser from giving advice on stderr."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
