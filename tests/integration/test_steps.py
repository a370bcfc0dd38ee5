"""What each step of a day leaves in its run."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from core.store import last_runs, runs
from core.store.database import transaction
from core.store.runs import Run, Slot
from monitor.status import step_of
from monitor.steps import Steps

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SLOT = Slot("day", "v1", "2026-03-01")


class BackwardClock:
    """A clock that is an hour earlier each time it is asked."""

    def __init__(self) -> None:
        self._moment = NOON

    def now(self) -> datetime:
        """Return a moment before the last one."""
        self._moment -= timedelta(hours=1)
        return self._moment


@pytest.fixture
def run(engine: Engine) -> Run:
    """A run that has just been claimed."""
    with transaction(engine) as connection:
        claimed = runs.claim(connection, SLOT, holder="a", now=NOON, lease_s=300)
    assert claimed is not None
    return claimed


def _stored(engine: Engine) -> Run:
    with transaction(engine) as connection:
        found = runs.get(connection, SLOT)
    assert found is not None
    return found


class TestSteps:
    """`Steps`."""

    def test_a_step_is_in_the_row_while_it_runs(self, engine: Engine, run: Run):
        """Whoever looks sees what the monitor is at, and what it was at when it died."""
        steps = Steps(engine, run, BackwardClock())
        with steps.step("rollup"):
            pass
        with steps.step("draw"):
            meanwhile = _stored(engine)

        assert step_of(meanwhile) == "draw"
        assert [each["outcome"] for each in meanwhile.detail["steps"]] == ["done", "running"]

    def test_f07_seconds_are_not_read_off_a_clock_that_is_set_back(self, engine: Engine, run: Run):
        """A step cannot have taken minus an hour."""
        steps = Steps(engine, run, BackwardClock())
        with steps.step("rollup"):
            pass
        (step,) = _stored(engine).detail["steps"]

        assert step["finished_at"] < step["started_at"]
        assert 0 <= step["seconds"] < 60

    def test_a_step_that_fails_says_so(self, engine: Engine, run: Run):
        """The run's row shows where the day ended."""
        steps = Steps(engine, run, BackwardClock())
        with pytest.raises(ValueError, match="broken"), steps.step("drift"):
            raise ValueError("broken")

        assert steps.to_detail()["steps"][0]["outcome"] == "failed"

    def test_the_last_time_of_each_step_is_found_over_all_runs(self, engine: Engine, run: Run):
        """A drift check of yesterday counts while today's has not begun."""
        later = Slot("day", "v1", "2026-03-02")
        with transaction(engine) as connection:
            detail = {"steps": [_step("rollup", "01", 1.0), _step("drift", "01", 2.0)]}
            runs.finish(connection, run, outcome="done", now=NOON, detail=detail)
            second = runs.claim(connection, later, holder="a", now=NOON, lease_s=300)
            assert second is not None
            runs.note(connection, second, {"steps": [_step("rollup", "02", None)]})
            last = last_runs.last_steps(connection, ["day"])

        assert [(each.step, each.slot, each.seconds) for each in last] == [
            ("rollup", "2026-03-02", None),
            ("drift", "2026-03-01", 2.0),
        ]


def _step(name: str, day: str, seconds: float | None) -> dict[str, object]:
    return {
        "step": name,
        "started_at": f"2026-03-{day}T12:00:00+00:00",
        "finished_at": None,
        "seconds": seconds,
        "outcome": "done" if seconds else "running",
    }
