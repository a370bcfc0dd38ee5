"""What waits for a worker: asked for, cancelled, tried again, found."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from core.errors import ConflictError, NotFoundError, UsageError
from core.store import audit, jobs
from core.store.database import transaction
from core.store.jobs import Outcome
from tests.jobs import (
    LEASE_S,
    NOW,
    ask,
    ask_group,
    at,
    beat,
    cancel,
    claim,
    claimed,
    clear,
    finish,
    stored,
)


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    """An engine on a queue without jobs."""
    yield module_engine
    clear(module_engine)


class TestEnqueue:
    """Asking for a retraining."""

    def test_writes_down_who_asked_and_why(self, engine: Engine):
        """The dashboard tells it months later."""
        job = ask(engine, ["Spider", "Cat"])

        assert (job.labels, job.reason, job.requested_by) == (["Spider", "Cat"], "weak", "monitor")
        assert (job.status, job.attempts, job.requested_at) == ("queued", 0, NOW)
        assert stored(engine, job) == job

    @pytest.mark.parametrize("again", [["Spider", "Cat"], ["Cat", "Spider"], ["Cat"]])
    def test_a_second_request_for_the_cause_is_the_one_in_flight(self, engine: Engine, again):
        """F13: a class that is flagged on five days is retrained once."""
        first = ask(engine, ["Spider", "Cat"])
        claimed(engine)
        second = ask(engine, again)

        assert (second.id, second.labels, second.status) == (
            first.id,
            ["Spider", "Cat"],
            "running",
        )

    def test_another_cause_has_a_job_of_its_own(self, engine: Engine):
        """What a person asks for is not swallowed by what the monitor asked for."""
        first, second = ask(engine, ["Spider"]), ask(engine, ["Cat"])

        assert (second.id > first.id, second.labels) == (True, ["Cat"])

    def test_of_two_requests_at_once_one_makes_the_job(self, engine: Engine):
        """Two monitors, or a person and a script."""
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda _: ask(engine).id, range(8)))

        assert len(set(made)) == 1

    def test_by_a_person_is_in_the_audit_trail(self, engine: Engine):
        """Who asked, when and why; the monitor's own requests have their flag."""
        job = ask(engine)

        with transaction(engine) as connection:
            (deed,) = audit.latest(connection)
        assert (deed.by, deed.at, deed.subject) == ("monitor", NOW, f"job {job.id}")
        assert deed.detail == {"labels": ["Spider"], "reason": "weak"}

    def test_a_request_after_the_end_is_a_new_one(self, engine: Engine):
        """A class may become weak again."""
        first = ask(engine)
        finish(engine, claimed(engine))

        assert ask(engine).id > first.id


class TestGroup:
    """Trainings asked for together."""

    def test_is_one_job_for_each_configuration(self, engine: Engine):
        """A grid of learning rates, one beside the other."""
        made = ask_group(engine, [{"seed": 1}, {"seed": 2}])

        assert [(job.kind, job.status, job.payload) for job in made] == [
            ("train", "queued", {"seed": 1}),
            ("train", "queued", {"seed": 2}),
        ]
        assert {job.group_id for job in made} == {made[0].id}

    def test_refuses_to_be_empty(self, engine: Engine):
        """Nothing would ever end it."""
        with pytest.raises(UsageError, match="one configuration"):
            ask_group(engine, [])

    def test_runs_beside_a_retraining_and_beside_itself(self, engine: Engine):
        """Three workers, three jobs."""
        first, second = ask_group(engine, [{"seed": 1}, {"seed": 2}])
        retraining = ask(engine)

        taken = {claimed(engine, worker).id for worker in "abc"}
        assert taken == {first.id, second.id, retraining.id}

    def test_is_no_retraining_to_the_monitor(self, engine: Engine):
        """A night of experiments must not keep an alert from its retraining."""
        ask_group(engine, [{"seed": 1}])

        with transaction(engine) as connection:
            assert jobs.in_flight(connection) is None
            assert jobs.latest(connection) == []


class TestCancel:
    """Somebody wants no more of it."""

    def test_ends_a_waiting_job_at_once(self, engine: Engine):
        """Nobody works on it."""
        job = ask(engine)
        ended = cancel(engine, job)

        assert (ended.status, ended.finished_at) == ("cancelled", at(5))
        assert ended.result == {"error": "cancelled by ann"}
        assert claim(engine) is None

    def test_is_heard_of_at_the_next_report(self, engine: Engine):
        """A job under way is its worker's to end."""
        ask(engine)
        job = claimed(engine)
        asked = cancel(engine, job)

        assert (asked.status, asked.cancelled_by) == ("running", "ann")
        with transaction(engine) as connection:
            assert jobs.require_fence(connection, job) == "ann"
        assert beat(engine, job, at(6)) == "ann"

    def test_ends_a_job_whose_worker_is_silent(self, engine: Engine):
        """Nobody is left to hear of it."""
        ask(engine)
        job = claimed(engine)

        assert cancel(engine, job, at(LEASE_S + 1)).status == "cancelled"

    def test_counts_when_the_worker_falls_silent_after_it(self, engine: Engine):
        """The next worker must not begin it anew."""
        asked = ask(engine)
        cancel(engine, claimed(engine))

        assert claim(engine, "b", at(2 * LEASE_S)) is None
        assert stored(engine, asked).status == "cancelled"

    def test_of_a_job_that_has_ended_is_a_conflict(self, engine: Engine):
        """What was decided stays decided."""
        job = ask(engine)
        finish(engine, claimed(engine))

        with pytest.raises(ConflictError, match=f"job {job.id} has ended: refused"):
            cancel(engine, job)

    def test_is_in_the_audit_trail(self, engine: Engine):
        """Who ended it."""
        job = ask(engine)
        cancel(engine, job)

        with transaction(engine) as connection:
            deed = audit.latest(connection)[0]
        assert (deed.by, deed.action, deed.subject) == ("ann", "cancel", f"job {job.id}")


class TestRetry:
    """Once more, because a person says so."""

    @pytest.mark.parametrize("end", ["failed", "cancelled"])
    def test_gives_all_tries_anew_and_keeps_the_old_ones(self, engine: Engine, end: Outcome):
        """The disk was full; now it is not."""
        ask(engine)
        finish(engine, job := claimed(engine), end)
        with transaction(engine) as connection:
            again = jobs.retry(connection, job.id, by="ann", now=at(60))

        assert (again.status, again.attempts, again.result) == ("queued", 0, None)
        second = claimed(engine, "b")
        assert (second.attempts, len(second.tries), second.fence) == (1, 2, 2)

    def test_is_refused_to_a_job_that_was_decided(self, engine: Engine):
        """A refused challenger is no mishap; another retraining is another job."""
        ask(engine)
        finish(engine, job := claimed(engine), "refused")

        with pytest.raises(ConflictError, match="is refused"), transaction(engine) as connection:
            jobs.retry(connection, job.id, by="ann", now=NOW)

    def test_is_refused_while_its_cause_has_another_job(self, engine: Engine):
        """F13."""
        ask(engine)
        finish(engine, job := claimed(engine), "failed")
        ask(engine)

        with pytest.raises(ConflictError, match="another job"), transaction(engine) as connection:
            jobs.retry(connection, job.id, by="ann", now=NOW)


class TestReading:
    """What the monitor and the dashboard ask."""

    def test_finds_the_last_job_of_a_class(self, engine: Engine):
        """The cool-down counts from it, whatever other classes were in it."""
        ask(engine, ["Spider", "Cat"])
        finish(engine, claimed(engine))
        second = ask(engine, ["Spider"])

        with transaction(engine) as connection:
            cat, spider, dog = (
                jobs.last_for_label(connection, label) for label in ("Cat", "Spider", "Dog")
            )
        assert (cat and cat.labels, spider, dog) == (["Spider", "Cat"], second, None)

    def test_a_class_whose_name_is_part_of_another_is_not_found(self, engine: Engine):
        """'Cat' is not 'Caterpillar'."""
        ask(engine, ["Caterpillar"])

        with transaction(engine) as connection:
            assert jobs.last_for_label(connection, "Cat") is None

    def test_lists_the_newest_first(self, engine: Engine):
        """As the dashboard shows them."""
        first = ask(engine)
        finish(engine, claimed(engine))
        second = ask(engine)

        with transaction(engine) as connection:
            assert [job.id for job in jobs.latest(connection)] == [second.id, first.id]
            assert jobs.in_flight(connection) == second

    def test_lists_bare_what_only_happened(self, engine: Engine):
        """The gate's numbers of 2,500 classes are half a megabyte a job."""
        ask(engine)
        finish(engine, claimed(engine))

        with transaction(engine) as connection:
            whole, bare = (jobs.latest(connection, bare=bare)[0] for bare in (False, True))

        assert whole.result is not None
        assert bare == replace(whole, result=None, progress={}, payload={}, tries=[])

    def test_lists_what_was_aimed_at_a_class(self, engine: Engine):
        """And nothing that was aimed at one with a similar name."""
        first = ask(engine, ["Spider", "Cat"])
        finish(engine, claimed(engine))
        ask(engine, ["Caterpillar"])

        with transaction(engine) as connection:
            assert [job.id for job in jobs.latest(connection, label="Cat")] == [first.id]

    def test_refuses_a_number_that_does_not_exist(self, engine: Engine):
        """A mistyped number is no empty answer."""
        with pytest.raises(NotFoundError, match="no job 7"), transaction(engine) as connection:
            jobs.get(connection, 7)
