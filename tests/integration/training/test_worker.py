"""The worker holds its job, hears of its end, and stops when it is told to."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.clock import FixedClock, ShiftedClock, SystemClock
from core.errors import TrainingError
from core.store import jobs
from core.store.database import create_engine, transaction
from core.store.jobs import Job
from tests.jobs import clear
from tests.one_worker import (
    LEASE_S,
    NOW,
    PASS,
    REFUSED,
    Progress,
    ask,
    cancel,
    raising,
    stored,
    wait_for,
    worker_of,
)
from trainer.fitting.passes import OnEpoch
from trainer.lease import Lease
from trainer.pipeline import RetrainOutcome


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    """An engine on a queue without jobs."""
    yield module_engine
    clear(module_engine)


class TestLease:
    """While a job runs."""

    def test_progress_is_there_to_be_read(self, engine: Engine, tmp_path: Path):
        """The dashboard shows how far it is, a second later at most."""
        asked = ask(engine)

        def work(job: Job, on_progress: Progress) -> RetrainOutcome:
            on_progress("fitting", 3, 10)
            told = {"stage": "fitting", "done": 3, "total": 10}
            wait_for(lambda: stored(engine, job).progress == told)
            return REFUSED

        worker_of(engine, tmp_path, work).run_once()
        assert stored(engine, asked).status == "refused"

    def test_a_silent_step_keeps_the_job(self, engine: Engine, tmp_path: Path):
        """An export says nothing for a minute, and is not taken for dead."""
        asked = ask(engine, datetime.now(UTC))

        def work(job: Job, _on_progress: Progress) -> RetrainOutcome:
            assert job.lease_until is not None
            until = job.lease_until + timedelta(seconds=2)
            wait_for(lambda: (stored(engine, job).lease_until or until) > until)
            return REFUSED

        worker_of(engine, tmp_path, work, clock=SystemClock(), lease_s=3).run_once()
        assert stored(engine, asked).status == "refused"

    def test_a_clock_moved_forward_does_not_cost_the_job(self, engine: Engine, tmp_path: Path):
        """The demonstration's next day begins while a training runs."""
        asked = ask(engine, datetime.now(UTC))
        shift = tmp_path / "clock"

        def work(job: Job, _on_progress: Progress) -> RetrainOutcome:
            assert job.lease_until is not None
            tomorrow = job.lease_until + timedelta(hours=23)
            shift.write_text("86400")
            wait_for(lambda: (stored(engine, job).lease_until or tomorrow) > tomorrow)
            return REFUSED

        worker_of(engine, tmp_path, work, clock=ShiftedClock(shift)).run_once()
        assert stored(engine, asked).status == "refused"

    def test_a_job_that_was_taken_over_is_dropped_unwritten(self, engine: Engine, tmp_path: Path):
        """Two workers on one job: the one that holds it decides."""
        asked = ask(engine)

        def work(_job: Job, on_progress: Progress) -> RetrainOutcome:
            with transaction(engine) as connection:
                later = NOW + timedelta(seconds=LEASE_S + 1)
                jobs.claim_oldest(connection, worker="b", now=later, lease_s=60, max_attempts=9)
            for step in range(200):
                on_progress("fitting", step, 200)
                time.sleep(0.05)
            return REFUSED

        assert worker_of(engine, tmp_path, work).run_once()
        held = stored(engine, asked)
        assert (held.status, held.worker, held.result) == ("running", "b", None)

    def test_an_end_after_the_job_was_lost_is_not_written(self, engine: Engine, tmp_path: Path):
        """Not even when the loser heard of it only at the end."""
        asked = ask(engine)

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            with transaction(engine) as connection:
                later = NOW + timedelta(seconds=LEASE_S + 1)
                jobs.claim_oldest(connection, worker="b", now=later, lease_s=60, max_attempts=9)
            return REFUSED

        assert worker_of(engine, tmp_path, work).run_once()
        assert (stored(engine, asked).worker, stored(engine, asked).status) == ("b", "running")


class TestPasses:
    """The passes over the training images, while they are made."""

    def test_are_there_to_be_read(self, engine: Engine, tmp_path: Path):
        """Whoever waits sees whether it learns; what is no number is null."""
        asked = ask(engine)

        def work(_engine: Engine, job: Job, *, on_progress: Progress, on_epoch: OnEpoch, **_: Any):
            on_progress("fitting", 3, 9)
            on_epoch(PASS)
            wait_for(lambda: "epochs" in stored(engine, job).progress)
            return REFUSED

        worker = worker_of(engine, tmp_path, raising(AssertionError()))
        replace(worker, work={"retrain": work}).run_once()
        (told,) = stored(engine, asked).progress["epochs"]
        assert (told["number"], told["val_accuracy"], told["val_loss"]) == (1, 0.75, None)

    def test_of_a_try_that_begins_anew_replace_those_before(self, engine: Engine, tmp_path: Path):
        """Ten passes are not shown as thirteen."""
        ask(engine)
        with transaction(engine) as connection:
            job = jobs.claim_oldest(connection, worker="a", now=NOW, lease_s=60, max_attempts=9)
            assert job is not None
            known = {"epochs": [{"number": 1}, {"number": 2}, {"number": 3}]}
            jobs.heartbeat(connection, job, now=NOW, lease_s=60, progress=known)
            job = jobs.get(connection, job.id)
        with Lease(engine, job, FixedClock(NOW), 60, threading.Event()) as lease:
            lease.on_epoch(replace(PASS, number=2))
            wait_for(lambda: len(stored(engine, job).progress["epochs"]) == 2)

        assert [each["number"] for each in stored(engine, job).progress["epochs"]] == [1, 2]


class TestCancelling:
    """Somebody wants no more of a job under way."""

    def test_ends_it_at_its_next_report(self, engine: Engine, tmp_path: Path):
        """Within seconds, where reports are made."""
        asked = ask(engine)

        def work(_job: Job, on_progress: Progress) -> RetrainOutcome:
            cancel(engine, asked)
            for step in range(200):
                on_progress("fitting", step, 200)
                time.sleep(0.05)
            return REFUSED

        assert worker_of(engine, tmp_path, work).run_once()
        ended = stored(engine, asked)
        assert (ended.status, ended.result) == (
            "cancelled",
            {"error": "cancelled by ann while fitting"},
        )

    def test_comes_before_a_promotion(self, engine: Engine, tmp_path: Path):
        """However near the challenger was: whoever cancelled wants no new champion."""
        asked, promoted = ask(engine), []

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            cancel(engine, asked)
            return RetrainOutcome(None, None, "promoted", {}, lambda *_, **__: promoted.append(1))

        worker_of(engine, tmp_path, work).run_once()
        assert (stored(engine, asked).status, promoted) == ("cancelled", [])


class TestKinds:
    """What a worker takes."""

    def test_leaves_other_kinds_to_others(self, engine: Engine, tmp_path: Path):
        """A group of trainings waits for a worker that trains."""
        with transaction(engine) as connection:
            jobs.enqueue_group(
                connection, configs=[{"seed": 1}], reason="r", requested_by="ann", now=NOW
            )

        assert not worker_of(engine, tmp_path, raising(AssertionError())).run_once()


class TestStop:
    """A worker that is told to stop."""

    def test_puts_the_job_back_uncounted(self, engine: Engine, tmp_path: Path):
        """The next worker begins it anew, with all its tries."""
        asked, stop = ask(engine), threading.Event()

        def work(_job: Job, on_progress: Progress) -> RetrainOutcome:
            on_progress("fitting", 1, 10)
            stop.set()
            on_progress("fitting", 2, 10)
            return REFUSED

        worker_of(engine, tmp_path, work).run_once(stop)
        assert (stored(engine, asked).status, stored(engine, asked).attempts) == ("queued", 0)

    def test_is_also_how_an_interrupt_from_within_is_taken(self, engine: Engine, tmp_path: Path):
        """While it fits, Lightning answers SIGTERM with an exception of its own."""
        asked, stop = ask(engine), threading.Event()

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            stop.set()
            raise KeyboardInterrupt

        assert worker_of(engine, tmp_path, work).run_once(stop)
        assert (stored(engine, asked).status, stored(engine, asked).attempts) == ("queued", 0)

    def test_an_interrupt_nobody_announced_goes_on_outwards(self, engine: Engine, tmp_path: Path):
        """Ctrl-C by hand ends the caller too, and leaves the job for the next."""
        asked = ask(engine)

        with pytest.raises(KeyboardInterrupt):
            worker_of(engine, tmp_path, raising(KeyboardInterrupt())).run_once()
        assert stored(engine, asked).status == "queued"

    def test_an_end_that_was_reached_counts(self, engine: Engine, tmp_path: Path):
        """A challenger that is promoted already is not trained again."""
        asked, stop = ask(engine), threading.Event()

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            stop.set()
            return REFUSED

        worker_of(engine, tmp_path, work).run_once(stop)
        assert stored(engine, asked).status == "refused"


class TestRunForever:
    """The loop around it."""

    def test_carries_out_one_job_after_the_other(self, engine: Engine, tmp_path: Path):
        """A failed job does not end the worker."""
        stop, endings = threading.Event(), [TrainingError("no"), None]

        def work(_job: Job, _on_progress: Progress) -> RetrainOutcome:
            if error := endings.pop(0):
                raise error
            return REFUSED

        worker = worker_of(engine, tmp_path, work)
        thread = threading.Thread(target=worker.run_forever, args=(stop, 0.05))
        thread.start()
        found = [ask(engine)]
        wait_for(lambda: stored(engine, found[0]).status == "failed")
        found.append(ask(engine))
        wait_for(lambda: stored(engine, found[1]).status == "refused")
        stop.set()
        thread.join(timeout=5)

        assert not thread.is_alive()

    def test_waits_for_a_database_that_is_away(self, tmp_path: Path, caplog):
        """Postgres restarts; the worker says so once and looks again."""
        away = create_engine("postgresql://nobody@127.0.0.1:1/nothing")
        stop = threading.Event()
        threading.Timer(1.0, stop.set).start()

        with caplog.at_level(logging.WARNING):
            worker_of(away, tmp_path, raising(AssertionError())).run_forever(stop, 0.1)

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
