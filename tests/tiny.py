"""A real bundle in a few milliseconds: a classifier that tells colours apart.

Label i of K stands for the i-th of K hues around the colour circle (three labels: red, green,
blue). The graph takes the mean colour of 4 x 4 regions through one matrix, so a picture of a hue
is classified truthfully, whatever its brightness. It is an ONNX file like any other: tests that
use it exercise the real runner, the real digests and the real log.

    folder = tiny_bundle(tmp_path, labels=("Cat", "Dog", "Spider"))
    image = picture("Dog", labels=("Cat", "Dog", "Spider"))        # a green one
"""

import colorsys
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from core.bundle import files, originals, outputs, profile, sentinels
from core.bundle.manifest import MANIFEST, Manifest
from core.bundle.profile import ReferenceProfile
from core.bundle.sentinels import Sentinels
from core.images.descriptors import DESCRIPTORS, describe
from core.images.preprocess import Recipe, preprocess

LABELS = ("Cat", "Dog", "Spider")
REGIONS = 4  # a side
SHARPNESS = 6.0  # logits between neighbouring hues of a pure picture

_SENTINELS_PER_LABEL = 4
_PROFILE_ROWS = 120
_PENALTY = 30.0  # below every other logit


def picture(
    label: str,
    *,
    labels: Sequence[str] = LABELS,
    size: tuple[int, int] = (32, 32),
    seed: int = 0,
    noise: float = 0.15,
) -> NDArray[np.uint8]:
    """Return a drawn picture of a label: its hue, unevenly lit, with noise; uint8 (H, W, 3).

    Args:
        label: One of `labels`.
        labels: All labels of the bundle, in order: they share out the hues.
        size: Height and width.
        seed: Another seed, another picture.
        noise: Standard deviation of the noise on each channel, of the full range.
    """
    rng = np.random.default_rng([seed, list(labels).index(label)])
    hue = list(labels).index(label) / len(labels)
    colour = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.7, 1), rng.uniform(0.6, 1)))
    light = np.linspace(rng.uniform(0.7, 1), rng.uniform(0.7, 1), size[1])[None, :, None]
    pixels = colour * light + rng.normal(0, noise, (*size, 3))
    return np.round(255 * pixels.clip(0, 1)).astype(np.uint8)


def tiny_bundle(
    parent: Path,
    *,
    version: str = "v1",
    labels: Sequence[str] = LABELS,
    size: int = 16,
    seed: int = 0,
    confuse: tuple[str, str] | None = None,
    reference: dict[str, dict[str, object]] | None = None,
    created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC),
) -> Path:
    """Write the bundle `parent/<version>` and return its folder.

    Args:
        parent: Folder of all bundles.
        version: Name of the version and its folder.
        labels: Two or more.
        size: Height and width of the model's input, a multiple of 4.
        seed: Another seed, other weights (and another digest); the answers stay truthful.
        confuse: `("Spider", "Cat")`: a version that calls every Spider a Cat.
        reference: Counts per label; 196 right of 200 each when None.
        created_at: When the version was made.
    """
    weights = tiny_weights(labels, size=size, seed=seed)
    recipe = Recipe(size, size, resize=size)
    drawn = [
        picture(label, labels=labels, seed=1000 + i)
        for i in range(-(-_PROFILE_ROWS // len(labels)))
        for label in labels
    ]
    inputs = np.stack([preprocess(image, recipe) for image in drawn])
    logits, embedding = _forward(inputs, weights, _sources(labels, confuse))
    n = _SENTINELS_PER_LABEL * len(labels)
    manifest = Manifest(
        name="classifier",
        version=version,
        labels=tuple(labels),
        recipe=recipe,
        temperature=1.0,
        architecture="tests/mean-colour",
        created_at=created_at,
        snapshot=hashlib.sha256(version.encode()).hexdigest(),
        training={"seed": seed},
        metrics={"val": {"top1": 0.98}, "test": {"top1": 0.98}},
        reference=reference or _reference(labels),
    )
    members: dict[str, bytes | Path] = {
        files.MODEL: tiny_model(labels, size=size, seed=seed, confuse=confuse).SerializeToString(),
        files.SENTINELS: sentinels.save(Sentinels(inputs[:n], logits[:n])),
        files.PROFILE: profile.save(
            profile_of(drawn, logits, embedding, np.arange(len(drawn)) % len(labels))
        ),
        files.ORIGINALS: originals.save(originals.make([_png(image) for image in drawn], recipe)),
        files.WEIGHTS: safetensors.numpy.save(weights),
        files.CONFIG: json.dumps({"architecture": "tests/mean-colour"}).encode(),
    }
    return files.write(parent, manifest, members)


def forge(folder: Path, members: Mapping[str, bytes | None], **facts: object) -> Path:
    """Change a bundle so that its digests are right and its content is not; return the folder.

    Args:
        folder: The bundle.
        members: New bytes of some files; None takes a file out.
        facts: What to replace in the manifest, as it stands in JSON.
    """
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for name, data in members.items():
        if data is None:
            (folder / name).unlink()
            del manifest["files"][name]
        else:
            (folder / name).write_bytes(data)
            manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps({**manifest, **facts}), encoding="utf-8")
    return folder


def tiny_weights(
    labels: Sequence[str] = LABELS, *, size: int = 16, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Return the model's numbers: `classify` (48, K), `embed` (48, 256), `offset` (256,)."""
    rng = np.random.default_rng(seed)
    k = len(labels)
    hues = np.array([colorsys.hsv_to_rgb(i / k, 1, 1) for i in range(k)])
    chroma = hues - hues.mean(axis=1, keepdims=True)
    chroma /= np.linalg.norm(chroma, axis=1, keepdims=True)
    nearest = np.sort(chroma @ chroma.T, axis=1)[:, -2].max()
    scale = SHARPNESS / (np.sqrt(2 / 3) * (1 - nearest))
    chroma += rng.normal(0, 0.01 * (1 - nearest), chroma.shape)
    features = REGIONS * REGIONS * 3
    return {
        # Features are channel by channel, as NCHW flattens: each channel's regions in a row.
        "classify": (scale * np.repeat(chroma.T, REGIONS**2, axis=0) / REGIONS**2).astype("f4"),
        "embed": rng.normal(0, 1, (features, outputs.EMBEDDING_SIZE)).astype("f4"),
        "offset": rng.normal(0, 0.1, outputs.EMBEDDING_SIZE).astype("f4"),
    }


def tiny_model(
    labels: Sequence[str] = LABELS,
    *,
    size: int = 16,
    seed: int = 0,
    confuse: tuple[str, str] | None = None,
) -> onnx.ModelProto:
    """Return the graph alone, for tests that alter it before writing it into a bundle."""
    weights = tiny_weights(labels, size=size, seed=seed)
    first, second, penalty = _sources(labels, confuse)
    constants = {
        **weights,
        "full": np.float32(255),
        "first": first,
        "second": second,
        "penalty": penalty,
    }
    step = size // REGIONS
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["nchw"], ["regions"], kernel_shape=[step, step], strides=[step, step]
        ),
        helper.make_node("Flatten", ["regions"], ["features"]),
        helper.make_node("MatMul", ["features", "classify"], ["hues"]),
        helper.make_node("Gather", ["hues", "first"], ["one"], axis=1),
        helper.make_node("Gather", ["hues", "second"], ["other"], axis=1),
        helper.make_node("Max", ["one", "other"], ["highest"]),
        helper.make_node("Sub", ["highest", "penalty"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("MatMul", ["features", "embed"], ["projected"]),
        helper.make_node("Add", ["projected", "offset"], ["moved"]),
        helper.make_node("LpNormalization", ["moved"], ["embedding"], axis=1, p=2),
    ]
    k, f32 = len(labels), TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "mean-colour",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", size, size, 3])],
        [
            helper.make_tensor_value_info("probabilities", f32, ["N", k]),
            helper.make_tensor_value_info("logits", f32, ["N", k]),
            helper.make_tensor_value_info("embedding", f32, ["N", outputs.EMBEDDING_SIZE]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _sources(
    labels: Sequence[str], confuse: tuple[str, str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return which two hues each label answers to, and what is taken off its logit."""
    first, penalty = np.arange(len(labels)), np.zeros(len(labels), dtype=np.float32)
    second = first.copy()
    if confuse:
        hidden, shown = (list(labels).index(label) for label in confuse)
        second[shown] = hidden
        penalty[hidden] = _PENALTY
    return first, second, penalty


def _forward(
    images: NDArray[np.uint8],
    weights: dict[str, NDArray[np.float32]],
    sources: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what the graph must answer, computed without onnxruntime: logits and embedding."""
    n, size = images.shape[:2]
    blocks = images.reshape(n, REGIONS, size // REGIONS, REGIONS, size // REGIONS, 3) / 255
    features = blocks.mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(n, -1)
    hues = features @ weights["classify"]
    first, second, penalty = sources
    logits = np.maximum(hues[:, first], hues[:, second]) - penalty
    moved = features @ weights["embed"] + weights["offset"]
    embedding = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return logits.astype(np.float32), embedding.astype(np.float32)


def profile_of(
    drawn: Sequence[NDArray[np.uint8]],
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    true: NDArray[np.int64],
) -> ReferenceProfile:
    """Return the reference profile of pictures, of what was said of them, and of what is true."""
    described = [describe(image) for image in drawn]
    columns = {name: np.array([each[name] for each in described]) for name in DESCRIPTORS}
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    columns["confidence"] = outputs.confidence(probabilities)
    columns["entropy"] = outputs.entropy(probabilities)
    columns["margin"] = outputs.margin(probabilities)
    return ReferenceProfile(columns, logits.argmax(axis=1), embedding, true)


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _reference(labels: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return 196 right of 200 for each label, the rest taken for the next one."""
    following = [*labels[1:], labels[0]]
    return {
        label: {"n": 200, "correct": 196, "confused": {other: 4}}
        for label, other in zip(labels, following, strict=True)
    }
