"""Requests of the Open Inference Protocol, from the bytes sent to pictures and wanted outputs.

JSON is read strictly: no NaN, no key twice, no nesting without end. What binary tensors say of
their own size has to add up. Sizes are checked before anything is built, so a request that lies
costs no more memory than its own bytes; a sentence about it repeats nothing of it.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from core.errors import UsageError

INPUT: Final = "image"
OUTPUTS: Final = ("probabilities", "logits", "embedding", "label", "id")
CLASSIFIABLE: Final = frozenset({"probabilities", "logits"})

JSON_BYTES: Final = 16_000_000  # of the JSON part; beyond it, tensors have to be binary
# In it, counted by the marks before them. Parsing holds up every thread of the process: these
# many take a tenth of a second, and up to 60 bytes of memory each.
JSON_VALUES: Final = 1_000_000
JSON_LISTS: Final = 200_000
_ID_LENGTH = 256
_LENGTH_BYTES = 4  # before each element of a binary BYTES tensor


@dataclass(frozen=True, slots=True)
class Expected:
    """What the serving version takes, and how much of it at a time.

    Attributes:
        height: Of a decoded picture.
        width: Of a decoded picture.
        max_images: In one request.
        max_image_bytes: Of one encoded picture.
    """

    height: int
    width: int
    max_images: int
    max_image_bytes: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output, as it is to be sent.

    Attributes:
        name: One of OUTPUTS.
        binary: After the JSON instead of in it.
        classes: So many "value:index:label" strings instead of the values; 0 for the values.
    """

    name: str
    binary: bool
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request, checked.

    Attributes:
        id: The caller's own name for it, to be sent back.
        images: uint8 (N, height, width, 3), or N encoded pictures.
        outputs: What is asked for, in this order.
        timeout_s: The caller's patience; None when nothing was said.
    """

    id: str | None
    images: NDArray[np.uint8] | list[bytes]
    outputs: tuple[Wanted, ...]
    timeout_s: float | None


def read(body: bytes, header_length: str | None, expected: Expected) -> InferRequest:
    """Return what an inference request asks for.

    Args:
        body: As sent: JSON, and the binary tensors after it.
        header_length: `Inference-Header-Content-Length`, bytes of the JSON; None means all.
        expected: What the serving version takes.

    Raises:
        UsageError: The request cannot be answered by this model.
        HTTPException: It is malformed (400), or larger than is accepted (413).

    References:
        Open Inference Protocol v2, and its binary tensor data extension.
    """
    json_bytes = json_size(body, header_length)
    found = _parse(body, json_bytes)
    tail = memoryview(body)[json_bytes:]
    parameters = _parameters(found, "the request")
    return InferRequest(
        id=_id(found),
        images=_images(_only_input(found), tail, expected, framed=header_length is not None),
        outputs=_outputs(found, binary=_flag(parameters, "binary_data_output", "the request")),
        timeout_s=_timeout(parameters),
    )


def json_size(body: bytes, header_length: str | None) -> int:
    """Return how many bytes of a body are JSON.

    Raises:
        HTTPException: The header is no number, or lies (400); the JSON is too large (413).
    """
    size = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 12):
            raise _malformed("Inference-Header-Content-Length has to be a whole number of bytes")
        size = int(header_length)
        if not 0 < size <= len(body):
            raise _malformed(
                f"Inference-Header-Content-Length has to lie between 1 and the {len(body)} bytes "
                "of the body"
            )
    if size > JSON_BYTES:
        raise HTTPException(
            413, f"the JSON is larger than {JSON_BYTES} bytes; send the tensor as binary data"
        )
    return size


class _StrictError(ValueError):
    """JSON that some parsers accept and this one does not."""


def _parse(body: bytes, size: int) -> dict[str, Any]:
    lists = body.count(b"[", 0, size) + body.count(b"{", 0, size)
    if body.count(b",", 0, size) > JSON_VALUES or lists > JSON_LISTS:
        raise HTTPException(
            413,
            f"the JSON has more than {JSON_VALUES} values, or {JSON_LISTS} lists and objects; "
            "send the tensor as binary data",
        )
    try:
        found = json.loads(
            str(memoryview(body)[:size], "utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except _StrictError as error:
        raise _malformed(f"the JSON {error}") from error
    except RecursionError as error:
        raise _malformed("the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"the JSON is malformed at character {error.pos}") from error
    except ValueError as error:
        raise _malformed("the JSON is no UTF-8, or has a number without end") from error
    if not isinstance(found, dict):
        raise _malformed("the JSON has to be one object")
    return found


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _StrictError("has an object with the same key twice")
    return found


def _no_constant(_name: str) -> float:
    raise _StrictError("has NaN or Infinity, which JSON does not know")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _StrictError("has a number beyond every float")
    return number


def _only_input(found: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = found.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise UsageError(f"inputs has to be a list of exactly one tensor, named {INPUT}")
    if inputs[0].get("name") != INPUT:
        raise UsageError(f"this model has one input; name it {INPUT}")
    return inputs[0]


def _images(
    tensor: Mapping[str, Any], tail: memoryview, expected: Expected, *, framed: bool
) -> NDArray[np.uint8] | list[bytes]:
    """Return the pictures of the input tensor, from its JSON or from the bytes after it."""
    shape = _shape(tensor)
    binary = _binary_part(tensor, tail, framed=framed)
    data = tensor.get("data")
    if (data is None) == (binary is None):
        raise UsageError(f"{INPUT} needs its values in data, or binary_data_size: one of the two")
    if data is not None and not isinstance(data, list):
        raise UsageError(f"{INPUT}: data has to be a list")
    match tensor.get("datatype"):
        case "UINT8":
            _check_pixels(shape, expected)
            return _pixels(_levelled(data, shape) if binary is None else binary, shape)
        case "BYTES":
            _check_elements(shape, expected)
            if binary is None:
                return _decoded(_levelled(data, shape), shape[0], expected.max_image_bytes)
            return _elements(binary, shape[0], expected.max_image_bytes)
        case _:
            raise UsageError(
                f"{INPUT} has to be UINT8 (decoded pictures) or BYTES (JPEG, PNG or WebP files)"
            )


def _shape(tensor: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8:
        raise UsageError(f"{INPUT}: shape has to be a list of whole numbers")
    return tuple(_whole(size, f"{INPUT}: each part of shape", least=1) for size in shape)


def _check_pixels(shape: tuple[int, ...], expected: Expected) -> None:
    if shape[1:] != (expected.height, expected.width, 3):
        raise UsageError(
            f"{INPUT}: the version that serves takes UINT8 of shape "
            f"[N, {expected.height}, {expected.width}, 3]"
        )
    _check_count(shape, expected)


def _check_elements(shape: tuple[int, ...], expected: Expected) -> None:
    if len(shape) > 2 or shape[1:] not in {(), (1,)}:
        raise UsageError(f"{INPUT}: BYTES has to be of shape [N] or [N, 1], one file each")
    _check_count(shape, expected)


def _check_count(shape: tuple[int, ...], expected: Expected) -> None:
    if shape[0] > expected.max_images:
        raise UsageError(f"{INPUT}: at most {expected.max_images} pictures fit in one request")


def _binary_part(tensor: Mapping[str, Any], tail: memoryview, *, framed: bool) -> memoryview | None:
    """Return the bytes after the JSON that are the tensor; all of them, or it is refused."""
    parameters = _parameters(tensor, INPUT)
    if "shared_memory_region" in parameters:
        raise UsageError("shared memory is not supported; send the tensor in the request")
    size = parameters.get("binary_data_size")
    if size is not None:
        if not framed:
            raise _malformed("binary_data_size needs the header Inference-Header-Content-Length")
        size = _whole(size, f"{INPUT}: binary_data_size", least=0)
    if (size or 0) != len(tail):
        raise _malformed(
            f"{len(tail)} bytes follow the JSON, and binary_data_size has to say the same"
        )
    return tail if size is not None else None


def _levelled(data: list[Any] | None, shape: tuple[int, ...]) -> list[Any]:
    """Return a tensor's values in row-major order, whether they came flat or nested."""
    data = data or []
    if data and isinstance(data[0], list):
        wrong = UsageError(f"{INPUT}: data is nested otherwise than shape says")
        if len(data) != shape[0]:
            raise wrong
        for size in shape[1:]:
            if set(map(type, data)) != {list} or set(map(len, data)) != {size}:
                raise wrong
            data = list(itertools.chain.from_iterable(data))
    if len(data) != math.prod(shape):
        raise UsageError(f"{INPUT}: shape asks for {math.prod(shape)} values, not {len(data)}")
    return data


def _pixels(source: memoryview | list[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if isinstance(source, list):
        # Types in one sweep of C: numpy alone would take true for 1, and round nothing loudly.
        if set(map(type, source)) != {int}:
            raise UsageError(f"{INPUT}: UINT8 takes whole numbers only")
        try:
            source = memoryview(bytes(source))
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{INPUT}: UINT8 takes numbers from 0 to 255") from error
    if len(source) != math.prod(shape):
        raise UsageError(f"{INPUT}: shape asks for {math.prod(shape)} bytes, not {len(source)}")
    return np.frombuffer(source, dtype=np.uint8).reshape(shape)


def _elements(source: memoryview, count: int, max_bytes: int) -> list[bytes]:
    """Return the files of a binary BYTES tensor, each after four bytes that say its length."""
    wrong = UsageError(
        f"{INPUT}: BYTES has to be {count} times 4 bytes of length (little-endian) and the file"
    )
    files: list[bytes] = []
    at = 0
    while len(files) < count:
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(source[begin - _LENGTH_BYTES : begin], "little")
        if begin > len(source) or at > len(source):
            raise wrong
        _check_file(at - begin, max_bytes)
        files.append(bytes(source[begin:at]))
    if at != len(source):
        raise wrong
    return files


def _decoded(texts: list[Any], count: int, max_bytes: int) -> list[bytes]:
    """Return the files of a JSON BYTES tensor, each in base64: JSON knows text only."""
    if len(texts) != count or set(map(type, texts)) != {str}:
        raise UsageError(f"{INPUT}: BYTES in JSON takes {count} texts in base64")
    files: list[bytes] = []
    for text in texts:
        try:
            files.append(base64.b64decode(text, validate=True))
        except ValueError as error:
            raise UsageError(
                f"{INPUT}: BYTES in JSON takes base64; send binary data to avoid it"
            ) from error
        _check_file(len(files[-1]), max_bytes)
    return files


def _check_file(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise HTTPException(413, f"an image is larger than the {max_bytes} bytes accepted")


def _outputs(found: Mapping[str, Any], *, binary: bool) -> tuple[Wanted, ...]:
    asked = found.get("outputs")
    if asked is None or asked == []:
        return tuple(Wanted(name, binary) for name in OUTPUTS)
    if not isinstance(asked, list) or len(asked) > len(OUTPUTS):
        raise UsageError(f"outputs has to be a list of at most {len(OUTPUTS)} tensors")
    wanted = tuple(_wanted(each, binary=binary) for each in asked)
    if len({each.name for each in wanted}) != len(wanted):
        raise UsageError("outputs names a tensor twice")
    return wanted


def _wanted(asked: object, *, binary: bool) -> Wanted:
    name = asked.get("name") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(name, str) or name not in OUTPUTS:
        raise UsageError(f"outputs may name {', '.join(OUTPUTS)}")
    parameters = _parameters(asked, name)
    if "shared_memory_region" in parameters:
        raise UsageError("shared memory is not supported; outputs come in the answer")
    classes = 0
    if "classification" in parameters:
        classes = _whole(parameters["classification"], f"{name}: classification", least=0)
    if classes and name not in CLASSIFIABLE:
        raise UsageError(f"{name}: only probabilities and logits have a classification")
    return Wanted(name, _flag(parameters, "binary_data", name, otherwise=binary), classes)


def _parameters(holder: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = holder.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{where}: parameters has to be an object")
    return found


def _flag(parameters: Mapping[str, Any], name: str, where: str, *, otherwise: bool = False) -> bool:
    found = parameters.get(name, otherwise)
    if not isinstance(found, bool):
        raise UsageError(f"{where}: {name} has to be true or false")
    return found


def _whole(value: object, where: str, *, least: int) -> int:
    if type(value) is not int or not least <= value < 1 << 63:
        raise UsageError(f"{where} has to be a whole number of at least {least}")
    return value


def _timeout(parameters: Mapping[str, Any]) -> float | None:
    """Return the patience in seconds; the protocol's clients say it in microseconds."""
    if parameters.get("timeout") is None:
        return None
    return _whole(parameters["timeout"], "timeout", least=0) / 1e6 or None


def _id(found: Mapping[str, Any]) -> str | None:
    name = found.get("id")
    if name is not None and (not isinstance(name, str) or len(name) > _ID_LENGTH):
        raise UsageError(f"id has to be a text of at most {_ID_LENGTH} characters")
    return name


def _malformed(sentence: str) -> HTTPException:
    return HTTPException(400, sentence)
