"""Clocks that are wrong, monitors that are paused, machines that sleep: what the days then hold."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import Clock, FixedClock, day_bounds
from core.errors import StaleRunError
from core.store import drift, due, runs, validations
from core.store.database import transaction
from core.store.registry import Version
from core.store.runs import Run
from monitor import daily, schedule
from monitor.beat import Heartbeat
from monitor.page import DayReport, MonitorOptions
from monitor.status import status
from tests.pool import add_pictures, add_predictions, day, night_after, register

OPTIONS = MonitorOptions(per_class=2)


@dataclass
class House:
    """A home in which v1 serves from day 1 on, and the clock by which its monitors live."""

    engine: Engine
    path: Path
    version: Version

    def pictures(self, *numbers: int) -> None:
        """Put pictures of some days into the pool."""
        for number in numbers:
            add_pictures(self.engine, self.path / "pool", day(number), per_label=2)

    def catch_up(self, clock: Clock, holder: str = "night", **more: Any) -> list[DayReport]:
        """Examine what is due."""
        arguments: dict[str, Any] = {"options": OPTIONS, "reports": self.path / "reports"} | more
        return schedule.catch_up(self.engine, clock=clock, holder=holder, **arguments)

    def examine(self, number: int, clock: Clock, holder: str = "a", **more: Any) -> DayReport:
        """Examine one day."""
        arguments: dict[str, Any] = {"options": OPTIONS, "reports": self.path / "reports"} | more
        return daily.run(self.engine, day(number), clock=clock, holder=holder, **arguments)

    def ask(self, question: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Ask the store one question."""
        with transaction(self.engine) as connection:
            return question(connection, *arguments, **named)

    def runs(self) -> dict[str, Run]:
        """Return the run of each day."""
        found: list[Run] = self.ask(runs.latest, kinds=(due.DAY,))
        assert len({run.slot for run in found}) == len(found)
        return {run.slot: run for run in found}

    def summed(self, table: str, number: int) -> int:
        """Return how many predictions of a day a table knows."""
        start, end = day_bounds(day(number))
        column = "sum(n)" if table == "prediction_rollups" else "count(*)"
        moment = "hour" if table == "prediction_rollups" else "at"
        query = f"SELECT {column} FROM {table} WHERE {moment} >= :start AND {moment} < :end"  # noqa: S608
        with transaction(self.engine) as connection:
            found = connection.execute(sa.text(query), {"start": start, "end": end})
            return int(found.scalar_one() or 0)


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    """Such a home, without pictures or predictions."""
    return House(engine, tmp_path, register(engine, tmp_path / "bundles"))


def _at(stage: str, then: Callable[[], Any]) -> Callable[[str, int, int], None]:
    """Return a progress callback that does something when a stage is reached, once."""
    waiting = [then]

    def on_progress(reached: str, _done: int, _total: int) -> None:
        if reached == stage and waiting:
            waiting.pop()()

    return on_progress


class TestOneRunADay:
    """F04, F06: however much of the day is asked for, one monitor is at it."""

    def test_f06_paused_over_the_next_due_hour_its_writes_are_refused(self, house: House):
        """Whoever catches up takes the day over, without a draw of its own, and is alone."""
        house.pictures(1, 2)

        def sleep_for_a_day() -> None:
            assert [each.status for each in house.catch_up(night_after(2), "b")] == ["done"] * 2

        with pytest.raises(StaleRunError):
            house.examine(1, night_after(1), on_progress=_at("evaluating", sleep_for_a_day))

        run = house.runs()[str(day(1))]
        assert (run.holder, run.fence, run.outcome) == ("b", 2, "done")
        assert house.ask(validations.get, day(1), "v1").status == "done"

    @pytest.mark.parametrize("fresh_draw", [True, False])
    def test_f04_a_day_somebody_validates_is_not_caught_up_on_meanwhile(
        self, house: House, fresh_draw: bool
    ):
        """`validate --date` beside a catch-up: one claim, one fence."""
        house.pictures(1)
        seen: list[DayReport] = []

        def come_by() -> None:
            seen.append(house.examine(1, night_after(1), "b", fresh_draw=fresh_draw))

        house.examine(1, night_after(1), on_progress=_at("evaluating", come_by))

        assert [(each.status, each.detail) for each in seen] == [("held", "held by a")]
        assert house.runs()[str(day(1))].fence == 1

    def test_f04_a_day_begun_before_midnight_is_held_after_it(self, house: House):
        """What was asked of the day so far is still the same day's run."""
        house.pictures(1)
        midnight = day_bounds(day(1))[1]
        seen: list[DayReport] = []

        def pass_midnight() -> None:
            seen.append(house.examine(1, FixedClock(midnight + timedelta(seconds=90)), "b"))

        before = FixedClock(midnight - timedelta(seconds=30))
        house.examine(1, before, on_progress=_at("evaluating", pass_midnight))
        after = house.examine(1, night_after(1), "b")

        assert [each.status for each in seen] == ["held"]
        assert (after.status, house.runs()[str(day(1))].detail["scope"]) == ("done", due.WHOLE)

    def test_a_day_caught_up_on_without_a_draw_can_be_examined_in_full(self, house: House):
        """By hand, afterwards: the same run again, under the next fence."""
        house.pictures(1)
        first = house.examine(1, night_after(2), fresh_draw=False)
        second = house.examine(1, night_after(2))
        third = house.examine(1, night_after(2), fresh_draw=False)

        assert [each.judged for each in (first, second, third)] == [0, 6, 6]
        assert house.runs()[str(day(1))].fence == 2


class TestClockAhead:
    """F07: a clock that was a day ahead, and is set right."""

    def test_f07_a_day_examined_too_early_is_examined_again_when_it_is_over(self, house: House):
        """The afternoon is in the sums and in the checks, and no draw is repeated."""
        house.pictures(1, 2)
        add_predictions(house.engine, house.version, day(2), 40)
        morning = day_bounds(day(2))[0] + timedelta(hours=10)
        _hide_from(house.engine, morning)
        house.catch_up(FixedClock(morning + timedelta(days=1)))  # the clock is ahead
        early, drawn = house.summed("prediction_rollups", 2), house.ask(validations.latest)
        _bring_back(house.engine)
        house.catch_up(FixedClock(morning + timedelta(minutes=1)))  # it is set right
        freed = house.runs()[str(day(2))]
        house.catch_up(night_after(2))
        check = house.ask(drift.of_day, day(2))[0]

        assert (freed.outcome, freed.detail["error"]) == ("failed", "ClockError")
        assert (early, house.summed("prediction_rollups", 2)) == (17, 40)
        assert (check.n, check.window_end) == (40, day_bounds(day(2))[1])
        assert [each for each in house.ask(validations.latest) if each.day == day(2)] == drawn
        assert [run.outcome for run in house.runs().values()] == ["done", "done"]

    def test_f07_it_is_noticed_even_when_nobody_looks_before_the_day_is_over(self, house: House):
        """The run ended in the future of whoever looks, so it saw a part of the day at most."""
        ahead = FixedClock(night_after(1).now() + timedelta(days=1))
        house.catch_up(ahead)
        house.catch_up(night_after(1))

        assert [run.fence for run in house.runs().values() if run.slot == str(day(1))] == [2]

    def test_f07_a_clock_set_back_while_a_day_is_examined_is_noticed_too(self, house: House):
        """It ended before the day did, says the clock that was right."""
        house.pictures(1)
        clock = _Hands(night_after(1).now())
        noon = day_bounds(day(1))[0] + timedelta(hours=12)
        house.examine(1, clock, on_progress=_at("evaluating", lambda: clock.set(noon)))
        house.catch_up(FixedClock(night_after(1).now() + timedelta(hours=1)))

        run = house.runs()[str(day(1))]
        assert (run.outcome, run.fence) == ("done", 2)

    @pytest.mark.parametrize("back_s", [-0.5, -90])
    def test_f07_a_small_step_of_ntp_is_no_reason_to_examine_a_day_again(
        self, house: House, back_s: float
    ):
        """The day was over long before, by either clock."""
        house.catch_up(night_after(1))
        house.catch_up(FixedClock(night_after(1).now() + timedelta(seconds=back_s)))

        assert house.runs()[str(day(1))].fence == 1


class TestAsleep:
    """F09: a machine that slept for a week."""

    def test_f09_every_day_missed_has_its_sums_and_its_checks(self, house: House):
        """Oldest first, the labelled draw once and marked late: what a living one leaves."""
        for number in range(1, 8):
            house.pictures(number)
            add_predictions(house.engine, house.version, day(number), 30 + number)
        late = FixedClock(night_after(7).now() + timedelta(days=1, hours=3))
        reports = house.catch_up(late, options=MonitorOptions(per_class=2, hour_utc=6))

        assert [each.day for each in reports] == [day(number) for number in range(1, 8)]
        assert [each.predictions for each in reports] == [30 + n for n in range(1, 8)]
        for number in range(1, 8):
            assert house.summed("prediction_rollups", number) == 30 + number
            checks = house.ask(drift.of_day, day(number))
            assert {each.n for each in checks if each.column == "confidence"} == {30 + number}
        assert [(each.judged, each.late) for each in reports[-2:]] == [(0, False), (6, True)]
        assert len(house.ask(validations.latest)) == 1


class TestProgress:
    """What a run shows while it runs, and how it stays its holder's."""

    def test_the_row_says_how_far_the_stage_has_come(self, house: House):
        """Whoever has SQL sees it, and so does `monitor --status`."""
        house.pictures(1)
        seen: list[dict[str, Any]] = []
        said: list[str] = []

        def look() -> None:
            seen.append(house.runs()[str(day(1))].detail)
            said.append(house.ask(status, night_after(1).now(), OPTIONS).to_text())

        house.examine(1, night_after(1), on_progress=_at("evaluating", look))
        after = house.runs()[str(day(1))].detail

        assert seen[0]["scope"] == due.WHOLE
        assert seen[0]["steps"][-1]["step"] == "validation"
        assert seen[0]["progress"]["stage"] == "loading the version"
        assert "by a, validation: loading the version (0 of 1)" in said[0]
        assert ("progress" in after, after["scope"]) == (False, due.WHOLE)

    def test_f05_a_step_that_is_longer_than_the_lease_keeps_the_day(self, engine: Engine):
        """A sum over ten million rows says nothing for minutes; its monitor lives all the same."""
        clock, lease_s = _Ticking(night_after(1).now()), 1
        slot = due.slot_of(day(1), "v1", due.WHOLE)
        with transaction(engine) as connection:
            run = runs.claim(connection, slot, holder="a", now=clock.now(), lease_s=lease_s)
        assert run is not None
        with Heartbeat(engine, run, clock, lease_s=lease_s).kept():
            clock.wait(2.5)
            with transaction(engine) as connection:
                taken = runs.claim(connection, slot, holder="b", now=clock.now(), lease_s=1)
        clock.wait(1.5)
        with transaction(engine) as connection:
            freed = runs.claim(connection, slot, holder="b", now=clock.now(), lease_s=1)

        assert (taken, freed is not None and freed.fence) == (None, 2)


class _Hands:
    """A clock that the test sets."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def set(self, moment: datetime) -> None:
        """Set it."""
        self._moment = moment

    def now(self) -> datetime:
        """Return what it shows."""
        return self._moment


class _Ticking:
    """A clock that begins at a moment and goes on with the real one."""

    def __init__(self, moment: datetime) -> None:
        self._shift = moment - datetime.now(moment.tzinfo)

    def now(self) -> datetime:
        """Return the shifted present."""
        return datetime.now(day_bounds(date(2026, 3, 1))[0].tzinfo) + self._shift

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        threading.Event().wait(seconds)


def _hide_from(engine: Engine, moment: datetime) -> None:
    """Take the predictions from a moment on away: they have not been made yet."""
    with transaction(engine) as connection:
        for statement in (
            "CREATE TABLE hidden AS SELECT * FROM predictions LIMIT 0",
            "INSERT INTO hidden SELECT * FROM predictions WHERE at >= :at",
            "DELETE FROM predictions WHERE at >= :at",
        ):
            connection.execute(sa.text(statement), {"at": moment} if ":at" in statement else {})


def _bring_back(engine: Engine) -> None:
    """Let them be made."""
    with transaction(engine) as connection:
        connection.execute(sa.text("INSERT INTO predictions SELECT * FROM hidden"))
