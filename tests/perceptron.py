"""A bundle that has really learnt: a small perceptron on the pixels of small grey pictures.

It learns the silhouettes of the public sample set in seconds and names about four in five of them
right, so tests can degrade real pictures and see a real model fail on them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier

from core.bundle import files, originals, outputs, profile, sentinels
from core.bundle.manifest import Manifest
from core.bundle.sentinels import Sentinels
from core.images.decode import decode
from core.images.preprocess import Recipe, preprocess
from tests.tiny import profile_of

SIDE = 28
RECIPE = Recipe(SIDE, SIDE)

_HIDDEN = outputs.EMBEDDING_SIZE
_LEAST_LENGTH = np.float32(1e-6)


def perceptron_bundle(
    parent: Path,
    learnt: Mapping[str, Sequence[bytes]],
    held_back: Mapping[str, Sequence[bytes]],
    *,
    version: str = "v1",
) -> Path:
    """Train on image files and write the bundle `parent/<version>`; return its folder.

    Args:
        parent: Folder of all bundles.
        learnt: Image files to learn, by label.
        held_back: Image files that give reference, sentinels and profile, by label.
        version: Name of the version and its folder.
    """
    labels = tuple(learnt)
    network = _train(learnt)
    pictures = [decode(data) for label in labels for data in held_back[label]]
    true = np.repeat(np.arange(len(labels)), [len(held_back[label]) for label in labels])
    inputs = np.stack([preprocess(picture, RECIPE) for picture in pictures])
    logits, embedding = _forward(network, inputs)
    asked = np.random.default_rng(0).permutation(len(inputs))[:40]
    first = [data for label in labels for data in held_back[label]][:8]
    manifest = Manifest(
        name="perceptron",
        version=version,
        labels=labels,
        recipe=RECIPE,
        temperature=1.0,
        architecture="tests/perceptron",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        snapshot=hashlib.sha256(version.encode()).hexdigest(),
        training={},
        metrics={"test": {"top1": float(np.mean(logits.argmax(axis=1) == true))}},
        reference=_reference(labels, logits.argmax(axis=1), true),
    )
    members: dict[str, bytes | Path] = {
        files.MODEL: _graph(network, len(labels)).SerializeToString(),
        files.SENTINELS: sentinels.save(Sentinels(inputs[asked], logits[asked])),
        files.PROFILE: profile.save(profile_of(pictures, logits, embedding, true)),
        files.ORIGINALS: originals.save(originals.make(first, RECIPE)),
        files.CONFIG: b"{}",
        files.WEIGHTS: b"",
    }
    return files.write(parent, manifest, members)


def _train(learnt: Mapping[str, Sequence[bytes]]) -> list[NDArray[np.float32]]:
    """Return weights and offsets of both layers."""
    pixels = np.stack(
        [_features(preprocess(decode(data), RECIPE)) for each in learnt.values() for data in each]
    )
    true = np.repeat(np.arange(len(learnt)), [len(each) for each in learnt.values()])
    network = MLPClassifier((_HIDDEN,), max_iter=200, early_stopping=True, random_state=0)
    network.fit(pixels, true)
    layers = zip(network.coefs_, network.intercepts_, strict=True)
    return [part.astype(np.float32) for layer in layers for part in layer]


def _features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = image.astype(np.float32).mean(axis=-1) / np.float32(255)
    return grey.reshape(*grey.shape[:-2], -1)


def _forward(
    network: Sequence[NDArray[np.float32]], images: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what the graph must answer, computed without onnxruntime: logits and embedding."""
    first, first_offset, second, second_offset = network
    hidden = np.maximum(_features(images) @ first + first_offset, 0)
    length = np.linalg.norm(hidden, axis=1, keepdims=True)
    return hidden @ second + second_offset, hidden / np.maximum(length, _LEAST_LENGTH)


def _graph(network: Sequence[NDArray[np.float32]], labels: int) -> onnx.ModelProto:
    names = ("first", "first_offset", "second", "second_offset")
    constants = dict(zip(names, network, strict=True)) | {
        "full": np.float32(255),
        "least": _LEAST_LENGTH,
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["grey"], axes=[3], keepdims=0),
        helper.make_node("Flatten", ["grey"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "first"], ["weighed"]),
        helper.make_node("Add", ["weighed", "first_offset"], ["moved"]),
        helper.make_node("Relu", ["moved"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["hues"]),
        helper.make_node("Add", ["hues", "second_offset"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceL2", ["hidden"], ["length"], axes=[1], keepdims=1),
        helper.make_node("Max", ["length", "least"], ["divisor"]),
        helper.make_node("Div", ["hidden", "divisor"], ["embedding"]),
    ]
    f32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("probabilities", f32, ["N", labels]),
            helper.make_tensor_value_info("logits", f32, ["N", labels]),
            helper.make_tensor_value_info("embedding", f32, ["N", _HIDDEN]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _reference(
    labels: Sequence[str], predicted: NDArray[np.int64], true: NDArray[np.int64]
) -> dict[str, dict[str, object]]:
    counts: dict[str, dict[str, object]] = {}
    for i, label in enumerate(labels):
        answers = np.bincount(predicted[true == i], minlength=len(labels)).tolist()
        confused = {labels[j]: n for j, n in enumerate(answers) if n and j != i}
        counts[label] = {"n": sum(answers), "correct": answers[i], "confused": confused}
    return counts
