"""Is an ONNX file whole in itself? Asked of its bytes, before any runtime touches them.

An ONNX tensor may name another file that holds its numbers, `/etc/passwd` or a swapped
file beside it. A bundle is one file with one digest, so such tensors are refused wherever they
can stand: in the graph, in subgraphs, functions and attributes. The onnx package is no part of
the service, so the protobuf wire format is walked here; only the messages that can lead to a
tensor are entered and everything else is skipped unread.

References:
    Protocol Buffers, Encoding: wire types and varints.
    onnx.proto (IR version 13): the field numbers below.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import BundleError

# Message -> field number -> the message in that field, for every way that leads to a tensor.
_WAYS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14  # fields of a tensor

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_self_contained(model: bytes, name: str) -> None:
    """Refuse a model that is no ONNX file or keeps tensors in other files.

    Args:
        model: The bytes of the file.
        name: What to call it in the message.

    Raises:
        BundleError: It is empty, truncated or no protobuf, has no graph, or a tensor of it
            lies outside.
    """
    waiting = [("model", memoryview(model))]
    has_graph = False
    while waiting:
        message, content = waiting.pop()
        try:
            found = list(_fields(content))
        except (ValueError, IndexError) as error:
            raise BundleError(
                f"{name} ({len(model)} bytes) is truncated or no ONNX file: {error}"
            ) from error
        if message == "tensor":
            _check_tensor(found, name)
        ways = _WAYS[message]
        inside = [(ways[key], value) for key, value in found if key in ways]
        waiting += [(way, value) for way, value in inside if isinstance(value, memoryview)]
        has_graph = has_graph or any(way == "graph" for way, _ in inside)
    if not has_graph:
        raise BundleError(f"{name} ({len(model)} bytes) holds no ONNX graph")


def _check_tensor(found: list[tuple[int, int | memoryview]], name: str) -> None:
    for key, value in found:
        if key == _EXTERNAL_DATA or (key == _DATA_LOCATION and value != 0):
            tensor = next(
                (bytes(v) for k, v in found if k == _NAME and not isinstance(v, int)), b""
            )
            raise BundleError(
                f"{name} keeps tensor {tensor.decode(errors='replace')!r} in another file; "
                "export it as one file without external data"
            )


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message: number and value; of fixed-width ones only the number."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        value: int | memoryview = 0
        if kind == _VARINT:
            value, position = _varint(content, position)
        elif kind == _LENGTH:
            length, start = _varint(content, position)
            position = start + length
            value = content[start:position]
        elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
            position += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        if position > len(content):
            raise ValueError(f"field {number} ends {position - len(content)} bytes too late")
        yield number, value


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at byte {position}")
