"""A tiny bundle with layers: what a GPU and half precision find something to do in.

The graph is put together as the trainer exports a ResNet: bytes, transposed and normalised;
convolutions with a sum around one of them; the mean over the picture; the arithmetic with the
batch's length that exporters leave behind; then classifier, temperature, softmax, projection and
norm. Its weights are drawn by lot: the answers mean nothing, and are the same every time.

    folder = conv_bundle(tmp_path)                       # with_int8=True: and a variant in integers
    images = sentinels.read(folder, files.verify(folder)).images
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from core.bundle import files, sentinels
from core.bundle.outputs import EMBEDDING_SIZE
from core.bundle.sentinels import Sentinels
from tests.tiny import LABELS, forge, picture, tiny_bundle
from trainer.bundling.quantize import to_int8

SIZE = 16
_WIDTH = 8
_SENTINELS = 24


def conv_bundle(
    parent: Path, *, version: str = "v1", seed: int = 0, with_int8: bool = False
) -> Path:
    """Write the bundle `parent/<version>` and return its folder."""
    model = conv_model(seed=seed).SerializeToString()
    images = pictures(_SENTINELS)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    made = {files.MODEL: model, files.SENTINELS: sentinels.save(Sentinels(images, logits))}
    folder = forge(tiny_bundle(parent, version=version, size=SIZE), made)
    return add_int8(folder, to_int8(model, images)) if with_int8 else folder


def add_int8(folder: Path, graph: bytes, **found: object) -> Path:
    """Put a graph in integers into a bundle, with a verdict that it was kept."""
    facts = {"kept": True, "reason": "no class loses anything", "file": files.QUANTISED, "n": 24}
    verdict = facts | {"largest_logit_difference": 0.4} | found
    return forge(folder, {files.QUANTISED: graph}, format=2, variants={"int8": verdict})


def unloadable_model() -> bytes:
    """Return a graph with an operator that no runtime knows."""
    model = conv_model()
    model.graph.node[5].op_type = "NoSuchOperator"
    return model.SerializeToString()


def pictures(n: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return drawn pictures as the graph takes them, uint8 (n, 16, 16, 3)."""
    drawn = [
        picture(LABELS[i % len(LABELS)], size=(SIZE, SIZE), seed=seed + i, noise=0.3)
        for i in range(n)
    ]
    return np.stack(drawn)


def conv_model(*, seed: int = 0, first_scale: float = 1.0) -> onnx.ModelProto:
    """Return the graph alone.

    Args:
        seed: Another seed, other weights.
        first_scale: What the first convolution's weights are multiplied with.
    """
    rng = np.random.default_rng(seed)

    def weight(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (scale * rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)).astype("f4")

    constants: dict[str, NDArray[np.generic]] = {
        "mean": np.full((1, 3, 1, 1), 127, dtype="f4"),
        "std": np.full((1, 3, 1, 1), 64, dtype="f4"),
        "first_w": weight(_WIDTH, 3, 3, 3, scale=first_scale),
        "first_b": weight(_WIDTH, 1)[:, 0],
        "second_w": weight(_WIDTH, _WIDTH, 3, 3),
        "third_w": weight(2 * _WIDTH, _WIDTH, 1, 1),
        "over": np.array([2, 3]),
        "none": np.array([0]),
        "zero": np.array(0),
        "one": np.array(1),
        "head_w": weight(2 * _WIDTH, len(LABELS), scale=9.0),
        "head_b": np.zeros(len(LABELS), dtype="f4"),
        "temperature": np.array(1.5, dtype="f4"),
        "projection": weight(2 * _WIDTH, EMBEDDING_SIZE),
        "last": np.array([1]),
        "least": np.array(1e-12, dtype="f4"),
    }
    graph = helper.make_graph(
        [*_body(), *_head()],
        "tiny-conv",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
            for name, width in (
                ("probabilities", len(LABELS)),
                ("logits", len(LABELS)),
                ("embedding", EMBEDDING_SIZE),
            )
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _body() -> list[onnx.NodeProto]:
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["nchw"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["numbers", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normal"]),
        helper.make_node("Conv", ["normal", "first_w", "first_b"], ["c1"], **same),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "second_w"], ["c2"], **same),
        helper.make_node("Add", ["c2", "r1"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p2", "third_w"], ["c3"], kernel_shape=[1, 1]),
        helper.make_node("Relu", ["c3"], ["r3"]),
        helper.make_node("ReduceMean", ["r3", "over"], ["pooled"], keepdims=0),
    ]


def _head() -> list[onnx.NodeProto]:
    return [
        # Each row gathered from where it is: what as_strided becomes.
        helper.make_node("Shape", ["image"], ["shape"], start=0, end=1),
        helper.make_node("Squeeze", ["shape", "none"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["every"]),
        helper.make_node("Gather", ["pooled", "every"], ["features"], axis=0),
        helper.make_node("Gemm", ["features", "head_w", "head_b"], ["scores"]),
        helper.make_node("Div", ["scores", "temperature"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("MatMul", ["features", "projection"], ["projected"]),
        helper.make_node("ReduceL2", ["projected", "last"], ["norm"], keepdims=1),
        helper.make_node("Clip", ["norm", "least"], ["length_of_each"]),
        helper.make_node("Div", ["projected", "length_of_each"], ["embedding"]),
    ]
