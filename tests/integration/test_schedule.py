"""Which days the monitor finds to do, and how it stops."""

import threading
import time
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.clock import Clock, FixedClock, day_bounds
from core.store import class_days, due, runs, validations
from core.store.database import transaction
from monitor import daily, schedule
from monitor.page import DayReport, MonitorOptions
from tests.pool import add_pictures, day, night_after, register

OPTIONS = MonitorOptions(per_class=2)


@pytest.fixture
def home(engine: Engine, tmp_path: Path) -> Path:
    """A home in which v1 was promoted on day 1."""
    register(engine, tmp_path / "bundles")
    return tmp_path


def _catch_up(
    engine: Engine, home: Path, clock: Clock, options: MonitorOptions = OPTIONS
) -> list[DayReport]:
    return schedule.catch_up(
        engine, options=options, clock=clock, holder="test", reports=home / "reports"
    )


def _missed(engine: Engine, now: datetime, options: MonitorOptions = OPTIONS) -> list[date]:
    with transaction(engine) as connection:
        return schedule.missed_days(connection, now, options)


class TestMissedDays:
    """Which days are due and not done."""

    def test_a_day_is_due_at_the_set_hour_of_the_next(self, engine: Engine, home: Path):
        """Its labels get some hours to arrive."""
        midnight = day_bounds(day(1))[1]

        due = [_missed(engine, midnight + timedelta(minutes=m)) for m in (0, 119, 120)]
        assert due == [[], [], [day(1)]]

    def test_no_day_before_the_first_promotion_is_due(self, engine: Engine, tmp_path: Path):
        """Nothing served then."""
        register(engine, tmp_path, promoted_at=day_bounds(day(5))[0] + timedelta(hours=12))

        assert _missed(engine, night_after(6).now()) == [day(5), day(6)]

    def test_days_are_caught_up_no_further_back_than_the_owner_wants(
        self, engine: Engine, home: Path
    ):
        """A monitor switched on after a year does not work for a week."""
        options = replace(OPTIONS, catch_up_days=2)

        assert _missed(engine, night_after(90).now(), options) == [day(88), day(89), day(90)]

    def test_without_a_champion_nothing_is_due(self, engine: Engine):
        """A monitor may be started first."""
        assert _missed(engine, night_after(3).now()) == []

    @pytest.mark.parametrize("change", [date(2026, 3, 29), date(2026, 10, 25), date(2028, 2, 29)])
    def test_f08_every_day_is_due_once_when_clocks_change(
        self, engine: Engine, tmp_path: Path, change: date
    ):
        """F08: days are UTC, so Berlin's spring and autumn, and 29 February, are days like any."""
        start = day_bounds(change - timedelta(days=1))[0]
        register(engine, tmp_path, promoted_at=start)
        seen = [
            _missed(engine, start + timedelta(hours=h), replace(OPTIONS, catch_up_days=0))
            for h in range(26, 98, 24)
        ]

        assert [days[0] for days in seen] == [change + timedelta(days=i) for i in (-1, 0, 1)]


class TestCatchUp:
    """What is done about them."""

    def test_a_week_asleep_is_caught_up_with_one_draw(self, engine: Engine, home: Path):
        """F09: every day's traffic, oldest first; labels once, for the latest, marked late."""
        for number in range(1, 8):
            add_pictures(engine, home / "pool", day(number), per_label=2)
        late = FixedClock(night_after(7).now() + timedelta(days=1, hours=3))
        reports = _catch_up(engine, home, late, replace(OPTIONS, hour_utc=6))

        assert [report.day for report in reports] == [day(number) for number in range(1, 8)]
        assert [report.judged for report in reports] == [0] * 6 + [6]
        assert reports[-1].late

    def test_a_second_look_finds_nothing_to_do(self, engine: Engine, home: Path):
        """A scheduler may call as often as it likes."""
        _catch_up(engine, home, night_after(3))

        assert _catch_up(engine, home, night_after(3)) == []

    def test_f07_a_clock_that_is_behind_draws_no_image_again(self, engine: Engine, home: Path):
        """By it, what is done was done in the future: looked at again, and it stays one exam."""
        add_pictures(engine, home / "pool", day(2), per_label=2)
        _catch_up(engine, home, night_after(2))
        with transaction(engine) as connection:
            before = validations.latest(connection)
        again = _catch_up(engine, home, night_after(1))
        then = _catch_up(engine, home, night_after(2))

        assert [[report.day for report in each] for each in (again, then)] == [[day(1)], [day(2)]]
        with transaction(engine) as connection:
            exams = validations.latest(connection)
        assert [exam for exam in exams if exam.day == day(2)] == before

    def test_f07_a_day_skipped_by_the_clock_is_done_all_the_same(self, engine: Engine, home: Path):
        """F07: a clock that jumps a day ahead leaves no hole."""
        _catch_up(engine, home, night_after(1))

        reports = _catch_up(engine, home, night_after(3))
        assert [report.day for report in reports] == [day(2), day(3)]

    def test_a_draw_begun_before_the_gap_is_finished(self, engine: Engine, home: Path):
        """Its images are spoken for; leaving them unjudged would waste their labels."""
        add_pictures(engine, home / "pool", day(1), per_label=2)
        with pytest.raises(KeyboardInterrupt):
            daily.run(
                engine,
                day(1),
                options=OPTIONS,
                clock=night_after(1),
                holder="test",
                reports=home / "reports",
                on_progress=_interrupt,
            )
        _catch_up(engine, home, night_after(3))

        with transaction(engine) as connection:
            exams = {each.day: each.status for each in validations.latest(connection)}
            assert exams == {day(1): "done", day(3): "done"}

    def test_a_day_that_cannot_be_examined_does_not_hide_the_others(
        self, engine: Engine, home: Path
    ):
        """A lost bundle is reported each time, and the other days are still looked at."""
        add_pictures(engine, home / "pool", day(2), per_label=2)
        model = home / "bundles/v1/model.onnx"
        content = model.read_bytes()
        model.write_bytes(b"")
        first = _catch_up(engine, home, night_after(2))
        model.write_bytes(content)
        second = _catch_up(engine, home, night_after(2))

        assert [[report.day for report in each] for each in (first, second)] == [
            [day(1)],
            [day(2)],
        ]


class TestBackfill:
    """A stretch of days by hand."""

    def test_every_day_has_its_own_draw(self, engine: Engine, home: Path):
        """A new pool, or a version that was never examined, is looked at day by day."""
        for number in (1, 2, 3):
            add_pictures(engine, home / "pool", day(number), per_label=2)
        reports = schedule.backfill(
            engine,
            day(1),
            day(3),
            options=OPTIONS,
            clock=night_after(9),
            holder="test",
            reports=home / "reports",
        )

        assert [(each.day, each.judged) for each in reports] == [(day(i), 6) for i in (1, 2, 3)]


class TestRunForever:
    """The program."""

    def test_examines_what_is_due_at_once_and_stops_when_told(self, engine: Engine, home: Path):
        """A restart is a catch-up; SIGTERM ends it within a moment."""
        add_pictures(engine, home / "pool", day(1), per_label=2)
        stop, thread = _start(engine, home, night_after(1))
        _wait_for(lambda: _done(engine) == {day(1).isoformat()})
        stop.set()
        thread.join(timeout=10)

        assert not thread.is_alive()

    def test_f04_two_monitors_examine_each_day_once(self, engine: Engine, home: Path):
        """F04: side by side, for as long as it takes."""
        for number in (1, 2, 3):
            add_pictures(engine, home / "pool", day(number), per_label=2)
        started = [_start(engine, home, night_after(3), holder) for holder in ("a", "b")]
        _wait_for(lambda: len(_done(engine)) == 3)
        for stop, thread in started:
            stop.set()
            thread.join(timeout=10)

        with transaction(engine) as connection:
            assert len(runs.latest(connection, kinds=(due.DAY,))) == 3
            assert {row.day for row in class_days.matrix(connection, day(1), day(9))} == {day(3)}


def _start(
    engine: Engine, home: Path, clock: Clock, holder: str = "test"
) -> tuple[threading.Event, threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(
        target=schedule.run_forever,
        args=(engine,),
        kwargs={
            "options": OPTIONS,
            "clock": clock,
            "holder": holder,
            "reports": home / "reports",
            "stop": stop,
        },
        daemon=True,
    )
    thread.start()
    return stop, thread


def _done(engine: Engine) -> set[str]:
    with transaction(engine) as connection:
        return runs.done_slots(connection, (due.DAY,), "2026-01-01", "2026-12-31")


def _wait_for(condition: object, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():  # pyright: ignore[reportCallIssue]
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def _interrupt(stage: str, _done: int, _total: int) -> None:
    if stage == "evaluating":
        raise KeyboardInterrupt
