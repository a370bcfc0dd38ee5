"""The worker carries out what is asked for, and writes down every ending."""

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.clock import Clock, FixedClock, ShiftedClock, SystemClock
from core.errors import ConflictError, StoreError, TrainingError
from core.store import alert_rules, alerts, jobs, outbox
from core.store.alert_policy import parse
from core.store.database import create_engine, transaction
from core.store.jobs import Job
from tests.integration.test_alerts import open_alert
from tests.jobs import clear
from trainer.fitting.passes import Epoch, OnEpoch
from trainer.lease import Lease
from trainer.pipeline import RetrainOutcome
from trainer.worker import Worker

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
LEASE_S = 60
REFUSED = RetrainOutcome(None, None, "refused", {"gate": {"passed": False}})

Progress = Callable[[str, int, int], None]
Work = Callable[[Job, Progress], RetrainOutcome]
PASS = Epoch(1, 3, 0.5, math.inf, 0.75, 1e-3, 2.0)


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    """An engine on a queue without jobs."""
    yield module_engine
    clear(module_engine)


def _worker(
    engine: Engine, folder: Path, work: Work, *, clock: Clock | None = None, lease_s: int = LEASE_S
) -> Worker:
    def retrain(_engine: Engine, job: Job, *, on_progress: Progress, **_: Any) -> RetrainOutcome:
        return work(job, on_progress)

    return Worker(
        engine,
        options=None,
        lease_s=lease_s,
        max_attempts=2,
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=clock or FixedClock(NOW),
        name="worker",
        work={"retrain": retrain},
    )


def _ask(engine: Engine, now: datetime = NOW) -> Job:
    with transaction(engine) as connection:
        return jobs.enqueue(
            connection, labels=["Spider"], reason="weak", requested_by="monitor", now=now
        )


def _stored(engine: Engine, job: Job) -> Job:
    with transaction(engine) as connection:
        return jobs.get(connection, job.id)


def _cancel(engine: Engine, job: Job) -> None:
    with transaction(engine) as connection:
        jobs.cancel(connection, job.id, by="ann", now=NOW)


def _wait(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _raising(error: BaseException) -> Work:
    def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
        raise error

    return work


class TestEndings:
    """However a job ends, it is written down."""

    def test_an_empty_queue_is_no_work(self, engine: Engine, tmp_path: Path):
        """The caller may wait before it asks again."""
        assert not _worker(engine, tmp_path, _raising(AssertionError())).run_once()

    def test_writes_what_the_gate_decided(self, engine: Engine, tmp_path: Path):
        """The numbers stay with the job."""
        asked = _ask(engine)

        assert _worker(engine, tmp_path, lambda _job, _progress: REFUSED).run_once()
        ended = _stored(engine, asked)
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
        _ask(engine)
        _worker(engine, tmp_path, lambda _job, _progress: outcome).run_once()

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
            asked = _ask(engine)
            _worker(engine, tmp_path, lambda _job, _progress, o=outcome: o).run_once()

        with transaction(engine) as connection:
            (told,) = [each for each in outbox.latest(connection) if raised.id in each.alerts]
        assert told.message["title"].startswith(
            f"Spider: Retraining {asked.id - 1}, 2026-03-02: re"
        )
        assert [each["change"] for each in told.message["news"]] == ["retrained"]

    def test_a_challenger_that_is_not_registered_is_a_failure(self, engine: Engine, tmp_path: Path):
        """A row that can never be written must not be tried for ever."""
        asked = _ask(engine)
        outcome = RetrainOutcome("v99", None, "refused", {})
        _worker(engine, tmp_path, lambda _job, _progress: outcome).run_once()

        ended = _stored(engine, asked)
        assert (ended.status, ended.challenger) == ("failed", None)
        assert "foreign key" in ended.result["error"]

    def test_what_is_no_number_becomes_null(self, engine: Engine, tmp_path: Path):
        """Postgres keeps no NaN in JSON, and a finished training is not lost for one."""
        asked = _ask(engine)
        outcome = RetrainOutcome(None, None, "refused", {"auroc": float("nan"), "at": tmp_path})
        _worker(engine, tmp_path, lambda _job, _progress: outcome).run_once()

        assert _stored(engine, asked).result == {"auroc": None, "at": str(tmp_path)}

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
        asked = _ask(engine)
        worker = _worker(engine, tmp_path, _raising(error))

        assert worker.run_once()
        ended = _stored(engine, asked)
        assert ended.status == "failed"
        assert ended.result is not None
        assert ended.result["error"].startswith(reason)

    def test_a_failure_of_the_database_is_worth_another_try(self, engine: Engine, tmp_path: Path):
        """Postgres restarted in the middle: nothing is wrong with the job."""
        asked = _ask(engine)
        worker = _worker(engine, tmp_path, _raising(StoreError("connection lost")))

        worker.run_once()
        assert (_stored(engine, asked).status, _stored(engine, asked).attempts) == ("queued", 1)
        worker.run_once()
        ended = _stored(engine, asked)
        assert (ended.status, ended.result) == ("failed", {"error": "connection lost"})


class TestLease:
    """While a job runs."""

    def test_progress_is_there_to_be_read(self, engine: Engine, tmp_path: Path):
        """The dashboard shows how far it is, a second later at most."""
        asked = _ask(engine)

        def work(job: Job, on_progress: Progress) -> RetrainOutcome:
            on_progress("fitting", 3, 10)
            told = {"stage": "fitting", "done": 3, "total": 10}
            _wait(lambda: _stored(engine, job).progress == told)
            return REFUSED

        _worker(engine, tmp_path, work).run_once()
        assert _stored(engine, asked).status == "refused"

    def test_a_silent_step_keeps_the_job(self, engine: Engine, tmp_path: Path):
        """An export says nothing for a minute, and is not taken for dead."""
        asked = _ask(engine, datetime.now(UTC))

        def work(job: Job, _on_progress: Progress) -> RetrainOutcome:
            assert job.lease_until is not None
            until = job.lease_until + timedelta(seconds=2)
            _wait(lambda: (_stored(engine, job).lease_until or until) > until)
            return REFUSED

        _worker(engine, tmp_path, work, clock=SystemClock(), lease_s=3).run_once()
        assert _stored(engine, asked).status == "refused"

    def test_a_clock_moved_forward_does_not_cost_the_job(self, engine: Engine, tmp_path: Path):
        """The demonstration's next day begins while a training runs."""
        asked = _ask(engine, datetime.now(UTC))
        shift = tmp_path / "clock"

        def work(job: Job, _on_progress: Progress) -> RetrainOutcome:
            assert job.lease_until is not None
            tomorrow = job.lease_until + timedelta(hours=23)
            shift.write_text("86400")
            _wait(lambda: (_stored(engine, job).lease_until or tomorrow) > tomorrow)
            return REFUSED

        _worker(engine, tmp_path, work, clock=ShiftedClock(shift)).run_once()
        assert _stored(engine, asked).status == "refused"

    def test_a_job_that_was_taken_over_is_dropped_unwritten(self, engine: Engine, tmp_path: Path):
        """Two workers on one job: the one that holds it decides."""
        asked = _ask(engine)

        def work(_job: Job, on_progress: Progress) -> RetrainOutcome:
            with transaction(engine) as connection:
                later = NOW + timedelta(seconds=LEASE_S + 1)
                jobs.claim_oldest(connection, worker="b", now=later, lease_s=60, max_attempts=9)
            for step in range(200):
                on_progress("fitting", step, 200)
                time.sleep(0.05)
            return REFUSED

        assert _worker(engine, tmp_path, work).run_once()
        held = _stored(engine, asked)
        assert (held.status, held.worker, held.result) == ("running", "b", None)

    def test_an_end_after_the_job_was_lost_is_not_written(self, engine: Engine, tmp_path: Path):
        """Not even when the loser heard of it only at the end."""
        asked = _ask(engine)

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            with transaction(engine) as connection:
                later = NOW + timedelta(seconds=LEASE_S + 1)
                jobs.claim_oldest(connection, worker="b", now=later, lease_s=60, max_attempts=9)
            return REFUSED

        assert _worker(engine, tmp_path, work).run_once()
        assert (_stored(engine, asked).worker, _stored(engine, asked).status) == ("b", "running")


class TestPasses:
    """The passes over the training images, while they are made."""

    def test_are_there_to_be_read(self, engine: Engine, tmp_path: Path):
        """Whoever waits sees whether it learns; what is no number is null."""
        asked = _ask(engine)

        def work(_engine: Engine, job: Job, *, on_progress: Progress, on_epoch: OnEpoch, **_: Any):
            on_progress("fitting", 3, 9)
            on_epoch(PASS)
            _wait(lambda: "epochs" in _stored(engine, job).progress)
            return REFUSED

        worker = _worker(engine, tmp_path, _raising(AssertionError()))
        replace(worker, work={"retrain": work}).run_once()
        (told,) = _stored(engine, asked).progress["epochs"]
        assert (told["number"], told["val_accuracy"], told["val_loss"]) == (1, 0.75, None)

    def test_of_a_try_that_begins_anew_replace_those_before(self, engine: Engine, tmp_path: Path):
        """Ten passes are not shown as thirteen."""
        _ask(engine)
        with transaction(engine) as connection:
            job = jobs.claim_oldest(connection, worker="a", now=NOW, lease_s=60, max_attempts=9)
            assert job is not None
            known = {"epochs": [{"number": 1}, {"number": 2}, {"number": 3}]}
            jobs.heartbeat(connection, job, now=NOW, lease_s=60, progress=known)
            job = jobs.get(connection, job.id)
        with Lease(engine, job, FixedClock(NOW), 60, threading.Event()) as lease:
            lease.on_epoch(replace(PASS, number=2))
            _wait(lambda: len(_stored(engine, job).progress["epochs"]) == 2)

        assert [each["number"] for each in _stored(engine, job).progress["epochs"]] == [1, 2]


class TestCancelling:
    """Somebody wants no more of a job under way."""

    def test_ends_it_at_its_next_report(self, engine: Engine, tmp_path: Path):
        """Within seconds, where reports are made."""
        asked = _ask(engine)

        def work(_job: Job, on_progress: Progress) -> RetrainOutcome:
            _cancel(engine, asked)
            for step in range(200):
                on_progress("fitting", step, 200)
                time.sleep(0.05)
            return REFUSED

        assert _worker(engine, tmp_path, work).run_once()
        ended = _stored(engine, asked)
        assert (ended.status, ended.result) == (
            "cancelled",
            {"error": "cancelled by ann while fitting"},
        )

    def test_comes_before_a_promotion(self, engine: Engine, tmp_path: Path):
        """However near the challenger was: whoever cancelled wants no new champion."""
        asked, promoted = _ask(engine), []

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            _cancel(engine, asked)
            return RetrainOutcome(None, None, "promoted", {}, lambda *_, **__: promoted.append(1))

        _worker(engine, tmp_path, work).run_once()
        assert (_stored(engine, asked).status, promoted) == ("cancelled", [])


class TestKinds:
    """What a worker takes."""

    def test_leaves_other_kinds_to_others(self, engine: Engine, tmp_path: Path):
        """A group of trainings waits for a worker that trains."""
        with transaction(engine) as connection:
            jobs.enqueue_group(
                connection, configs=[{"seed": 1}], reason="r", requested_by="ann", now=NOW
            )

        assert not _worker(engine, tmp_path, _raising(AssertionError())).run_once()


class TestStop:
    """A worker that is told to stop."""

    def test_puts_the_job_back_uncounted(self, engine: Engine, tmp_path: Path):
        """The next worker begins it anew, with all its tries."""
        asked, stop = _ask(engine), threading.Event()

        def work(_job: Job, on_progress: Progress) -> RetrainOutcome:
            on_progress("fitting", 1, 10)
            stop.set()
            on_progress("fitting", 2, 10)
            return REFUSED

        _worker(engine, tmp_path, work).run_once(stop)
        assert (_stored(engine, asked).status, _stored(engine, asked).attempts) == ("queued", 0)

    def test_is_also_how_an_interrupt_from_within_is_taken(self, engine: Engine, tmp_path: Path):
        """While it fits, Lightning answers SIGTERM with an exception of its own."""
        asked, stop = _ask(engine), threading.Event()

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            stop.set()
            raise KeyboardInterrupt

        assert _worker(engine, tmp_path, work).run_once(stop)
        assert (_stored(engine, asked).status, _stored(engine, asked).attempts) == ("queued", 0)

    def test_an_interrupt_nobody_announced_goes_on_outwards(self, engine: Engine, tmp_path: Path):
        """Ctrl-C by hand ends the caller too, and leaves the job for the next."""
        asked = _ask(engine)

        with pytest.raises(KeyboardInterrupt):
            _worker(engine, tmp_path, _raising(KeyboardInterrupt())).run_once()
        assert _stored(engine, asked).status == "queued"

    def test_an_end_that_was_reached_counts(self, engine: Engine, tmp_path: Path):
        """A challenger that is promoted already is not trained again."""
        asked, stop = _ask(engine), threading.Event()

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            stop.set()
            return REFUSED

        _worker(engine, tmp_path, work).run_once(stop)
        assert _stored(engine, asked).status == "refused"


class TestRunForever:
    """The loop around it."""

    def test_carries_out_one_job_after_the_other(self, engine: Engine, tmp_path: Path):
        """A failed job does not end the worker."""
        stop, endings = threading.Event(), [TrainingError("no"), None]

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            if error := endings.pop(0):
                raise error
            return REFUSED

        worker = _worker(engine, tmp_path, work)
        thread = threading.Thread(target=worker.run_forever, args=(stop, 0.05))
        thread.start()
        found = [_ask(engine)]
        _wait(lambda: _stored(engine, found[0]).status == "failed")
        found.append(_ask(engine))
        _wait(lambda: _stored(engine, found[1]).status == "refused")
        stop.set()
        thread.join(timeout=5)

        assert not thread.is_alive()

    def test_waits_for_a_database_that_is_away(self, tmp_path: Path, caplog):
        """Postgres restarts; the worker says so once and looks again."""
        away = create_engine("postgresql://nobody@127.0.0.1:1/nothing")
        stop = threading.Event()
        threading.Timer(1.0, stop.set).start()

        with caplog.at_level(logging.WARNING):
            _worker(away, tmp_path, _raising(AssertionError())).run_forever(stop, 0.1)

        assert [record.levelname for record in caplog.records] == ["WARNING"]


class TestProgram:
    """`python -m trainer`."""

    def test_ends_with_0_when_it_is_told_to(self, database_url: str, tmp_path: Path):
        """What a service manager sends, and what it expects."""
        environment = os.environ | {
            "WEAKSPOT_HOME": str(tmp_path),
            "WEAKSPOT_DATABASE_URL": database_url,
            "WEAKSPOT_TRAINER_POLL_S": "0.1",
        }
        program = subprocess.Popen(
            [sys.executable, "-m", "trainer"], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert program.stderr is not None
        while "waiting for jobs" not in (line := program.stderr.readline()):
            assert line, "it ended before it was ready"
        program.send_signal(signal.SIGTERM)
        _, told = program.communicate(timeout=30)

        assert (program.returncode, "SIGTERM: stopping" in told) == (0, True)
