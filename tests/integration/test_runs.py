"""Who holds a slot, and whose writes count."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.errors import StaleRunError
from core.store import database, runs
from core.store.database import transaction
from core.store.runs import Run, Slot

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
SLOT = Slot("day", "v1", "2026-03-01")
LEASE_S = 300


def _claim(engine: Engine, holder: str, now: datetime = NOW) -> Run | None:
    with transaction(engine) as connection:
        return runs.claim(connection, SLOT, holder=holder, now=now, lease_s=LEASE_S)


def _finish(engine: Engine, run: Run, outcome: str = "done") -> None:
    with transaction(engine) as connection:
        runs.finish(connection, run, outcome=outcome, now=NOW, detail={"n": 1})


class TestClaim:
    """Taking a slot."""

    def test_f04_of_two_holders_one_gets_the_slot(self, engine: Engine):
        """F04: two monitors that wake at once are one run."""
        first, second = _claim(engine, "a"), _claim(engine, "b")

        assert (first is not None, second) == (True, None)

    def test_f04_the_loser_learns_who_holds_it(self, engine: Engine):
        """F04: the log of the second monitor names the first."""
        _claim(engine, "a")

        with transaction(engine) as connection:
            assert runs.held_by(connection, SLOT, now=NOW) == "a"

    def test_f05_a_silent_holder_is_replaced_when_its_lease_has_run_out(self, engine: Engine):
        """F05: a monitor that was killed does not keep its day for ever."""
        _claim(engine, "a")
        second = _claim(engine, "b", NOW + timedelta(seconds=LEASE_S))

        assert second is not None
        assert (second.holder, second.fence) == ("b", 2)

    def test_a_heartbeat_keeps_the_slot(self, engine: Engine):
        """A long exam is not taken away while it makes progress."""
        run = _claim(engine, "a")
        later = NOW + timedelta(seconds=LEASE_S - 1)
        with transaction(engine) as connection:
            runs.heartbeat(connection, run, now=later, lease_s=LEASE_S)

        assert _claim(engine, "b", NOW + timedelta(seconds=LEASE_S)) is None

    def test_a_done_slot_is_never_taken_again(self, engine: Engine):
        """A day is examined once, however long ago."""
        _finish(engine, _claim(engine, "a"))

        assert _claim(engine, "b", NOW + timedelta(days=30)) is None

    def test_a_failed_slot_is_free_at_once(self, engine: Engine):
        """What failed is tried again without waiting for a lease."""
        _finish(engine, _claim(engine, "a"), "failed")

        assert _claim(engine, "b").fence == 2

    def test_f07_a_lease_taken_before_the_clock_was_set_back_does_not_block(self, engine: Engine):
        """F07: a clock one day back must not make the day wait for a day."""
        _claim(engine, "a")

        assert _claim(engine, "b", NOW - timedelta(days=1)) is not None


class TestFence:
    """Writes of a holder that has been replaced."""

    @pytest.fixture
    def stale(self, engine: Engine) -> Run:
        """The run of a monitor that slept while another took over."""
        run = _claim(engine, "a")
        _claim(engine, "b", NOW + timedelta(hours=2))
        return run

    def test_f06_a_stale_holder_may_not_write(self, engine: Engine, stale: Run):
        """F06: a monitor resumed after two hours must not overwrite its successor."""
        with (
            pytest.raises(StaleRunError, match="taken over by b"),
            transaction(engine) as connection,
        ):
            runs.require_fence(connection, stale)

    def test_f06_a_stale_holder_may_not_finish(self, engine: Engine, stale: Run):
        """F06: nor may it declare the day done."""
        with pytest.raises(StaleRunError, match="taken over by b"):
            _finish(engine, stale)

    def test_f06_a_stale_holder_learns_of_it_at_its_next_heartbeat(
        self, engine: Engine, stale: Run
    ):
        """F06: so it stops early."""
        with pytest.raises(StaleRunError), transaction(engine) as connection:
            runs.heartbeat(connection, stale, now=NOW, lease_s=LEASE_S)

    def test_an_ended_run_takes_no_more_writes(self, engine: Engine):
        """A step that comes late belongs to no run."""
        run = _claim(engine, "a")
        _finish(engine, run)

        with pytest.raises(StaleRunError, match="ended"), transaction(engine) as connection:
            runs.require_fence(connection, run)

    def test_a_run_that_is_gone_takes_none_either(self, engine: Engine):
        """After a restore from backup a holder may find its row missing."""
        run = replace(_claim(engine, "a"), id=999)

        with pytest.raises(StaleRunError, match="no longer"), transaction(engine) as connection:
            runs.require_fence(connection, run)


class TestDoneSlots:
    """Which days are done."""

    def test_only_done_slots_of_the_kind_and_span_are_listed(self, engine: Engine):
        """A failed or running day is still to be done."""
        with transaction(engine) as connection:
            for slot, kind in [("2026-03-01", "day"), ("2026-03-02", "day"), ("2026-03-02", "x")]:
                run = runs.claim(
                    connection, Slot(kind, "v1", slot), holder="a", now=NOW, lease_s=LEASE_S
                )
                outcome = "failed" if (slot, kind) == ("2026-03-02", "day") else "done"
                runs.finish(connection, run, outcome=outcome, now=NOW, detail={})

            assert runs.done_slots(connection, ["day"], "2026-03-01", "2026-03-31") == {
                "2026-03-01"
            }


class TestMigrated:
    """Runs from before a day had one of them."""

    def test_of_each_day_the_run_that_says_most_stays(self, engine: Engine, database_url: str):
        """A database in use: what was caught up on, seen so far, failed, or is under way."""
        database.downgrade(database_url, "0008")
        kept = [
            ("2026-03-01", "day", "done"),
            ("2026-03-01", "day so far", "done"),
            ("2026-03-02", "day without draw", "done"),
            ("2026-03-02", "day", "failed"),
            ("2026-03-03", "day so far", "done"),
            ("2026-03-04", "day so far", "done"),
            ("2026-03-04", "day", "running"),
        ]
        with transaction(engine) as connection:
            for slot, kind, outcome in kept:
                values = {"slot": slot, "kind": kind, "outcome": outcome, "now": NOW}
                connection.execute(_OLD_RUN, values)
        database.upgrade(database_url)

        with transaction(engine) as connection:
            found = {(r.slot, r.kind, r.detail["scope"]) for r in runs.latest(connection)}
            done = runs.done_slots(connection, ["day"], "2026-03-01", "2026-03-31", but="so far")
        assert found == {
            ("2026-03-01", "day", "whole"),
            ("2026-03-02", "day", "without draw"),
            ("2026-03-03", "day", "so far"),
            ("2026-03-04", "day", "whole"),
        }
        assert done == {"2026-03-01", "2026-03-02"}


_OLD_RUN = sa.text("""
    INSERT INTO runs (kind, version, slot, holder, fence, lease_until, started_at, outcome, detail)
    VALUES (:kind, 'v1', :slot, 'a', 1, :now, :now, :outcome, '{}')
""")
