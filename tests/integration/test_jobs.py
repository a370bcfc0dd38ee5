"""Which retraining waits, who works on it, and whose writes count."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from core.errors import NotFoundError, StaleRunError
from core.store import jobs
from core.store.database import transaction
from core.store.jobs import Job, Outcome

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
LEASE_S = 60


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _ask(engine: Engine, labels: Sequence[str] = ("Spider",), now: datetime = NOW) -> Job:
    with transaction(engine) as connection:
        return jobs.enqueue(
            connection, labels=list(labels), reason="weak", requested_by="monitor", now=now
        )


def _claim(
    engine: Engine, worker: str = "a", now: datetime = NOW, max_attempts: int = 3
) -> Job | None:
    with transaction(engine) as connection:
        return jobs.claim_oldest(
            connection, worker=worker, now=now, lease_s=LEASE_S, max_attempts=max_attempts
        )


def _claimed(engine: Engine, worker: str = "a", now: datetime = NOW) -> Job:
    job = _claim(engine, worker, now)
    assert job is not None
    return job


def _beat(engine: Engine, job: Job, now: datetime) -> None:
    progress = {"stage": "fitting", "done": 1, "total": 3}
    with transaction(engine) as connection:
        jobs.heartbeat(connection, job, now=now, lease_s=LEASE_S, progress=progress)


def _finish(engine: Engine, job: Job, status: Outcome = "refused") -> None:
    with transaction(engine) as connection:
        jobs.finish(connection, job, status=status, result={"n": 1}, now=_at(30))


def _stored(engine: Engine, job: Job) -> Job:
    with transaction(engine) as connection:
        return jobs.get(connection, job.id)


class TestEnqueue:
    """Asking for a retraining."""

    def test_writes_down_who_asked_and_why(self, engine: Engine):
        """The dashboard tells it months later."""
        job = _ask(engine, ["Spider", "Cat"])

        assert (job.labels, job.reason, job.requested_by) == (["Spider", "Cat"], "weak", "monitor")
        assert (job.status, job.attempts, job.requested_at) == ("queued", 0, NOW)
        assert _stored(engine, job) == job

    def test_a_second_request_is_the_one_in_flight(self, engine: Engine):
        """Two trainings at once would fight for the machine and for the alias."""
        first = _ask(engine, ["Spider"])
        _claimed(engine)
        second = _ask(engine, ["Cat"])

        assert (second.id, second.labels, second.status) == (first.id, ["Spider"], "running")

    def test_a_request_after_the_end_is_a_new_one(self, engine: Engine):
        """A class may become weak again."""
        first = _ask(engine)
        _finish(engine, _claimed(engine))

        assert _ask(engine).id > first.id


class TestClaim:
    """Taking a job."""

    def test_of_two_workers_one_gets_it(self, engine: Engine):
        """One job is trained once."""
        _ask(engine)
        first, second = _claimed(engine, "a"), _claim(engine, "b")

        assert (first.worker, first.fence, first.attempts) == ("a", 1, 1)
        assert second is None

    def test_the_second_does_not_wait_for_the_first(self, engine: Engine):
        """SKIP LOCKED: a claim that is still open holds up nobody."""
        _ask(engine)

        with transaction(engine) as connection:
            assert jobs.claim_oldest(
                connection, worker="a", now=NOW, lease_s=LEASE_S, max_attempts=3
            )
            assert _claim(engine, "b") is None

    def test_nothing_waits_in_an_empty_queue(self, engine: Engine):
        """Most of its life a worker looks in vain."""
        assert _claim(engine) is None

    def test_a_finished_job_is_not_taken_again(self, engine: Engine):
        """Not even when its lease is long over."""
        _ask(engine)
        _finish(engine, _claimed(engine))

        assert _claim(engine, "b", _at(10 * LEASE_S)) is None

    def test_a_silent_worker_is_replaced_when_its_lease_has_run_out(self, engine: Engine):
        """A worker that was killed does not keep its job for ever."""
        _ask(engine)
        _claimed(engine, "a")

        assert _claim(engine, "b", _at(LEASE_S - 1)) is None
        second = _claimed(engine, "b", _at(LEASE_S + 1))
        assert (second.worker, second.fence, second.attempts) == ("b", 2, 2)
        assert second.started_at == NOW

    def test_gives_up_a_job_that_kills_its_workers(self, engine: Engine):
        """A job that takes more memory than there is must not be tried for ever."""
        asked = _ask(engine)
        for turn in range(3):
            _claimed(engine, f"w{turn}", _at(turn * 2 * LEASE_S))

        assert _claim(engine, "w3", _at(6 * LEASE_S)) is None
        ended = _stored(engine, asked)
        assert ended.result is not None
        assert (ended.status, ended.finished_at) == ("failed", _at(6 * LEASE_S))
        assert ended.result["error"].startswith("given up after 3 tries: its workers fell silent")
        assert ended.result["error"].endswith("w2")

    def test_gives_up_a_waiting_job_when_the_owner_lowers_the_tries(self, engine: Engine):
        """It could never be claimed, and would keep out every other request."""
        asked = _ask(engine)
        with transaction(engine) as connection:
            job = jobs.claim_oldest(
                connection, worker="a", now=NOW, lease_s=LEASE_S, max_attempts=3
            )
            assert job is not None
            jobs.give_back(connection, job, counted=True)

        assert _claim(engine, "b", max_attempts=1) is None
        assert _stored(engine, asked).status == "failed"


class TestHeartbeat:
    """Being heard of."""

    def test_keeps_the_job_and_tells_how_far_it_is(self, engine: Engine):
        """A long training is not taken away while it makes progress."""
        _ask(engine)
        job = _claimed(engine, "a")
        _beat(engine, job, _at(LEASE_S - 1))

        assert _claim(engine, "b", _at(LEASE_S + 1)) is None
        assert _stored(engine, job).progress == {"stage": "fitting", "done": 1, "total": 3}

    @pytest.mark.parametrize("write", [lambda e, j: _beat(e, j, _at(99)), _finish])
    def test_a_replaced_worker_cannot_write(self, engine: Engine, write):
        """One that was only slow must not overwrite what its successor does."""
        _ask(engine)
        stale = _claimed(engine, "a")
        current = _claimed(engine, "b", _at(LEASE_S + 1))

        with pytest.raises(StaleRunError, match=f"job {stale.id} was taken over"):
            write(engine, stale)
        assert _stored(engine, stale) == current

    def test_the_fence_guards_what_is_written_beside_the_job(self, engine: Engine):
        """A promotion by a worker that lost its job is refused in the same transaction."""
        _ask(engine)
        stale = _claimed(engine, "a")
        current = _claimed(engine, "b", _at(LEASE_S + 1))

        with transaction(engine) as connection:
            jobs.require_fence(connection, current)
        with pytest.raises(StaleRunError), transaction(engine) as connection:
            jobs.require_fence(connection, stale)


class TestFinish:
    """The end of a job."""

    def test_is_written_once(self, engine: Engine):
        """What was decided stays decided."""
        _ask(engine)
        job = _claimed(engine)
        _finish(engine, job, "more images")

        with pytest.raises(StaleRunError):
            _finish(engine, job, "promoted")
        ended = _stored(engine, job)
        assert (ended.status, ended.result, ended.finished_at) == ("more images", {"n": 1}, _at(30))
        assert ended.lease_until is None


class TestGiveBack:
    """A worker that is told to stop."""

    def test_leaves_the_job_as_if_it_had_never_been_claimed(self, engine: Engine):
        """A deployment in the middle of a training costs none of the tries."""
        asked = _ask(engine)
        job = _claimed(engine)
        _beat(engine, job, NOW)
        with transaction(engine) as connection:
            assert jobs.give_back(connection, job)

        waiting = _stored(engine, asked)
        assert (waiting.status, waiting.attempts, waiting.progress) == ("queued", 0, {})
        assert _claimed(engine, "b").fence == 2

    def test_counts_a_try_that_met_an_obstacle(self, engine: Engine):
        """Otherwise a job that always fails the same way would go round for ever."""
        asked = _ask(engine)
        job = _claimed(engine)
        with transaction(engine) as connection:
            jobs.give_back(connection, job, counted=True)

        assert (_stored(engine, asked).status, _stored(engine, asked).attempts) == ("queued", 1)

    def test_does_nothing_to_a_job_that_was_taken_over(self, engine: Engine):
        """It is not this worker's to give any more."""
        _ask(engine)
        stale = _claimed(engine, "a")
        current = _claimed(engine, "b", _at(LEASE_S + 1))

        with transaction(engine) as connection:
            assert not jobs.give_back(connection, stale)
        assert _stored(engine, stale) == current


class TestReading:
    """What the monitor and the dashboard ask."""

    def test_finds_the_last_job_of_a_class(self, engine: Engine):
        """The cool-down counts from it, whatever other classes were in it."""
        _ask(engine, ["Spider", "Cat"])
        _finish(engine, _claimed(engine))
        second = _ask(engine, ["Spider"])

        with transaction(engine) as connection:
            cat, spider, dog = (
                jobs.last_for_label(connection, label) for label in ("Cat", "Spider", "Dog")
            )
        assert (cat and cat.labels, spider, dog) == (["Spider", "Cat"], second, None)

    def test_a_class_whose_name_is_part_of_another_is_not_found(self, engine: Engine):
        """'Cat' is not 'Caterpillar'."""
        _ask(engine, ["Caterpillar"])

        with transaction(engine) as connection:
            assert jobs.last_for_label(connection, "Cat") is None

    def test_lists_the_newest_first(self, engine: Engine):
        """As the dashboard shows them."""
        first = _ask(engine)
        _finish(engine, _claimed(engine))
        second = _ask(engine)

        with transaction(engine) as connection:
            assert [job.id for job in jobs.latest(connection)] == [second.id, first.id]
            assert jobs.in_flight(connection) == second

    def test_refuses_a_number_that_does_not_exist(self, engine: Engine):
        """A mistyped number is no empty answer."""
        with pytest.raises(NotFoundError, match="no job 7"), transaction(engine) as connection:
            jobs.get(connection, 7)
