"""Which job is next, who works on it, and whose writes count."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.errors import StaleRunError
from core.store import jobs
from core.store.database import transaction
from tests.integration.test_alerts import open_alert
from tests.jobs import LEASE_S, NOW, ask, ask_group, at, beat, claim, claimed, clear, finish, stored
from tests.pool import register


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    """An engine on a queue without jobs."""
    yield module_engine
    clear(module_engine)


class TestOrder:
    """Which job is next."""

    def test_an_alert_goes_before_what_people_ask_for(self, engine: Engine):
        """Traffic is answered wrongly meanwhile."""
        by_hand = ask(engine, ["Cat"], at(-60))
        with transaction(engine) as connection:
            flag = open_alert(connection, "Spider").flag
            by_alert = jobs.enqueue(
                connection, labels=["Spider"], reason="r", requested_by="m", now=NOW, flag=flag
            )

        assert claimed(engine).id == by_alert.id
        finish(engine, by_alert_claimed := stored(engine, by_alert))
        assert by_alert_claimed.priority > by_hand.priority
        assert claimed(engine).id == by_hand.id

    def test_retrainings_run_one_at_a_time(self, engine: Engine):
        """Each begins from the champion that the one before it may have made."""
        ask(engine, ["Spider"])
        second = ask(engine, ["Cat"])
        first = claimed(engine, "a")

        assert claim(engine, "b") is None
        finish(engine, first)
        assert claimed(engine, "b").id == second.id

    def test_ten_workers_at_once_never_run_two_retrainings(self, engine: Engine):
        """The lock is what makes one claim see the other."""
        for label in "ABCDEF":
            ask(engine, [label])
        with ThreadPoolExecutor(10) as threads:
            taken = list(threads.map(lambda i: claim(engine, f"w{i}"), range(20)))

        assert sum(job is not None for job in taken) == 1

    def test_a_worker_takes_the_kinds_it_is_for(self, engine: Engine):
        """One that trains groups leaves the alert's retraining to another."""
        ask(engine)
        (training,) = ask_group(engine, [{"seed": 1}])

        with transaction(engine) as connection:
            taken = jobs.claim_oldest(
                connection, worker="a", now=NOW, lease_s=60, max_attempts=3, kinds=["train"]
            )
        assert taken is not None
        assert taken.id == training.id


class TestClaim:
    """Taking a job."""

    def test_of_two_workers_one_gets_it(self, engine: Engine):
        """One job is trained once."""
        ask(engine)
        first, second = claimed(engine, "a"), claim(engine, "b")

        assert (first.worker, first.fence, first.attempts) == ("a", 1, 1)
        assert second is None

    def test_the_second_does_not_wait_for_the_first(self, engine: Engine):
        """SKIP LOCKED: a claim that is still open holds up nobody."""
        ask(engine)

        with transaction(engine) as connection:
            assert jobs.claim_oldest(
                connection, worker="a", now=NOW, lease_s=LEASE_S, max_attempts=3
            )
            assert claim(engine, "b") is None

    def test_nothing_waits_in_an_empty_queue(self, engine: Engine):
        """Most of its life a worker looks in vain."""
        assert claim(engine) is None

    def test_a_finished_job_is_not_taken_again(self, engine: Engine):
        """Not even when its lease is long over."""
        ask(engine)
        finish(engine, claimed(engine))

        assert claim(engine, "b", at(10 * LEASE_S)) is None

    def test_a_silent_worker_is_replaced_when_its_lease_has_run_out(self, engine: Engine):
        """A worker that was killed does not keep its job for ever."""
        ask(engine)
        claimed(engine, "a")

        assert claim(engine, "b", at(LEASE_S - 1)) is None
        second = claimed(engine, "b", at(LEASE_S + 1))
        assert (second.worker, second.fence, second.attempts) == ("b", 2, 2)
        assert second.started_at == NOW

    def test_gives_up_a_job_that_kills_its_workers(self, engine: Engine):
        """A job that takes more memory than there is must not be tried for ever."""
        asked = ask(engine)
        for turn in range(3):
            claimed(engine, f"w{turn}", at(turn * 2 * LEASE_S))

        assert claim(engine, "w3", at(6 * LEASE_S)) is None
        ended = stored(engine, asked)
        assert ended.result is not None
        assert (ended.status, ended.finished_at) == ("failed", at(6 * LEASE_S))
        told = "given up after 3 tries: its workers fell silent, w2 while beginning"
        assert ended.result["error"] == told

    def test_gives_up_a_waiting_job_when_the_owner_lowers_the_tries(self, engine: Engine):
        """It could never be claimed, and would keep out every other request."""
        asked = ask(engine)
        with transaction(engine) as connection:
            job = jobs.claim_oldest(
                connection, worker="a", now=NOW, lease_s=LEASE_S, max_attempts=3
            )
            assert job is not None
            jobs.give_back(connection, job, now=NOW, why="no luck", counted=True)

        assert claim(engine, "b", max_attempts=1) is None
        assert stored(engine, asked).status == "failed"


class TestTries:
    """What is kept of each claim."""

    def test_says_who_when_how_far_and_why_it_ended(self, engine: Engine):
        """A job that fails on one machine alone is found by this."""
        ask(engine)
        job = claimed(engine, "a")
        beat(engine, job, at(5))
        second = claimed(engine, "b", at(5 + LEASE_S + 1))
        finish(engine, second)

        first, last = stored(engine, job).tries
        assert (first["worker"], first["stage"]) == ("a", "fitting")
        assert first["why"] == "its worker fell silent"
        assert datetime.fromisoformat(first["started_at"]) == NOW
        assert datetime.fromisoformat(first["ended_at"]) == at(66)
        assert (last["worker"], last["why"]) == ("b", "refused")

    def test_keeps_the_reason_of_one_that_was_put_back(self, engine: Engine):
        """The last one is why the job has failed, when no more are left."""
        ask(engine)
        job = claimed(engine)
        with transaction(engine) as connection:
            jobs.give_back(connection, job, now=at(1), why="the disk is full", counted=True)

        assert claim(engine, max_attempts=1) is None
        ended = stored(engine, job)
        assert ended.tries[0]["why"] == "the disk is full"
        assert ended.result == {"error": "given up after 1 tries: the disk is full"}

    def test_passes_outlive_a_try(self, engine: Engine):
        """The next worker goes on after them."""
        ask(engine)
        job = claimed(engine)
        progress = {"stage": "fitting", "done": 9, "total": 9, "epochs": [{"number": 1}]}
        with transaction(engine) as connection:
            jobs.heartbeat(connection, job, now=NOW, lease_s=LEASE_S, progress=progress)

        assert claimed(engine, "b", at(99)).progress == {"epochs": [{"number": 1}]}


class TestEnd:
    """How a job that came to something is kept."""

    def test_has_no_stage_and_names_its_champion(self, engine: Engine, tmp_path: Path):
        """A stage beside the end reads as if something had broken off."""
        register(engine, tmp_path, name="v1", promoted_at=None)
        ask(engine)
        job = claimed(engine)
        beat(engine, job, NOW)
        with transaction(engine) as connection:
            result = {"champion": "v1", "missing": {"Spider": 3}}
            jobs.finish(connection, job, status="more images", result=result, now=at(30))

        ended = stored(engine, job)
        assert (ended.progress, ended.parent) == ({}, "v1")
        assert (ended.tries[0]["why"], ended.tries[0]["stage"]) == ("more images", None)


class TestHeartbeat:
    """Being heard of."""

    def test_keeps_the_job_and_tells_how_far_it_is(self, engine: Engine):
        """A long training is not taken away while it makes progress."""
        ask(engine)
        job = claimed(engine, "a")
        beat(engine, job, at(LEASE_S - 1))

        assert claim(engine, "b", at(LEASE_S + 1)) is None
        assert stored(engine, job).progress == {"stage": "fitting", "done": 1, "total": 3}

    @pytest.mark.parametrize("write", [lambda e, j: beat(e, j, at(99)), finish])
    def test_a_replaced_worker_cannot_write(self, engine: Engine, write):
        """One that was only slow must not overwrite what its successor does."""
        ask(engine)
        stale = claimed(engine, "a")
        current = claimed(engine, "b", at(LEASE_S + 1))

        with pytest.raises(StaleRunError, match=f"job {stale.id} was taken over"):
            write(engine, stale)
        assert stored(engine, stale) == current

    def test_the_fence_guards_what_is_written_beside_the_job(self, engine: Engine):
        """A promotion by a worker that lost its job is refused in the same transaction."""
        ask(engine)
        stale = claimed(engine, "a")
        current = claimed(engine, "b", at(LEASE_S + 1))

        with transaction(engine) as connection:
            jobs.require_fence(connection, current)
        with pytest.raises(StaleRunError), transaction(engine) as connection:
            jobs.require_fence(connection, stale)


class TestFinish:
    """The end of a job."""

    def test_is_written_once(self, engine: Engine):
        """What was decided stays decided."""
        ask(engine)
        job = claimed(engine)
        finish(engine, job, "more images")

        with pytest.raises(StaleRunError):
            finish(engine, job, "promoted")
        ended = stored(engine, job)
        assert (ended.status, ended.result, ended.finished_at) == ("more images", {"n": 1}, at(30))
        assert ended.lease_until is None


class TestGiveBack:
    """A worker that is told to stop."""

    def test_leaves_the_job_as_if_it_had_never_been_claimed(self, engine: Engine):
        """A deployment in the middle of a training costs none of the tries."""
        asked = ask(engine)
        job = claimed(engine)
        beat(engine, job, NOW)
        with transaction(engine) as connection:
            assert jobs.give_back(connection, job, now=NOW, why="told to stop")

        waiting = stored(engine, asked)
        assert (waiting.status, waiting.attempts, waiting.progress) == ("queued", 0, {})
        assert claimed(engine, "b").fence == 2

    def test_counts_a_try_that_met_an_obstacle(self, engine: Engine):
        """Otherwise a job that always fails the same way would go round for ever."""
        asked = ask(engine)
        job = claimed(engine)
        with transaction(engine) as connection:
            jobs.give_back(connection, job, now=NOW, why="no luck", counted=True)

        assert (stored(engine, asked).status, stored(engine, asked).attempts) == ("queued", 1)

    def test_does_nothing_to_a_job_that_was_taken_over(self, engine: Engine):
        """It is not this worker's to give any more."""
        ask(engine)
        stale = claimed(engine, "a")
        current = claimed(engine, "b", at(LEASE_S + 1))

        with transaction(engine) as connection:
            assert not jobs.give_back(connection, stale, now=NOW, why="told to stop")
        assert stored(engine, stale) == current
