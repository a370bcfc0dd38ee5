"""Postgres goes away under a service that is answering: the answers go on, and none is lost."""

import threading
import time
from pathlib import Path

import httpx
from sqlalchemy import Engine

from core.store.database import create_engine
from tests.faults import eventually, gate, spooled
from tests.images import jpeg
from tests.pool import register
from tests.serving import Traffic, jpeg_of, logged, serving
from tests.tiny import picture

KEY = {"Idempotency-Key": "order-17"}


def ask(service: httpx.Client, seed: int = 0, **headers: str) -> httpx.Response:
    """Have one picture classified."""
    return service.post("/v1/predict", content=jpeg_of("Dog", seed), headers=headers)


class TestPostgresAway:
    """Postgres refuses connections, hangs, or is full."""

    def test_answers_go_on_and_arrive_once(self, engine: Engine, database_url: str, tmp_path: Path):
        """F02: not one refusal, readyz says what is going on, and each answer ends in Postgres."""
        register(engine, tmp_path / "bundles")
        with (
            gate(database_url) as way,
            serving(create_engine(way.url), tmp_path) as service,
            Traffic(str(service.base_url)) as traffic,
        ):
            traffic.wait_for(20)
            way.shut()
            traffic.wait_for(60)
            ready = service.get("/readyz")
            held = spooled(service)
            unknown = service.get(f"/v1/predictions/{next(iter(traffic.answers))}")
            way.open()
            eventually(lambda: spooled(service) == 0)
            traffic.wait_for(20)

        assert (traffic.refusals, traffic.broken) == ([], 0)
        assert ready.status_code == 200
        assert "Postgres is away" in ready.json()["checks"]["log"]["detail"]
        assert not ready.json()["checks"]["database"]["ok"]
        assert held > 0
        assert unknown.status_code == 503
        assert traffic.answers == logged(engine)

    def test_that_hangs_is_noticed(self, engine: Engine, database_url: str, tmp_path: Path):
        """F22: the first caller waits seconds, the next ones not at all."""
        register(engine, tmp_path / "bundles")
        with gate(database_url) as way, serving(create_engine(way.url), tmp_path) as service:
            assert ask(service).json()["logged"] == "stored"
            way.freeze()
            begun = time.monotonic()
            first = ask(service)
            noticed_s = time.monotonic() - begun
            begun = time.monotonic()
            second = ask(service)
            then_s = time.monotonic() - begun
            way.thaw()
            eventually(lambda: spooled(service) == 0)

        answers = [first.json(), second.json()]
        assert [each["logged"] for each in answers] == ["spooled", "spooled"]
        assert {each["id"] for each in answers} <= logged(engine).keys()
        assert noticed_s < 4
        assert then_s < 1

    def test_with_a_full_spool_is_said(self, engine: Engine, database_url: str, tmp_path: Path):
        """F02: refused with a time to come again, not ready, and well again by itself."""
        register(engine, tmp_path / "bundles")
        with (
            gate(database_url) as way,
            serving(create_engine(way.url), tmp_path, spool_bytes=5_000) as service,
        ):
            way.shut()
            answers = [ask(service) for _ in range(8)]
            ready = service.get("/readyz")
            way.open()
            eventually(lambda: ask(service).json().get("logged") == "stored")

        refused = [each for each in answers if each.status_code != 200]
        assert refused
        assert {(each.status_code, each.headers["retry-after"]) for each in refused} == {(503, "5")}
        assert ready.status_code == 503
        assert "full" in ready.json()["checks"]["log"]["detail"]
        ids = {each.json()["id"] for each in answers if each.status_code == 200}
        assert ids <= logged(engine).keys()

    def test_is_made_good_by_the_next_life(self, engine: Engine, database_url: str, tmp_path: Path):
        """F03: a service that ends with a full spool leaves it to the next; its keys are known."""
        register(engine, tmp_path / "bundles")
        with gate(database_url) as way:
            with serving(create_engine(way.url), tmp_path) as service:
                way.shut()
                before = ask(service, **KEY)
                assert before.json()["logged"] == "spooled"
            with serving(engine, tmp_path) as service:
                again = ask(service, **KEY)
                eventually(lambda: spooled(service) == 0)
                later = ask(service, **KEY)

        assert before.json() == again.json() == later.json()
        assert list(logged(engine)) == [before.json()["id"]]


class TestIdempotencyKey:
    """One key, one answer, one row."""

    def test_gives_the_same_answer_again(self, engine: Engine, tmp_path: Path):
        """A caller whose connection broke may ask again without harm, also of another process."""
        register(engine, tmp_path / "bundles")
        with serving(engine, tmp_path / "a") as service, serving(engine, tmp_path / "b") as other:
            first, again, there = ask(service, **KEY), ask(service, **KEY), ask(other, **KEY)

        assert first.status_code == 200
        assert first.json() == again.json() == there.json()
        assert "Idempotent-Replayed" not in first.headers
        assert (
            again.headers["Idempotent-Replayed"] == there.headers["Idempotent-Replayed"] == "true"
        )
        assert len(logged(engine)) == 1

    def test_is_answered_once_when_asked_at_once(self, engine: Engine, tmp_path: Path):
        """The second waits for the first; of two processes one wins, the other reads its answer."""
        register(engine, tmp_path / "bundles")
        answers: list[str] = []
        with serving(engine, tmp_path / "a") as service, serving(engine, tmp_path / "b") as other:
            threads = [
                threading.Thread(target=lambda to=to: answers.append(ask(to, **KEY).json()["id"]))
                for to in [service, other] * 6
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert len(answers) == 12
        assert list(logged(engine)) == [answers[0]] == list(set(answers))

    def test_is_not_for_another_request(self, engine: Engine, tmp_path: Path):
        """A key that is used twice by mistake must not give one picture's answer to another."""
        register(engine, tmp_path / "bundles")
        with serving(engine, tmp_path) as service:
            ask(service, **KEY)
            other = ask(service, seed=1, **KEY)
            query = service.post("/v1/predict?top_k=2", content=jpeg_of("Dog"), headers=KEY)

        for refused in (other, query):
            assert refused.status_code == 422
            assert refused.json()["code"] == "idempotency_key_reused"
        assert len(logged(engine)) == 1

    def test_is_free_after_a_failure(self, engine: Engine, tmp_path: Path):
        """What was never answered may be asked again, and with a better picture."""
        register(engine, tmp_path / "bundles")
        with serving(engine, tmp_path) as service:
            failed = service.post("/v1/predict", content=b"no picture", headers=KEY)
            then = ask(service, **KEY)

        assert (failed.status_code, then.status_code) == (415, 200)

    def test_is_refused_where_it_would_not_work(self, engine: Engine, tmp_path: Path):
        """A header that is silently ignored is a promise broken."""
        register(engine, tmp_path / "bundles")
        files = [("images", jpeg(picture("Dog")))]
        with serving(engine, tmp_path) as service:
            batch = service.post("/v1/predict/batch", files=files, headers=KEY)
            odd = ask(service, **{"Idempotency-Key": "x" * 256})

        assert (batch.status_code, odd.status_code) == (422, 422)
        assert "/v1/predict" in batch.json()["detail"]
