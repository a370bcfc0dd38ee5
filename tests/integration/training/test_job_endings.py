"""However a job ends, its worker writes it down."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.errors import ConflictError, StoreError, TrainingError
from core.store import alert_rules, alerts, outbox
from core.store.alert_policy import parse
from core.store.database import transaction
from tests.integration.test_alerts import open_alert
from tests.jobs import clear
from tests.one_worker import NOW, REFUSED, ask, raising, stored, worker_of
from trainer.pipeline import RetrainOutcome


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    """An engine on a queue without jobs."""
    yield module_engine
    clear(module_engine)


class TestEndings:
    """However a job ends, it is written down."""

    def test_an_empty_queue_is_no_work(self, engine: Engine, tmp_path: Path):
        """The caller may wait before it asks again."""
        assert not worker_of(engine, tmp_path, raising(AssertionError())).run_once()

    def test_writes_what_the_gate_decided(self, engine: Engine, tmp_path: Path):
        """The numbers stay with the job."""
        asked = ask(engine)

        assert worker_of(engine, tmp_path, lambda _job, _progress: REFUSED).run_once()
        ended = stored(engine, asked)
        assert (ended.status, ended.result) == ("refused", {"gate": {"passed": False}})
        assert (ended.worker, ended.finished_at) == ("worker", NOW)

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [
            (
                RetrainOutcome(None, None, "refused", {"gate": {"reasons": ["Cat is worse."]}}),
                "refused, and the champion stays: Cat is worse. See: weakspot jobs show",
            ),
            (
                RetrainOutcome(None, None, "more images", {"missing": {"Spider": 4}}),
                "nothing was trained, new images are missing: 4 of Spider. See:",
            ),
        ],
        ids=["refused", "too few images"],
    )
    def test_f14_the_alert_of_the_class_says_how_it_ended(
        self, engine: Engine, tmp_path: Path, outcome: RetrainOutcome, said: str
    ):
        """F14: whoever reads the alert need not look for what was done about it."""
        with transaction(engine) as connection:
            raised = [open_alert(connection, label) for label in ("Spider", "Cat")]
        ask(engine)
        worker_of(engine, tmp_path, lambda _job, _progress: outcome).run_once()

        with transaction(engine) as connection:
            spider, cat = [alerts.get(connection, each.id) for each in raised]
        assert spider is not None
        assert cat is not None
        assert said in spider.body.splitlines()[-1]
        assert cat.body == "body"

    def test_f14_people_hear_once_that_the_gate_refused(self, engine: Engine, tmp_path: Path):
        """F14: the class stays weak, and nobody should have to look for it."""
        hook = {"name": "ops", "url": "https://h.example/", "secret": "a-secret-of-many-characters"}
        with transaction(engine) as connection:
            alert_rules.write(connection, parse({"channels": [hook]}), by="test", now=NOW)
            raised = open_alert(connection, "Spider")
        for outcome in (REFUSED, replace(REFUSED, status="promoted")):
            asked = ask(engine)
            worker_of(engine, tmp_path, lambda _job, _progress, o=outcome: o).run_once()

        with transaction(engine) as connection:
            (told,) = [each for each in outbox.latest(connection) if raised.id in each.alerts]
        assert told.message["title"].startswith(
            f"Spider: Retraining {asked.id - 1}, 2026-03-02: re"
        )
        assert [each["change"] for each in told.message["news"]] == ["retrained"]

    def test_a_challenger_that_is_not_registered_is_a_failure(self, engine: Engine, tmp_path: Path):
        """A row that can never be written must not be tried for ever."""
        asked = ask(engine)
        outcome = RetrainOutcome("v99", None, "refused", {})
        worker_of(engine, tmp_path, lambda _job, _progress: outcome).run_once()

        ended = stored(engine, asked)
        assert (ended.status, ended.challenger) == ("failed", None)
        assert ended.result is not None
        assert "foreign key" in ended.result["error"]

    def test_what_is_no_number_becomes_null(self, engine: Engine, tmp_path: Path):
        """Postgres keeps no NaN in JSON, and a finished training is not lost for one."""
        asked = ask(engine)
        outcome = RetrainOutcome(None, None, "refused", {"auroc": float("nan"), "at": tmp_path})
        worker_of(engine, tmp_path, lambda _job, _progress: outcome).run_once()

        assert stored(engine, asked).result == {"auroc": None, "at": str(tmp_path)}

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (TrainingError("class 'Spider' has no training images"), "class 'Spider' has no"),
            (ConflictError("the champion is v3 now"), "the champion is v3 now"),
            (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
            (MemoryError(), "MemoryError"),
        ],
    )
    def test_a_failure_is_told_with_its_reason(self, engine: Engine, tmp_path: Path, error, reason):
        """A worker outlives every job, and its owner reads what happened."""
        asked = ask(engine)
        worker = worker_of(engine, tmp_path, raising(error))

        assert worker.run_once()
        ended = stored(engine, asked)
        assert ended.status == "failed"
        assert ended.result is not None
        assert ended.result["error"].startswith(reason)

    def test_a_failure_of_the_database_is_worth_another_try(self, engine: Engine, tmp_path: Path):
        """Postgres restarted in the middle: nothing is wrong with the job."""
        asked = ask(engine)
        worker = worker_of(engine, tmp_path, raising(StoreError("connection lost")))

        worker.run_once()
        assert (stored(engine, asked).status, stored(engine, asked).attempts) == ("queued", 1)
        worker.run_once()
        ended = stored(engine, asked)
        assert (ended.status, ended.result) == ("failed", {"error": "connection lost"})
