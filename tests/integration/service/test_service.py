"""The HTTP interface, over a real port, a real Postgres and a real model."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from sqlalchemy import Engine

from core.store import draws, registry
from core.store.database import transaction
from tests.images import animated_gif, jpeg, png, webp
from tests.pool import FIRST_DAY, add_pictures, register
from tests.serving import jpeg_of, logged, serving
from tests.tiny import LABELS, picture

KNOBS = {"max_image_bytes": 100_000, "max_images": 4}


@pytest.fixture
def alone(engine: Engine, tmp_path: Path) -> Iterator[httpx.Client]:
    """The same, with a log of its own."""
    register(engine, tmp_path / "bundles")
    with serving(engine, tmp_path, **KNOBS) as client:
        yield client


def problem_of(answer: httpx.Response) -> dict[str, object]:
    """Return the problem that an answer is, after checking its shape."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


class TestPredict:
    """POST /v1/predict."""

    @pytest.mark.parametrize("label", LABELS)
    def test_answers_as_the_design_says(self, service: httpx.Client, label: str):
        """Clients are written against exactly these names."""
        answer = service.post("/v1/predict?top_k=2", content=jpeg_of(label)).json()

        assert set(answer) == {"id", "model", "label", "confidence", "top", "logged"}
        assert answer["model"] == {"name": "classifier", "version": "v1"}
        assert (answer["label"], answer["logged"]) == (label, "stored")
        assert answer["top"][0] == {"label": label, "probability": answer["confidence"]}
        assert len(answer["top"]) == 2

    def test_keeps_what_it_answers(self, alone: httpx.Client, engine: Engine):
        """Drift and production accuracy are read off these columns."""
        sent = {"X-Request-ID": "order-42"}
        answer = alone.post("/v1/predict", content=jpeg_of("Dog"), headers=sent).json()

        row = alone.get(f"/v1/predictions/{answer['id']}").json()

        assert (row["version"], row["label"], row["request_id"]) == ("v1", "Dog", "order-42")
        assert row["confidence"] == pytest.approx(answer["confidence"], abs=1e-6)
        assert row["top"] == answer["top"]
        assert row["margin"] == pytest.approx(
            answer["top"][0]["probability"] - answer["top"][1]["probability"], abs=1e-5
        )
        assert row["descriptors"]["aspect"] == 1
        assert row["latency_ms"] > 0
        with transaction(engine) as connection:
            today = datetime.fromisoformat(row["at"]).date()
            kept = draws.draw(connection, today, "v1", {"Dog": 1}, limit=9, salt="")
        assert np.isfinite(kept.embedding).all()
        assert kept.embedding.shape == (1, 256)

    def test_takes_a_form_as_well(self, service: httpx.Client):
        """A browser's upload and a raw body are one request."""
        answer = service.post("/v1/predict", files={"image": ("🙂\n.exe", jpeg_of("Cat"))})

        assert answer.json()["label"] == "Cat"

    @pytest.mark.parametrize("encode", [jpeg, png, webp])
    def test_believes_the_content_and_no_header(self, service: httpx.Client, encode):
        """I13: a wrong content type or extension changes nothing."""
        headers = {"Content-Type": "application/pdf"}

        answer = service.post("/v1/predict", content=encode(picture("Cat")), headers=headers)

        assert answer.json()["label"] == "Cat"

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 422),
            (b"<svg/>", 415),
            (animated_gif([picture("Cat")]), 415),
            (jpeg(picture("Cat"))[:200], 422),
            (b"x" * 150_000, 413),
            (b"x" * 2_000_000, 413),
        ],
    )
    def test_refuses_what_is_no_picture(self, service: httpx.Client, module_engine, body, status):
        """Whatever is sent, the answer is a problem and the log has no row of it."""
        before = logged(module_engine)

        problem = problem_of(service.post("/v1/predict", content=body))

        assert problem["status"] == status
        assert logged(module_engine) == before

    @pytest.mark.parametrize(
        ("files", "status"),
        [
            ([("other", b"x")], 422),
            ([("image", b"x"), ("image", b"x")], 422),
            ([("image", b"x")] * 5, 400),
            ([("image", b"x" * 150_000)], 413),
            ([("image", b"")], 422),
        ],
    )
    def test_refuses_odd_forms(self, service: httpx.Client, files, status: int):
        """I14: no file, two files, the wrong field, nothing in it."""
        answer = service.post("/v1/predict", files=files)

        assert problem_of(answer)["status"] == status

    def test_refuses_a_form_without_boundary(self, service: httpx.Client):
        """I14: a broken client is told that it is broken."""
        headers = {"Content-Type": "multipart/form-data"}

        answer = service.post("/v1/predict", content=jpeg_of("Cat"), headers=headers)

        assert problem_of(answer)["status"] == 400

    def test_refuses_a_long_body_of_unknown_length(self, service: httpx.Client):
        """S12: a chunked body is counted while it arrives."""
        answer = service.post("/v1/predict", content=(b"x" * 50_000 for _ in range(40)))

        assert problem_of(answer)["code"] == "too_large"

    @pytest.mark.parametrize("top_k", ["0", "-1", "1000000000", "many", ""])
    def test_refuses_impossible_numbers_of_labels(self, service: httpx.Client, top_k: str):
        """I16: out of range is 422, and the field is named."""
        problem = problem_of(service.post(f"/v1/predict?top_k={top_k}", content=jpeg_of("Cat")))

        assert problem["status"] == 422
        assert str(problem["detail"]).startswith("query.top_k")

    def test_shows_all_labels_when_asked_for_more(self, service: httpx.Client):
        """Three classes are three labels, whatever `top_k` allows."""
        answer = service.post("/v1/predict?top_k=50", content=jpeg_of("Cat")).json()

        assert {each["label"] for each in answer["top"]} == set(LABELS)


class TestPredictBatch:
    """POST /v1/predict/batch."""

    def test_gives_each_image_a_result_or_a_problem(self, alone: httpx.Client, engine: Engine):
        """One bad picture among a hundred must not cost the other ninety-nine."""
        images = [jpeg_of("Cat"), b"junk", jpeg_of("Dog"), b"x" * 150_000]

        answer = alone.post("/v1/predict/batch", files=[("images", each) for each in images])

        results = answer.json()["results"]
        said = [each.get("label") or each["problem"]["status"] for each in results]
        assert said == ["Cat", 415, "Dog", 413]
        assert set(logged(engine)) == {each["id"] for each in results if "id" in each}

    @pytest.mark.parametrize("files", [[("images", b"x")] * 5, [("image", b"x")]])
    def test_refuses_too_many_and_the_wrong_field(self, service: httpx.Client, files):
        """The limit is named where it is broken."""
        assert problem_of(service.post("/v1/predict/batch", files=files))["status"] == 422

    def test_refuses_a_body_that_is_no_form(self, service: httpx.Client):
        """One raw body cannot be many images."""
        answer = service.post("/v1/predict/batch", content=jpeg_of("Cat"))

        assert "multipart" in str(problem_of(answer)["detail"])


class TestPredictions:
    """GET /v1/predictions."""

    def test_walk_meets_every_answer_once(self, alone: httpx.Client):
        """The cursor is all a reader needs."""
        ids = [alone.post("/v1/predict", content=jpeg_of("Dog")).json()["id"] for _ in range(5)]

        met: list[str] = []
        query: dict[str, str | int] = {"limit": 2}
        while True:
            page = alone.get("/v1/predictions", params=query).json()
            met += [each["id"] for each in page["predictions"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]

        assert met == ids[::-1]

    def test_filters(self, alone: httpx.Client):
        """Label, version, time and whether the truth is known."""
        for label in LABELS:
            alone.post("/v1/predict", content=jpeg_of(label))

        def found(**filters: object) -> list[str]:
            page = alone.get("/v1/predictions", params=filters).json()
            return [each["label"] for each in page["predictions"]]

        assert found(label="Dog", version="v1", labelled="false") == ["Dog"]
        assert found(labelled="true") == found(version="v2") == found(to="2020-01-01T00:00Z") == []
        assert len(found(**{"from": "2020-01-01T00:00:00+01:00"})) == 3

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=501",
            "from=2026-01-01",
            "from=1772323200",
            "to=-9.9e-26",
            "from=0000-01-01T00:00:00Z",
            "from=now-99999d",
            "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
            "cursor=abc",
            "cursor=%00",
            "label=%00",
            "label=" + "x" * 300,
            "version=a%0Ab",
            "labelled=perhaps",
        ],
    )
    def test_refuses_what_makes_no_sense(self, service: httpx.Client, query: str):
        """I16, S03: nothing a caller writes reaches Postgres unchecked."""
        assert problem_of(service.get(f"/v1/predictions?{query}"))["status"] == 422

    def test_survives_the_end_of_time(self, service: httpx.Client):
        """I16: year 9999 in a zone west of Greenwich lies beyond all time."""
        answer = service.get("/v1/predictions", params={"from": "9999-12-31T23:59:59-12:00"})

        assert answer.status_code in {200, 422}

    @pytest.mark.parametrize(("unknown", "status"), [(str(uuid4()), 404), ("no id", 422)])
    def test_say_so_when_there_is_none(self, service: httpx.Client, unknown: str, status: int):
        """A wrong id is a 404, something that is no id a 422."""
        assert problem_of(service.get(f"/v1/predictions/{unknown}"))["status"] == status


class TestLabel:
    """PUT /v1/predictions/{id}/label."""

    @pytest.fixture
    def answered(self, service: httpx.Client) -> str:
        """The id of a prediction."""
        answer: str = service.post("/v1/predict", content=jpeg_of("Dog")).json()["id"]
        return answer

    def test_keeps_the_truth(self, alone: httpx.Client):
        """Labels from production are what the model is judged by."""
        answered = alone.post("/v1/predict", content=jpeg_of("Dog")).json()["id"]

        row = alone.put(f"/v1/predictions/{answered}/label", json={"label": "Cat"}).json()

        assert (row["label"], row["true_label"], row["labelled_by"]) == ("Dog", "Cat", "http")
        assert alone.get("/v1/predictions?labelled=true").json()["predictions"] == [row]

    def test_suggests_what_was_meant(self, service: httpx.Client, answered: str):
        """A typo must not become a new class."""
        answer = service.put(f"/v1/predictions/{answered}/label", json={"label": "Spidre"})

        problem = problem_of(answer)
        assert problem["status"] == 422
        assert "Spider" in str(problem["detail"])
        assert "Spidre" not in answer.text

    def test_takes_a_label_that_only_the_pool_knows(
        self, service: httpx.Client, answered: str, module_engine: Engine, tmp_path: Path
    ):
        """A class the champion has not learnt yet may be named."""
        add_pictures(
            module_engine, tmp_path / "pool", FIRST_DAY, labels=("Fox", "Owl"), per_label=1
        )

        answer = service.put(f"/v1/predictions/{answered}/label", json={"label": "Fox"})

        assert answer.json()["true_label"] == "Fox"

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 422),
            (b"{", 400),
            (b'{"label": 7}', 422),
            (b'{"label": "Cat", "secret_word": 1}', 422),
            (b'{"label": NaN}', 422),
            (b"[" * 10_000, 400),
            (b'{"label": "' + b"x" * 100_000 + b'"}', 413),
        ],
    )
    def test_refuses_other_bodies(self, service: httpx.Client, answered: str, body, status):
        """I15: and never repeats them."""
        headers = {"Content-Type": "application/json"}

        answer = service.put(f"/v1/predictions/{answered}/label", content=body, headers=headers)

        assert problem_of(answer)["status"] == status
        assert "secret_word" not in answer.text


class TestModels:
    """GET /v1/model and /v1/models."""

    def test_model_shows_what_serves(self, service: httpx.Client):
        """The answer to "what am I talking to?"."""
        model = service.get("/v1/model").json()

        assert (model["name"], model["version"], model["device"]) == ("classifier", "v1", "cpu")
        assert model["labels"] == list(LABELS)
        assert model["recipe"]["height"] == 16
        assert model["metrics"]["test"] == {"top1": 0.98}

    def test_models_show_every_version(self, alone: httpx.Client, engine: Engine, tmp_path):
        """The newest first, and which of them is the champion."""
        register(engine, tmp_path / "bundles", name="v2", promoted_at=None)

        models = alone.get("/v1/models").json()["models"]

        assert [(each["version"], each["champion"]) for each in models] == [
            ("v2", False),
            ("v1", True),
        ]


class TestOperation:
    """What operators and their tools ask."""

    def test_is_ready_when_everything_is(self, service: httpx.Client):
        """A balancer sends traffic on this alone."""
        answer = service.get("/readyz")

        checks = answer.json()["checks"]
        assert answer.status_code == 200
        assert {name: check["ok"] for name, check in checks.items()} == {
            "database": True,
            "migrations": True,
            "model": True,
            "disk": True,
            "log": True,
            "monitor": True,  # it is first looked for when the service has run for a while
            "shadow": True,  # no challenger waits
        }
        assert service.get("/healthz").json() == {"alive": True}

    def test_counts_in_bounded_labels(self, alone: httpx.Client):
        """S17: addresses nobody serves must not become time series."""
        alone.post("/v1/predict", content=jpeg_of("Dog"))
        for i in range(3):
            alone.get(f"/nowhere/{i}")

        text = alone.get("/metrics").text

        assert 'weakspot_predictions_total{version="v1"} 1.0' in text
        assert 'weakspot_stage_seconds_count{stage="log"} 1.0' in text
        assert (
            'weakspot_model_info{engine="onnxruntime-fp32",name="classifier",version="v1"} 1.0'
            in text
        )
        assert 'route="unmatched",status="404"} 3.0' in text
        assert "nowhere" not in text

    @pytest.mark.parametrize(
        ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/predict", 405)]
    )
    def test_answers_wrong_addresses_with_problems(
        self, service: httpx.Client, method: str, path: str, status: int
    ):
        """A client parses one shape of error, whatever went wrong."""
        assert problem_of(service.request(method, path))["status"] == status

    def test_documents_every_route(self, service: httpx.Client):
        """The document is what clients are generated from."""
        document = service.get("/openapi.json").json()

        assert document["openapi"].startswith("3.1")
        body = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
        assert {"image/jpeg", "image/png", "image/webp", "multipart/form-data"} == set(body)
        assert "/docs" in service.get("/").headers["location"]
        assert service.get("/docs").status_code == 200


class TestWithoutModel:
    """A service that is started before anything is trained."""

    def test_runs_and_says_what_to_do(self, engine: Engine, tmp_path: Path):
        """The dashboard and the log are there from the first minute."""
        with serving(engine, tmp_path) as service:
            ready = service.get("/readyz")
            answer = service.post("/v1/predict", content=jpeg_of("Dog"))

            assert (ready.status_code, ready.json()["checks"]["model"]["ok"]) == (503, False)
            assert problem_of(answer)["code"] == "no_model"
            assert "weakspot train" in str(problem_of(answer)["detail"])
            assert answer.headers["retry-after"] == "1"

    def test_serves_as_soon_as_there_is_one(self, engine: Engine, tmp_path: Path):
        """Nobody restarts a service after the first training."""
        with serving(engine, tmp_path, reload_s=30) as service:
            register(engine, tmp_path / "bundles")
            seen = [service.get("/readyz") for _ in range(100)]

            assert seen[-1].status_code == 200
            with transaction(engine) as connection:
                (load,) = registry.loads(connection, "v1")
            assert (load.ok, load.instance) == (True, "test")
