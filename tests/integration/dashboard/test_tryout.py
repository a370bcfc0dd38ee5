"""A picture is tried out over a real pool: the answer, the likest images, and a lesson."""

from datetime import timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from core.bundle.runner import Runner
from core.clock import day_bounds
from core.images.decode import decode
from core.images.preprocess import preprocess
from core.store import audit, exam_draws, images, similar_images, traces
from core.store.database import transaction
from core.store.images import get, purpose_of
from core.store.traces import Trace
from dashboard.app import create_app
from dashboard.door import entrance
from dashboard.door.caller import Caller
from dashboard.page import House
from dashboard.pages.tryout.desk import MAX_BYTES
from tests import pool
from tests.hostile import corpus
from tests.images import jpeg, photo, png
from tests.tiny import LABELS, picture

BYTES = "application/octet-stream"


@pytest.fixture(scope="module")
def house(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A champion that has been examined with thirty images."""
    home = tmp_path_factory.mktemp("try")
    version = pool.register(module_engine, home / "bundles")
    pool.add_pictures(module_engine, home / "pool", pool.day(1))
    runner = Runner.open(Path(version.uri), "cpu", threads=1)
    with transaction(module_engine) as connection:
        samples = images.samples(connection)
        tensors = [
            preprocess(decode(Path(each.uri).read_bytes()), runner.recipe) for each in samples
        ]
        outputs = runner.run(np.stack(tensors))
        seen = [
            Trace("v1", each.id, pool.day(1), each.label, each.label, 0.9, [0.0] * 6, embedding)
            for each, embedding in zip(samples, outputs.embedding, strict=True)
        ]
        traces.write(connection, seen)
    return House(module_engine, pool.night_after(1), home)


@pytest.fixture(scope="module")
def client(house: House) -> FlaskClient:
    """A client of the dashboard's server."""
    return create_app(house).server.test_client()


class TestPredict:
    """POST /try/api/predict."""

    def test_answers_what_the_runner_answers(self, client: FlaskClient, house: House):
        """The same decode, the same resize, the same graph."""
        data = jpeg(picture("Dog", size=(60, 90), seed=3))
        runner = Runner.open(house.home / "bundles" / "v1", "cpu", threads=1)
        tensor = preprocess(decode(data), runner.recipe)
        expected = runner.run(tensor[np.newaxis]).probabilities[0]

        said = client.post("/try/api/predict", data=data, content_type=BYTES).get_json()

        assert said["top"][0]["label"] == "Dog"
        assert {each["label"]: each["probability"] for each in said["top"]} == pytest.approx(
            dict(zip(LABELS, expected.tolist(), strict=True)), abs=1e-6
        )
        assert (said["version"], said["width"], said["height"]) == ("v1", 90, 60)

    def test_shows_the_likest_images_of_the_pool(self, client: FlaskClient):
        """By the embedding, the likest first."""
        data = png(picture("Spider", seed=5))

        said = client.post("/try/api/predict", data=data, content_type=BYTES).get_json()

        likeness_ = [each["likeness"] for each in said["similar"]]
        assert (len(likeness_), said["compared"]) == (12, 30)
        assert likeness_ == sorted(likeness_, reverse=True)
        assert [each["label"] for each in said["similar"][:5]] == ["Spider"] * 5

    def test_is_not_logged(self, client: FlaskClient, house: House):
        """What somebody tries out is no traffic."""
        client.post("/try/api/predict", data=png(picture("Cat")), content_type=BYTES)

        with house.engine.connect() as connection:
            counted = connection.exec_driver_sql("SELECT count(*) FROM predictions").scalar_one()
        assert counted == 0

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"", 422),
            (b"GIF89a and no more", 415),
            (jpeg(photo(40, 30))[:300], 422),
            (b"\0" * (MAX_BYTES + 1), 413),
        ],
        ids=["nothing", "gif", "torn", "large"],
    )
    def test_refuses_what_is_no_picture(self, client: FlaskClient, data: bytes, status: int):
        """In words, as the service does."""
        answer = client.post("/try/api/predict", data=data, content_type=BYTES)

        assert answer.status_code == status
        assert answer.get_json()["detail"]

    def test_no_hostile_file_gets_another_answer_than_the_service_gives(self, client: FlaskClient):
        """Each sixth of the cases that a service is shown: the decoder is the same."""
        wrong = []
        for name, data, right in islice(corpus(), 0, None, 6):
            if len(data) > MAX_BYTES:
                right = {413}  # noqa: PLW2901 - the page's own limit comes first
            answer = client.post("/try/api/predict", data=data, content_type=BYTES)
            if answer.status_code not in right:
                wrong.append((name, answer.status_code, answer.get_data(as_text=True)[:200]))

        assert not wrong, "\n".join(map(str, wrong))


class TestLooked:
    """POST /try/api/looked."""

    def test_gives_a_grid(self, client: FlaskClient):
        """One number for each place."""
        data = png(picture("Cat", seed=2))

        said = client.post("/try/api/looked?label=Cat", data=data, content_type=BYTES).get_json()

        assert said["label"] == "Cat"
        assert {len(row) for row in said["lost"]} == {len(said["lost"])}

    def test_knows_the_classes(self, client: FlaskClient):
        """A class that is none has no probability."""
        data = png(picture("Cat"))

        answer = client.post("/try/api/looked?label=Unicorn", data=data, content_type=BYTES)

        assert answer.status_code == 422


class TestWrong:
    """POST /try/api/wrong: a picture becomes a lesson."""

    def test_is_learnt_from_and_never_counted(self, client: FlaskClient, house: House):
        """A picture that somebody chose is no random sample of the traffic."""
        data = jpeg(photo(64, 48, seed=77))
        answer = client.post(
            "/try/api/wrong?label=Spider&said=Dog", data=data, content_type=BYTES
        ).get_json()
        number = int(answer["said"].split("image ")[1].split(":")[0])

        with transaction(house.engine) as connection:
            sample = get(connection, number)
            drawn = exam_draws.draw(
                connection,
                version="v1",
                labels=LABELS,
                before=day_bounds(pool.day(9))[1],
                snapshot_at=pool.night_after(1).now() - timedelta(days=1),
                per_class=1000,
            )
            deed = audit.find(connection, "teach image", {"label": "Spider", "said": "Dog"})
            purpose = purpose_of(connection, number)
        assert sample is not None
        assert (sample.label, sample.split, purpose) == ("Spider", "train", "learning")
        assert number not in {each.id for each in drawn}
        assert deed is not None
        assert deed.by == "dashboard"

    def test_refuses_what_the_pool_has(self, client: FlaskClient, house: House):
        """Its label is corrected where it stands."""
        with transaction(house.engine) as connection:
            sample = images.samples(connection, labels=["Cat"], split="test")[0]
        data = Path(sample.uri).read_bytes()

        answer = client.post("/try/api/wrong?label=Dog&said=Cat", data=data, content_type=BYTES)

        assert answer.status_code == 409
        assert "labelled Cat" in answer.get_json()["detail"]

    def test_refuses_what_repeats_a_picture_of_the_exams(self, client: FlaskClient, house: House):
        """What is asked must not be taught."""
        first, again = photo(64, 48, seed=5), jpeg(photo(64, 48, seed=5), quality=95)
        path = house.home / "pool" / "exam.png"
        path.write_bytes(png(first))
        row = pool.drawn_image(path, png(first), "Cat", pool.day(1), 0)
        from dataclasses import replace

        from core.images.phash import perceptual_hash, to_signed

        with transaction(house.engine) as connection:
            images.insert(connection, [replace(row, phash=to_signed(perceptual_hash(first)))])

        answer = client.post("/try/api/wrong?label=Dog&said=Cat", data=again, content_type=BYTES)

        assert answer.status_code == 409
        assert "nearly repeats" in answer.get_json()["detail"]


class TestScopes:
    """Who may do what."""

    @pytest.mark.parametrize(
        ("path", "scope"), [("/try/api/predict", "predict"), ("/try/api/wrong?label=Cat", "label")]
    )
    def test_are_asked_for(
        self, house: House, monkeypatch: pytest.MonkeyPatch, path: str, scope: str
    ):
        """A key that may read looks, and no more."""
        monkeypatch.setattr(entrance, "OWNER", Caller("key:reader", frozenset({"read"})))
        client = create_app(house).server.test_client()

        answer = client.post(path, data=png(picture("Cat")), content_type=BYTES)

        assert (answer.status_code, scope in answer.get_json()["detail"]) == (403, True)
        assert client.get("/try/api/labels").get_json()["labels"] == sorted(LABELS)


class TestOffline:
    """What the second tab fetches."""

    def test_is_the_champions_own_model(self, client: FlaskClient, house: House):
        """Under its digest, to be kept for ever."""
        said = client.get("/try/offline/bundle.json").get_json()
        with client.get(said["model"]) as answer:
            assert answer.data == (house.home / "bundles/v1/model.onnx").read_bytes()
            assert answer.headers["ETag"] == f'"{said["digest"]}"'

        known = {"If-None-Match": f'"{said["digest"]}"'}
        with client.get(said["model"], headers=known) as again:
            assert again.status_code == 304
        assert client.get("/try/offline/model/0.onnx").status_code == 404

    def test_alone_may_run_webassembly(self, client: FlaskClient):
        """The rest of the dashboard keeps the strict policy."""
        policies = {
            path: client.get(path).headers["Content-Security-Policy"]
            for path in ("/try", "/try/offline", "/try/offline/worker.js")
        }

        assert [path for path, policy in policies.items() if "wasm" in policy] == ["/try/offline"]


class TestLikeness:
    """Embeddings are compared within one version."""

    def test_knows_no_images_of_another_version(self, house: House):
        """Each model has a space of its own."""
        with transaction(house.engine) as connection:
            found = similar_images.similar(connection, "v9", np.ones(256, np.float32) / 16, most=12)
            seen = similar_images.seen(connection, "v9")

        assert (found, seen) == ([], 0)
