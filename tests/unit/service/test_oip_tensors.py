"""Requests of the Open Inference Protocol: what is read, and all that is refused."""

import base64
import contextlib
import json
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from core.errors import UsageError
from service.oip import oip_tensors
from service.oip.oip_tensors import OUTPUTS, Expected, InferRequest, Wanted

EXPECTED = Expected(height=4, width=5, max_images=3, max_image_bytes=50)
REFUSED = (UsageError, HTTPException)

pictures = st.integers(1, 3).flatmap(lambda n: arrays.arrays(np.uint8, (n, 4, 5, 3)))
files = st.lists(st.binary(max_size=50), min_size=1, max_size=3)


def pixels(n: int = 1) -> dict[str, Any]:
    """Return a tensor of n pictures, in JSON."""
    return {"name": "image", "datatype": "UINT8", "shape": [n, 4, 5, 3], "data": [7] * (60 * n)}


def read(body: bytes | dict[str, Any], binary: bytes | None = None) -> InferRequest:
    """Read a request, with tensors after its JSON where there are any."""
    head = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = None if binary is None else str(len(head))
    return oip_tensors.read(head + (binary or b""), length, EXPECTED)


def framed(sent: list[bytes]) -> bytes:
    """Return a binary BYTES tensor."""
    return b"".join(len(each).to_bytes(4, "little") + each for each in sent)


class TestPixels:
    """UINT8 tensors."""

    @given(pictures)
    def test_are_the_same_flat_nested_and_binary(self, sent: NDArray[np.uint8]):
        """Three ways to write one picture must not be three pictures."""
        tensor = {"name": "image", "datatype": "UINT8", "shape": list(sent.shape)}
        flat = read({"inputs": [tensor | {"data": sent.ravel().tolist()}]})
        nested = read({"inputs": [tensor | {"data": sent.tolist()}]})
        binary = {"parameters": {"binary_data_size": sent.nbytes}}
        raw = read({"inputs": [tensor | binary]}, sent.tobytes())

        for found in (flat, nested, raw):
            assert np.array_equal(found.images, sent)

    @pytest.mark.parametrize(
        "change",
        [
            {"shape": [1, 4, 4, 3]},
            {"shape": [1, 4, 5, 4]},
            {"shape": [4, 5, 3]},
            {"shape": [0, 4, 5, 3]},
            {"shape": [-1, 4, 5, 3]},
            {"shape": [2, 4, 5, 3]},
            {"shape": [4, 4, 5, 3], "data": [1] * 240},
            {"shape": [10**30, 4, 5, 3]},
            {"shape": [True, 4, 5, 3]},
            {"shape": [1.0, 4, 5, 3]},
            {"shape": [1] * 9},
            {"shape": []},
            {"shape": "1453"},
            {"shape": None},
            {"data": [256] * 60},
            {"data": [-1] * 60},
            {"data": [10**40] * 60},
            {"data": [1.5] * 60},
            {"data": [True] * 60},
            {"data": [None] * 60},
            {"data": ["7"] * 60},
            {"data": [7] * 59},
            {"data": []},
            {"data": None},
            {"data": "AAAA"},
            {"data": {}},
            {"data": [[7] * 30, [7] * 30]},
            {"data": [[[[7, 7, 7]] * 5] * 3 + [[[7, 7]] * 5]]},
            {"data": [[[[7, 7, 7]] * 5] * 3 + [7]]},
            {"data": [[[[[7], 7, 7]] * 5] * 4]},
            {"datatype": "FP32"},
            {"datatype": None},
            {"datatype": []},
            {"name": "picture"},
            {"name": 1},
            {"parameters": []},
            {"parameters": {"shared_memory_region": "x"}},
            {"parameters": {"binary_data_size": 60}},
        ],
        ids=str,
    )
    def test_are_refused_when_anything_is_amiss(self, change: dict[str, Any]):
        """I15: a tensor that is nearly right would be answered wrongly, and quietly."""
        with pytest.raises(REFUSED):
            read({"inputs": [pixels() | change]})

    @pytest.mark.parametrize("said", [59, 61, 0, -1, 2**63, 60.0, True, None, "60"])
    def test_are_refused_when_their_size_is_a_lie(self, said: object):
        """I15: a size counts bytes; there are 60."""
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 4, 5, 3]}

        with pytest.raises(REFUSED):
            read({"inputs": [tensor | {"parameters": {"binary_data_size": said}}]}, bytes(60))

    def test_are_refused_twice_told(self):
        """Values in the JSON and after it: nobody knows which count."""
        tensor = pixels() | {"parameters": {"binary_data_size": 60}}

        with pytest.raises(UsageError, match="one of the two"):
            read({"inputs": [tensor]}, bytes(60))


class TestFiles:
    """BYTES tensors."""

    @given(files, st.booleans())
    def test_are_the_same_in_base64_and_binary(self, sent: list[bytes], column: bool):
        """JSON has no bytes, so there they are base64."""
        shape = [len(sent), 1] if column else [len(sent)]
        tensor = {"name": "image", "datatype": "BYTES", "shape": shape}
        texts = [base64.b64encode(each).decode() for each in sent]
        found = read({"inputs": [tensor | {"data": texts}]})
        data = framed(sent)
        raw = read({"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]}, data)

        assert found.images == raw.images == sent

    @pytest.mark.parametrize(
        ("shape", "data"),
        [
            ([1], ["é"]),
            ([1], ["abc"]),
            ([1], [b"no base64!".decode()]),
            ([1], [7]),
            ([2], ["AAAA"]),
            ([1, 2], ["AAAA", "AAAA"]),
            ([1, 1, 1], ["AAAA"]),
            ([4], ["AAAA"] * 4),
            ([1], ["A" * 100]),
            ([1], [["AAAA"]]),
        ],
    )
    def test_are_refused_when_json_has_no_such_files(self, shape: list[int], data: list[object]):
        """I15: and so is a file larger than any route accepts."""
        with pytest.raises(REFUSED):
            read({"inputs": [{"name": "image", "datatype": "BYTES", "shape": shape, "data": data}]})

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x03\x00\x00",
            b"\x04\x00\x00\x00abc",
            b"\x02\x00\x00\x00abc",
            b"\xff\xff\xff\xffabc",
            framed([b"abc", b"def"]),
            framed([b"x" * 51]),
        ],
    )
    def test_are_refused_when_their_lengths_lie(self, data: bytes):
        """I15: four bytes of length decide what is read next."""
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
        tensor["parameters"] = {"binary_data_size": len(data)}

        with pytest.raises(REFUSED):
            read({"inputs": [tensor]}, data)


class TestJson:
    """The JSON part, read strictly."""

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"inputs": NaN}',
            b'{"inputs": -Infinity}',
            b'{"parameters": {"x": 1e309}}',
            b'{"id": "a", "id": "b"}',
            b'{"x": ' + b"9" * 5000 + b"}",
            b'{"inputs": ' + b"[" * 10_000,
            b'{"x":' * 10_000,
            b"\xff\xfe{\x00}\x00",
            b"\xef\xbb\xbf{}",
            '{"id": "é"}'.encode("latin-1"),
        ],
        ids=lambda text: repr(text[:20]),
    )
    def test_is_malformed(self, text: bytes):
        """I15: each of these is accepted by some parser, and means something else to another."""
        with pytest.raises(HTTPException) as refused:
            read(text)

        assert refused.value.status_code == 400

    def test_of_ten_million_values_is_refused_before_it_is_parsed(self):
        """I15: parsed, this body would take half a gigabyte."""
        body = b'{"inputs": [' + b"0," * 7_000_000 + b"0]}"
        tracemalloc.start()
        begun = time.process_time()

        with pytest.raises(HTTPException) as refused:
            read(body)

        assert refused.value.status_code == 413
        assert time.process_time() - begun < 1
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()

    def test_of_many_bytes_is_refused(self):
        """Base64 of a large file has few values; its length counts as well."""
        with pytest.raises(HTTPException, match="binary data"):
            read(b" " * (oip_tensors.JSON_BYTES + 1))

    @pytest.mark.parametrize("length", ["", "x", "-1", "0", "99", "1.0", "²", "9" * 400, " 2"])
    def test_has_a_length_that_can_be(self, length: str):
        """I15: the header says where the JSON ends."""
        with pytest.raises(HTTPException) as refused:
            oip_tensors.read(b"{}", length, EXPECTED)

        assert refused.value.status_code == 400

    @given(st.binary(max_size=200), st.none() | st.integers(0, 200).map(str))
    def test_never_fails_otherwise(self, body: bytes, length: str | None):
        """Whatever arrives, the caller hears what is wrong with it."""
        with pytest.raises(REFUSED):
            oip_tensors.read(body, length, EXPECTED)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["name", "shape", "data", "datatype", "parameters", "inputs"]),
                    inner,
                    max_size=4,
                )
            ),
        ),
        st.sampled_from(["inputs", "outputs", "parameters", "id"]),
    )
    def test_of_the_wrong_kind_never_fails_otherwise(self, value: object, where: str):
        """Every place of a good request, with something else in it."""
        with contextlib.suppress(REFUSED):
            read({"inputs": [pixels()]} | {where: value})


class TestWanted:
    """What a request says of its answer."""

    def test_is_everything_when_nothing_is_said(self):
        """A first request by hand shows all there is."""
        found = read({"inputs": [pixels()]})

        assert [each.name for each in found.outputs] == list(OUTPUTS)
        assert not any(each.binary for each in found.outputs)
        assert (found.id, found.timeout_s) == (None, None)

    def test_follows_the_request(self):
        """Order, form and patience are the caller's."""
        found = read(
            {
                "id": "order-42",
                "inputs": [pixels()],
                "parameters": {"binary_data_output": True, "timeout": 250_000, "other": 1.5},
                "outputs": [
                    {"name": "label", "parameters": {"binary_data": False}},
                    {"name": "logits", "parameters": {"classification": 2}},
                ],
            }
        )

        assert (found.id, found.timeout_s) == ("order-42", 0.25)
        assert found.outputs == (Wanted("label", False), Wanted("logits", True, 2))

    @pytest.mark.parametrize(
        "change",
        [
            {"outputs": [{"name": "softmax"}]},
            {"outputs": [{"name": "label"}, {"name": "label"}]},
            {"outputs": [{"name": ["label"]}]},
            {"outputs": ["label"]},
            {"outputs": {"name": "label"}},
            {"outputs": [{"name": "label"}] * 6},
            {"outputs": [{"name": "label", "parameters": {"classification": 1}}]},
            {"outputs": [{"name": "embedding", "parameters": {"classification": 1}}]},
            {"outputs": [{"name": "logits", "parameters": {"classification": -1}}]},
            {"outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]},
            {"outputs": [{"name": "logits", "parameters": {"shared_memory_region": "x"}}]},
            {"parameters": {"timeout": -1}},
            {"parameters": {"timeout": 1.5}},
            {"parameters": {"binary_data_output": "yes"}},
            {"parameters": [1]},
            {"id": 7},
            {"id": "x" * 257},
            {"inputs": []},
            {"inputs": [pixels(), pixels()]},
            {"inputs": pixels()},
            {"inputs": [[]]},
        ],
        ids=lambda change: str(change)[:60],
    )
    def test_is_refused_when_it_cannot_be_had(self, change: dict[str, Any]):
        """An option that does nothing is worse than none."""
        with pytest.raises(UsageError):
            read({"inputs": [pixels()]} | change)
