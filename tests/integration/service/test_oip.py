"""The Open Inference Protocol, driven by NVIDIA's own client and by requests that lie."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from sqlalchemy import Engine
from tritonclient.utils import InferenceServerException

from core.images.preprocess import Recipe, preprocess
from core.store import predictions
from core.store.database import transaction
from core.store.predictions import Prediction
from tests.pool import register
from tests.serving import jpeg_of, logged, serving
from tests.tiny import LABELS, picture

KNOBS = {"max_image_bytes": 100_000, "max_images": 4, "max_request_bytes": 60_000_000}
PROMOTED = datetime(2026, 4, 1, tzinfo=UTC)
INFER = "/v2/models/classifier/infer"


@pytest.fixture(scope="module")
def client(service: httpx.Client) -> Iterator[triton.InferenceServerClient]:
    """NVIDIA's client, pointed at it."""
    url = f"{service.base_url.host}:{service.base_url.port}"
    with triton.InferenceServerClient(url, concurrency=4) as found:
        yield found


def tensor_of(*labels: str) -> NDArray[np.uint8]:
    """Return pictures as the tiny bundle takes them: uint8 (N, 16, 16, 3)."""
    recipe = Recipe(height=16, width=16)
    return np.stack([preprocess(picture(label), recipe) for label in labels])


def files_of(*labels: str) -> NDArray[np.object_]:
    """Return pictures as JPEG files."""
    return np.array([jpeg_of(label) for label in labels], dtype=np.object_)


def as_input(values: NDArray[Any], *, binary: bool = True) -> list[triton.InferInput]:
    """Return the one input of a request."""
    datatype = "BYTES" if values.dtype == np.object_ else "UINT8"
    tensor = triton.InferInput("image", list(values.shape), datatype)
    return [tensor.set_data_from_numpy(values, binary_data=binary)]


def texts(result: triton.InferResult, name: str) -> list[str]:
    """Return a BYTES output as text, however it was sent."""
    found = result.as_numpy(name)
    return [each.decode() if isinstance(each, bytes) else each for each in found.ravel()]


def row_of(engine: Engine, prediction_id: str) -> Prediction:
    """Return a prediction as it was logged."""
    with transaction(engine) as connection:
        return predictions.get(connection, UUID(prediction_id))


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem that an answer is, after checking its shape."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["error"] == problem["detail"]
    assert 400 <= problem["status"] < 500
    return problem


class TestMetadata:
    """What a client asks before it sends anything."""

    def test_server_is_live_and_ready(self, client: triton.InferenceServerClient):
        """Balancers and start-up scripts of other servers work as they are."""
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.get_server_metadata()["name"] == "weakspot"
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]

    def test_model_is_ready_in_the_version_that_serves(self, client: triton.InferenceServerClient):
        """Any other model or version is not."""
        assert client.is_model_ready("classifier")
        assert client.is_model_ready("classifier", "v1")
        assert not client.is_model_ready("classifier", "v2")
        assert not client.is_model_ready("resnet")

    @pytest.mark.parametrize("version", ["", "v1"])
    def test_model_shows_its_tensors(self, client: triton.InferenceServerClient, version: str):
        """Enough to write a client without reading anything else."""
        found = client.get_model_metadata("classifier", version)

        assert (found["name"], found["versions"]) == ("classifier", ["v1"])
        assert found["inputs"][0]["shape"] == [-1, 16, 16, 3]
        assert {each["name"]: each["shape"] for each in found["outputs"]} == {
            "probabilities": [-1, 3],
            "logits": [-1, 3],
            "embedding": [-1, 256],
            "label": [-1],
            "id": [-1],
        }

    def test_service_without_a_model_is_not_ready(self, engine: Engine, tmp_path: Path):
        """The client hears what to do, as a caller of /v1 does."""
        with serving(engine, tmp_path) as alone:
            url = f"{alone.base_url.host}:{alone.base_url.port}"
            with triton.InferenceServerClient(url) as client:
                assert client.is_server_live()
                assert not client.is_server_ready()
                with pytest.raises(InferenceServerException, match="weakspot train"):
                    client.get_model_metadata("classifier")


class TestInfer:
    """POST /v2/models/{model}/infer, by the real client."""

    @pytest.mark.parametrize("binary", [True, False])
    def test_answers_tensors(self, client: triton.InferenceServerClient, binary: bool):
        """Pictures that the client has decoded and resized itself."""
        result = client.infer("classifier", as_input(tensor_of(*LABELS), binary=binary))

        probabilities, logits = result.as_numpy("probabilities"), result.as_numpy("logits")
        assert texts(result, "label") == list(LABELS)
        assert probabilities.shape == (3, 3)
        assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
        softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert probabilities == pytest.approx(softmax, abs=1e-5)
        assert np.linalg.norm(result.as_numpy("embedding"), axis=1) == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("column", [False, True])
    def test_answers_files(self, client: triton.InferenceServerClient, column: bool):
        """JPEG, PNG and WebP, as they lie on the disk."""
        files = files_of("Dog", "Cat").reshape((2, 1) if column else (2,))

        assert texts(client.infer("classifier", as_input(files)), "label") == ["Dog", "Cat"]

    def test_answers_files_in_base64(self, client: triton.InferenceServerClient):
        """The client's JSON carries text only."""
        encoded = np.array([base64.b64encode(jpeg_of("Spider"))], dtype=np.object_)

        result = client.infer("classifier", as_input(encoded, binary=False))

        assert texts(result, "label") == ["Spider"]

    def test_says_what_the_other_interface_says(
        self, service: httpx.Client, client: triton.InferenceServerClient, module_engine: Engine
    ):
        """One predictor stands behind both, and one log."""
        plain = service.post("/v1/predict?top_k=3", content=jpeg_of("Dog")).json()
        result = client.infer("classifier", as_input(files_of("Dog")))

        (probabilities,) = result.as_numpy("probabilities")
        said = {each["label"]: each["probability"] for each in plain["top"]}
        assert {label: probabilities[i] for i, label in enumerate(LABELS)} == pytest.approx(
            said, abs=1e-6
        )
        ours = row_of(module_engine, texts(result, "id")[0])
        theirs = row_of(module_engine, plain["id"])
        assert (ours.label, ours.image_sha256, ours.top, ours.descriptors) == (
            theirs.label,
            theirs.image_sha256,
            theirs.top,
            theirs.descriptors,
        )

    def test_logs_every_picture_once(
        self, client: triton.InferenceServerClient, module_engine: Engine
    ):
        """The log is what drift and production accuracy are read off."""
        before = set(logged(module_engine))

        result = client.infer("classifier", as_input(tensor_of("Dog", "Cat", "Cat")))

        assert set(logged(module_engine)) - before == set(texts(result, "id"))
        assert len(set(texts(result, "id"))) == 3

    def test_gives_the_outputs_asked_for(self, client: triton.InferenceServerClient):
        """Each in its own form, and nothing else."""
        wanted = [
            triton.InferRequestedOutput("label", binary_data=False),
            triton.InferRequestedOutput("probabilities", class_count=2),
        ]

        result = client.infer(
            "classifier",
            as_input(files_of("Dog")),
            model_version="v1",
            outputs=wanted,
            request_id="order-42",
        )

        assert result.get_response()["id"] == "order-42"
        assert result.get_response()["model_version"] == "v1"
        assert texts(result, "label") == ["Dog"]
        assert next(each.split(":")[1:] for each in texts(result, "probabilities")) == ["1", "Dog"]
        assert result.as_numpy("probabilities").shape == (1, 2)
        assert result.as_numpy("logits") is None

    def test_takes_many_at_a_time(self, client: triton.InferenceServerClient):
        """The client's own concurrency: every request gets its own answer."""
        asked = [
            client.async_infer("classifier", as_input(files_of(label)), request_id=label)
            for label in LABELS * 4
        ]

        results = [each.get_result() for each in asked]

        assert [texts(each, "label")[0] for each in results] == list(LABELS * 4)
        assert [each.get_response()["id"] for each in results] == list(LABELS * 4)

    def test_is_answered_by_one_version(self, engine: Engine, tmp_path: Path):
        """A promotion in the middle of a request must not mix two models in one tensor."""
        register(engine, tmp_path / "bundles")
        answers: list[triton.InferResult] = []
        with serving(engine, tmp_path, reload_s=0.1) as service:
            url = f"{service.base_url.host}:{service.base_url.port}"
            promotion = threading.Timer(
                0.2,
                register,
                [engine, tmp_path / "bundles"],
                {"name": "v2", "promoted_at": PROMOTED},
            )
            promotion.start()
            deadline = time.monotonic() + 10
            with triton.InferenceServerClient(url) as client:
                while not answers or answers[-1].get_response()["model_version"] != "v2":
                    assert time.monotonic() < deadline
                    answers.append(client.infer("classifier", as_input(files_of(*LABELS))))
            promotion.join()

        kept = logged(engine)
        for answer in answers:
            versions = {kept.pop(each) for each in texts(answer, "id")}
            assert versions == {answer.get_response()["model_version"]}
        assert kept == {}

    def test_answers_plainly_when_compression_is_offered(
        self, client: triton.InferenceServerClient
    ):
        """The client asks for gzip; an answer without it is an answer."""
        result = client.infer(
            "classifier", as_input(files_of("Dog")), response_compression_algorithm="gzip"
        )

        assert texts(result, "label") == ["Dog"]


class TestRefusals:
    """What the client raises says what we said."""

    @pytest.mark.parametrize(
        ("values", "options", "status", "sentence"),
        [
            (files_of("Dog"), {"model_version": "v9"}, "404", "v1 does"),
            (np.zeros((1, 8, 8, 3), np.uint8), {}, "422", r"\[N, 16, 16, 3\]"),
            (np.zeros((5, 16, 16, 3), np.uint8), {}, "422", "at most 4 pictures"),
            (np.array([b"junk"], np.object_), {}, "415", "JPEG, PNG or WebP"),
            (np.array([b""], np.object_), {}, "422", "0 bytes"),
            (np.array([b"x" * 100_001], np.object_), {}, "413", "100000 bytes"),
            (files_of("Dog"), {"timeout": -5}, "422", "timeout"),
            (files_of("Dog"), {"timeout": 1}, "503", "are allowed|no answer within"),
            (files_of("Dog"), {"request_compression_algorithm": "gzip"}, "415", "ompress|ncod"),
        ],
    )
    def test_reach_the_client_in_words(
        self, client: triton.InferenceServerClient, values, options, status: str, sentence: str
    ):
        """A bare "bad request" costs an afternoon."""
        with pytest.raises(InferenceServerException, match=sentence) as refused:
            client.infer("classifier", as_input(values), **options)

        assert refused.value.status() == status

    def test_name_the_model_that_serves(self, client: triton.InferenceServerClient):
        """The usual first mistake."""
        with pytest.raises(InferenceServerException, match="classifier does"):
            client.infer("resnet50", as_input(files_of("Dog")))

    def test_of_one_picture_are_those_of_the_request(self, client: triton.InferenceServerClient):
        """A tensor has no place for one problem, so the whole request gets it."""
        files = np.array([jpeg_of("Dog"), b"junk", jpeg_of("Cat")], dtype=np.object_)

        with pytest.raises(InferenceServerException, match="JPEG"):
            client.infer("classifier", as_input(files))


def pixels(**change: object) -> dict[str, object]:
    """Return a tensor of one picture, in JSON."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 16, 16, 3], "data": [7] * 768}
    return tensor | change


HOSTILE = {
    "nothing": b"",
    "no json": b"{",
    "nan": b'{"inputs": [{"name": "image", "data": [NaN]}]}',
    "too large a number": b'{"inputs": [], "parameters": {"x": 1e309}}',
    "too long a number": b'{"x": ' + b"9" * 100_000 + b"}",
    "lists in lists": b'{"inputs": ' + b"[" * 10_000,
    "objects in objects": b'{"a":' * 10_000,
    "the same key twice": b'{"inputs": [], "inputs": []}',
    "ten million values": b'{"inputs":[{"name":"image","data":[' + b"7," * 10_000_000 + b"7]}]}",
    "two million lists": b'{"inputs":[' + b"[]," * 2_000_000 + b"[]]}",
    "many small values": b'{"inputs":[' + b"[]," * 190_000 + b"[]]}",
    "a long text": b'{"id": "' + b"x" * 20_000_000 + b'"}',
    "wrong shape": json.dumps({"inputs": [pixels(shape=[1, 16, 16, 4])]}).encode(),
    "negative shape": json.dumps({"inputs": [pixels(shape=[-1, 16, 16, 3])]}).encode(),
    "huge shape": json.dumps({"inputs": [pixels(shape=[2**62, 16, 16, 3])]}).encode(),
    "too few values": json.dumps({"inputs": [pixels(data=[7])]}).encode(),
    "wrong type": json.dumps({"inputs": [pixels(datatype="FP32")]}).encode(),
    "bytes without bytes": json.dumps(
        {"inputs": [pixels(data=None, parameters={"binary_data_size": 768})]}
    ).encode(),
}


class TestHostileRequests:
    """I15: requests that no honest client writes."""

    @pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
    def test_are_refused_quickly(self, service: httpx.Client, body: bytes):
        """A problem after two seconds of computing, which other programs do not lengthen."""
        begun = time.process_time()

        problem = problem_of(service.post(INFER, content=body))

        assert time.process_time() - begun < 2
        assert problem["status"] in {400, 413, 422}

    @pytest.mark.parametrize("said", ["0", "-1", "1e3", "2", "99999999999999999999", "x"])
    def test_are_refused_when_the_header_lies(self, service: httpx.Client, said: str):
        """The binary extension's one header decides where the JSON ends."""
        body = json.dumps({"inputs": [pixels()]}).encode()

        answer = service.post(
            INFER, content=body, headers={"Inference-Header-Content-Length": said}
        )

        assert problem_of(answer)["status"] == 400

    def test_are_refused_beyond_the_routes_limit(self, service: httpx.Client):
        """With and without a length; the client reads `error` there too."""
        answers = [
            service.post(INFER, content=bytes(60_000_001)),
            service.post(INFER, content=(bytes(1_000_000) for _ in range(70))),
        ]

        assert [problem_of(each)["code"] for each in answers] == ["too_large", "too_large"]

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
    def test_are_not_inflated(self, service: httpx.Client, encoding: str):
        """S12: a megabyte of gzip is a gigabyte of zeros."""
        answer = service.post(INFER, content=b"x", headers={"Content-Encoding": encoding})

        assert problem_of(answer)["status"] == 415

    def test_are_refused_with_a_promise_that_is_not_kept(self, service: httpx.Client):
        """An Idempotency-Key that did nothing would count a repeated request twice."""
        body = json.dumps({"inputs": [pixels()]}).encode()

        answer = service.post(INFER, content=body, headers={"Idempotency-Key": "order-42"})

        assert "/v1/predict" in problem_of(answer)["error"]

    def test_do_not_hold_up_the_others(self, service: httpx.Client):
        """After all that, an honest request is answered."""
        answer = service.post(INFER, json={"inputs": [pixels()], "outputs": [{"name": "label"}]})

        assert answer.json()["outputs"][0]["data"][0] in LABELS

    def test_get_no_path_of_their_own(self, service: httpx.Client):
        """An address nobody serves is a problem with an `error` too."""
        assert problem_of(service.get(f"/v2/{uuid4()}"))["status"] == 404


class TestDocument:
    """What OpenAPI shows of /v2."""

    def test_example_works_as_it_stands(self, service: httpx.Client):
        """Whoever presses "try it out" gets an answer."""
        paths = service.get("/openapi.json").json()["paths"]
        operation = paths["/v2/models/{model}/infer"]["post"]
        example = operation["requestBody"]["content"]["application/json"]["example"]

        answer = service.post(INFER, json=example).json()

        assert operation["tags"] == ["open inference protocol"]
        assert answer["id"] == example["id"]
        assert answer["outputs"][0]["data"] == ["Dog"]
