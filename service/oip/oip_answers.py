"""Answers in the Open Inference Protocol: predictions as named tensors, in JSON or after it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bundle.outputs import EMBEDDING_SIZE
from core.images.preprocess import Recipe
from service.model.predictor import Answered
from service.oip.oip_tensors import INPUT, InferRequest, Wanted

_Values = NDArray[np.float32] | list[list[str]] | list[str]


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """The body of an answer.

    Attributes:
        body: JSON, and the binary tensors after it.
        json_bytes: How much of it is JSON; None when all of it is.
    """

    body: bytes
    json_bytes: int | None


def describe_input(recipe: Recipe) -> list[dict[str, Any]]:
    """Return the input tensor, as a model's metadata shows it."""
    accepts = "BYTES [-1]: whole JPEG, PNG or WebP files; in JSON each one in base64"
    return [
        {
            "name": INPUT,
            "datatype": "UINT8",
            "shape": [-1, recipe.height, recipe.width, 3],
            "parameters": {"also_accepts": accepts},
        }
    ]


def describe_outputs(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the output tensors, as a model's metadata shows them."""
    return [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(labels)]},
        {"name": "logits", "datatype": "FP32", "shape": [-1, len(labels)]},
        {"name": "embedding", "datatype": "FP32", "shape": [-1, EMBEDDING_SIZE]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "id", "datatype": "BYTES", "shape": [-1]},
    ]


def write(
    request: InferRequest, answered: Sequence[Answered], labels: Sequence[str]
) -> InferAnswer:
    """Return the answer to a request.

    Args:
        request: Which outputs it wants, and how.
        answered: One for each of its pictures, all of one version.
        labels: Of that version.
    """
    outputs: list[dict[str, Any]] = []
    buffers: list[bytes] = []
    for wanted in request.outputs:
        values = _classified(wanted, answered, labels) or _values(wanted.name, answered)
        tensor = _tensor(wanted.name, values)
        if wanted.binary:
            buffers.append(_raw(values))
            tensor["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            tensor["data"] = _flat(values)
        outputs.append(tensor)
    said: dict[str, Any] = {
        "model_name": answered[0].model,
        "model_version": answered[0].prediction.version,
        # One row that is on this service's disk only is worth knowing of.
        "parameters": {"logged": _logged(answered)},
        "outputs": outputs,
    }
    if request.id is not None:
        said = {"id": request.id} | said
    head = json.dumps(said, allow_nan=False, separators=(",", ":")).encode("ascii")
    return InferAnswer(b"".join([head, *buffers]), len(head) if buffers else None)


def _values(name: str, answered: Sequence[Answered]) -> _Values:
    match name:
        case "label":
            return [each.prediction.label for each in answered]
        case "id":
            return [str(each.prediction.id) for each in answered]
        case _:
            return np.stack([getattr(each.outcome, name) for each in answered]).astype(np.float32)


def _classified(
    wanted: Wanted, answered: Sequence[Answered], labels: Sequence[str]
) -> list[list[str]] | None:
    """Return the largest values as "value:index:label", best first, as Triton writes them."""
    if not wanted.classes:
        return None
    rows: list[NDArray[np.float32]] = [getattr(each.outcome, wanted.name) for each in answered]
    return [
        [f"{row[i]:f}:{i}:{labels[i]}" for i in np.argsort(-row, kind="stable")[: wanted.classes]]
        for row in rows
    ]


def _tensor(name: str, values: _Values) -> dict[str, Any]:
    datatype = "BYTES" if isinstance(values, list) else "FP32"
    return {"name": name, "datatype": datatype, "shape": list(np.shape(values))}


def _raw(values: _Values) -> bytes:
    """Return a tensor's bytes: little-endian values, or texts that each say their length first."""
    if not isinstance(values, list):
        return values.astype("<f4").tobytes()
    texts = [text.encode() for text in _flat(values)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _flat(values: _Values) -> list[Any]:
    if not isinstance(values, list):
        return values.ravel().tolist()
    return [text for row in values for text in ([row] if isinstance(row, str) else row)]


def _logged(answered: Sequence[Answered]) -> str:
    return "spooled" if any(each.logged == "spooled" for each in answered) else "stored"
