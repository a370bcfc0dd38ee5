"""The body of a graph in half precision, everything that decides an answer in float32.

A GPU's tensor cores multiply half-precision numbers many times as fast as float32. Only the body
gains by it: what lies between the first product (a convolution or matrix) and the last ones. What
comes before (bytes to normalised pixels) and after (classifier, temperature, softmax, projection,
norm) costs next to nothing and stays in float32, as do the graph's input and outputs; so no logit
is rounded to 11 bits, and probabilities sum to one.

onnxruntime's own converter is not used: it rounds what passes between two nodes that both stay in
float32. Inside the body only operators of a list are converted, those known to be exact enough;
any other computes in float32 between two casts, and so does one with a weight beyond 65,504.

It needs the package `onnx` (part of `weakspot[gpu]`) and, for a ResNet50, one to three seconds and
0.6 GB. What it did to the answers is not judged here: the sentinels and the trial do that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from core.errors import BundleError

# Where the work is: what tensor cores compute.
_PRODUCTS: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

# What may stand between products: sums, activations, pooling and the moving about of numbers.
# Powers, exponentials and norms are missing: their sums leave the range of half precision.
_HALF: Final = _PRODUCTS | {
    *("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Clip"),
    *("Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Erf", "Gelu", "Softmax"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"),
    *("BatchNormalization", "Concat", "Expand", "Flatten", "Gather", "Identity", "Pad"),
    *("Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
}

_SUFFIX = "__half"


def to_half(model: bytes, path: Path) -> bytes:
    """Return the graph with its body in half precision; input and outputs stay as they are.

    Args:
        model: The bytes of an ONNX file that keeps nothing elsewhere.
        path: Where they come from, for messages.

    Raises:
        BundleError: The package `onnx` is missing, there is nothing that half precision would
            make faster, or the graph has branches or loops or cannot be read.
    """
    onnx = _onnx()
    try:
        whole = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    except Exception as error:  # protobuf's and onnx' errors have no common base
        raise BundleError(f"{path} cannot be put into half precision: {error}") from error
    graph = whole.graph
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        raise BundleError(f"{path} branches or loops, and is not put into half precision")
    conversion = _Conversion(onnx, graph, _float_tensors(onnx, graph))
    if not any(node.op_type in _PRODUCTS for node in conversion.body()):
        raise BundleError(f"{path} has no layers that half precision would make faster")
    conversion.apply()
    return cast("bytes", whole.SerializeToString())


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise BundleError(
            "half precision needs the package onnx, which is not installed; "
            "pip install 'weakspot[gpu]'"
        ) from error
    return cast("Any", onnx)


def _float_tensors(onnx: Any, graph: Any) -> frozenset[str]:
    """Return the names of all tensors that are known to be float32."""
    wanted: int = onnx.TensorProto.FLOAT
    told = [*graph.input, *graph.output, *graph.value_info]
    found = {each.name for each in told if each.type.tensor_type.elem_type == wanted}
    return frozenset(found | {each.name for each in graph.initializer if each.data_type == wanted})


@dataclass(slots=True)
class _Conversion:
    """One graph on its way: tensor `x` is float32, and `x__half`, where it is made, is half."""

    onnx: Any
    graph: Any
    floats: frozenset[str]
    weights: dict[str, Any] = field(init=False)
    halves: set[str] = field(init=False, default_factory=set[str])
    in_body: set[int] = field(init=False)

    def __post_init__(self) -> None:
        """Find the body."""
        self.weights = {each.name: each for each in self.graph.initializer}
        nodes: list[Any] = list(self.graph.node)
        self.in_body = {i for i in body_of(nodes) if self._may_be_half(nodes[i])}

    def body(self) -> Iterator[Any]:
        """Yield the nodes that are to compute in half precision."""
        return (node for i, node in enumerate(self.graph.node) if i in self.in_body)

    def apply(self) -> None:
        """Convert the body, with a cast wherever a tensor goes in or out of it."""
        read_outside = {
            name
            for i, node in enumerate(self.graph.node)
            if i not in self.in_body
            for name in node.input
        } | {each.name for each in self.graph.output}
        nodes: list[Any] = []
        for i, node in enumerate(self.graph.node):
            if i not in self.in_body:
                nodes.append(node)
                continue
            nodes += [cast for name in node.input for cast in self._lower(name)]
            made = [name for name in node.output if name in self.floats]
            node.input[:] = [self._half_name(name) for name in node.input]
            node.output[:] = [self._half_name(name) for name in node.output]
            self.halves.update(made)
            raised = [name for name in made if name in read_outside]
            nodes += [node, *(self._cast(name + _SUFFIX, name, "FLOAT") for name in raised)]
        self.graph.ClearField("node")
        self.graph.node.extend(nodes)
        # Types inferred before no longer hold; whoever loads the graph infers them anew.
        self.graph.ClearField("value_info")
        self._drop_unused_weights()

    def _may_be_half(self, node: Any) -> bool:
        if node.domain not in {"", "ai.onnx"} or node.op_type not in _HALF:
            return False
        read = [name for name in node.input if name in self.floats]
        return bool(read) and all(
            self._fits(self.weights[name]) for name in read if name in self.weights
        )

    def _fits(self, weight: Any) -> bool:
        numbers = self.onnx.numpy_helper.to_array(weight)
        return not numbers.size or bool(np.abs(numbers).max() <= np.finfo(np.float16).max)

    def _half_name(self, name: str) -> str:
        return name + _SUFFIX if name in self.floats else name

    def _lower(self, name: str) -> list[Any]:
        """Have a tensor in half precision; return the nodes that this takes."""
        if name not in self.floats or name in self.halves:
            return []
        self.halves.add(name)
        if name not in self.weights:
            return [self._cast(name, name + _SUFFIX, "FLOAT16")]
        numbers = self.onnx.numpy_helper.to_array(self.weights[name]).astype(np.float16)
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(numbers, name + _SUFFIX))
        return []

    def _cast(self, name: str, made: str, kind: str) -> Any:
        to: int = getattr(self.onnx.TensorProto, kind)
        return self.onnx.helper.make_node("Cast", [name], [made], name=f"cast:{made}", to=to)

    def _drop_unused_weights(self) -> None:
        read = {name for node in self.graph.node for name in node.input}
        kept = [each for each in self.graph.initializer if each.name in read]
        self.graph.ClearField("initializer")
        self.graph.initializer.extend(kept)


def body_of(nodes: list[Any]) -> set[int]:
    """Return which nodes of a graph lie between its first product and its last ones.

    What comes before are pixels on their way in, and after, classifier and projection with it,
    what decides an answer.
    """
    after = _reached(nodes, "input", "output")
    before = _reached(nodes[::-1], "output", "input")
    return {
        i
        for i, node in enumerate(nodes)
        if (node.op_type in _PRODUCTS or not after.isdisjoint(node.input))
        and not before.isdisjoint(node.output)
    }


def last_products(nodes: list[Any]) -> list[Any]:
    """Return the products behind the body: classifier and projection."""
    inside = body_of(nodes)
    return [node for i, node in enumerate(nodes) if i not in inside and node.op_type in _PRODUCTS]


def _reached(nodes: list[Any], near: str, far: str) -> set[str]:
    """Return the tensors on the far side of a product, directly or by way of other nodes."""
    found: set[str] = set()
    for node in nodes:  # in order, as ONNX asks of a graph
        if node.op_type in _PRODUCTS or not found.isdisjoint(getattr(node, near)):
            found.update(name for name in getattr(node, far) if name)
    return found
