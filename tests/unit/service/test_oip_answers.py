"""Answers of the Open Inference Protocol, read back by a client that was written elsewhere."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from tritonclient.http import InferResult

from core.bundle.outputs import EMBEDDING_SIZE
from core.store.predictions import Prediction, new_id
from service.model.batcher import Outcome
from service.model.predictor import Answered
from service.oip import oip_answers
from service.oip.oip_tensors import OUTPUTS, InferRequest, Wanted

LABELS = ("Katze", "Hund", "Grüße 🕷")
PROBABILITIES = np.array([[0.1, 0.2, 0.7], [0.4, 0.4, 0.2]], dtype=np.float32)
AT = datetime(2026, 11, 1, tzinfo=UTC)


def answered(row: int) -> Answered:
    """Return the answer to one picture."""
    probabilities = PROBABILITIES[row]
    embedding = np.full(EMBEDDING_SIZE, 1 / 16, dtype=np.float32)
    outcome = Outcome(
        probabilities=probabilities,
        logits=np.log(probabilities),
        embedding=embedding,
        confidence=float(probabilities.max()),
        margin=0.1,
        entropy=0.1,
        queue_s=0.0,
        infer_s=0.0,
    )
    prediction = Prediction(
        id=new_id(AT),
        at=AT,
        version="v1",
        label=LABELS[int(probabilities.argmax())],
        confidence=outcome.confidence,
        top=[],
        margin=0.1,
        entropy=0.1,
        descriptors={},
        latency_ms=1.0,
        image_sha256="0" * 64,
        embedding=embedding,
        request_id="r",
    )
    return Answered(prediction, "classifier", [], "stored" if row == 0 else "spooled", outcome)


ANSWERED = [answered(0), answered(1)]


def answer(*wanted: Wanted, name: str | None = None) -> InferResult:
    """Return the answer to two pictures, as the client reads it."""
    request = InferRequest(name, [b"", b""], wanted, None)
    found = oip_answers.write(request, ANSWERED, LABELS)
    return InferResult.from_response_body(found.body, header_length=found.json_bytes)


class TestWrite:
    """The body of an answer."""

    @pytest.mark.parametrize("binary", [False, True])
    def test_carries_every_output_exactly(self, binary: bool):
        """Float by float and byte by byte, in JSON as after it."""
        found = answer(*(Wanted(name, binary) for name in OUTPUTS))

        assert np.array_equal(found.as_numpy("probabilities"), PROBABILITIES)
        assert np.array_equal(found.as_numpy("logits"), np.log(PROBABILITIES))
        assert found.as_numpy("embedding").shape == (2, EMBEDDING_SIZE)
        said = [text.decode() if binary else text for text in found.as_numpy("label")]
        assert said == ["Grüße 🕷", "Katze"]
        ids = [text.decode() if binary else text for text in found.as_numpy("id")]
        assert ids == [str(each.prediction.id) for each in ANSWERED]

    def test_mixes_json_and_binary(self):
        """Each output is sent as it was asked for, in the order asked."""
        found = answer(Wanted("label", False), Wanted("logits", True), Wanted("id", True))

        assert [each["name"] for each in found.get_response()["outputs"]] == [
            "label",
            "logits",
            "id",
        ]
        assert "data" in found.get_output("label")
        assert found.get_output("logits")["parameters"] == {"binary_data_size": 24}
        assert found.as_numpy("id")[0] == str(ANSWERED[0].prediction.id).encode()

    @pytest.mark.parametrize("binary", [False, True])
    def test_ranks_where_a_classification_is_asked_for(self, binary: bool):
        """Of equals the one that comes first, and never more than there are labels."""
        two = answer(Wanted("probabilities", binary, 2)).as_numpy("probabilities")
        all_of_them = answer(Wanted("probabilities", binary, 99)).as_numpy("probabilities")

        said = [[text.decode() if binary else text for text in row] for row in two]
        assert said == [
            ["0.700000:2:Grüße 🕷", "0.200000:1:Hund"],
            ["0.400000:0:Katze", "0.400000:1:Hund"],
        ]
        assert all_of_them.shape == (2, 3)

    def test_says_who_answered_and_where_it_is_kept(self):
        """One row that waits on a disk makes the whole answer a spooled one."""
        request = InferRequest("\ud800 🙂", [b"", b""], (Wanted("label", False),), None)
        found = oip_answers.write(request, ANSWERED, LABELS)
        said = json.loads(found.body)

        assert found.json_bytes is None
        assert (said["model_name"], said["model_version"]) == ("classifier", "v1")
        assert said["parameters"] == {"logged": "spooled"}
        assert said["id"] == "\ud800 🙂"
        assert "id" not in answer(Wanted("label", False)).get_response()
