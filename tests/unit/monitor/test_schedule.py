"""The clock behind the days: when it is time to look, whatever is done to it."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from monitor import schedule
from monitor.page import DayReport
from monitor.schedule import Pulse, at_the_set_hour

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Hands:
    """Two clocks: one that people set, and one that they cannot."""

    def __init__(self) -> None:
        self.moment, self.seconds = NOON, 0.0
        self.pulse = Pulse(self, ticks=lambda: self.seconds)

    def now(self) -> datetime:
        """Return what the clock shows."""
        return self.moment

    def passes(self, seconds: float, *, shown: float | None = None) -> bool:
        """Let time pass; the clock may show that something else did. Say whether to look."""
        self.seconds += seconds
        self.moment += timedelta(seconds=seconds if shown is None else shown)
        return self.pulse.says_look()


class TestPulse:
    """When the monitor looks for what is due."""

    def test_looks_once_an_hour(self):
        """A label that comes late in the night is not left until the next."""
        hands = Hands()

        assert [hands.passes(600) for _ in range(12)] == ([False] * 5 + [True]) * 2

    @pytest.mark.parametrize("jump_s", [86_400, -86_400, 7_200, -7_200, 600, -600])
    def test_f07_looks_at_once_when_the_clock_has_jumped(self, jump_s: int):
        """Set ahead or back, or asleep: what is due now is due now."""
        hands = Hands()

        assert [hands.passes(15), hands.passes(15, shown=15 + jump_s), hands.passes(15)] == [
            False,
            True,
            False,
        ]

    def test_f07_a_slewed_clock_is_none_that_has_jumped(self):
        """NTP corrects by half a thousandth; that is no reason to hurry."""
        hands = Hands()

        assert not any(hands.passes(15, shown=15.0075) for _ in range(200))

    def test_f07_hourly_looks_go_on_when_the_clock_stands_in_the_past(self):
        """A clock that was set back by a day must not make the monitor wait for a day."""
        hands = Hands()
        hands.passes(15, shown=-86_400)

        assert [hands.passes(1800) for _ in range(4)] == [False, True, False, True]


class TestSetHour:
    """The daily look."""

    @pytest.mark.parametrize(
        "around", [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC),
                   datetime(2028, 2, 28, tzinfo=UTC)],
    )  # fmt: skip
    def test_f08_comes_once_a_day_in_berlin_whatever_the_season(
        self, around: datetime, monkeypatch: pytest.MonkeyPatch
    ):
        """At 02:00 of a zone that skips or repeats it, a clock of APScheduler's comes 0 or 2 times.

        The days are UTC's, so ours does not; nor is 29 February a day too many.
        """
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        try:
            trigger, fired, now = at_the_set_hour(2), [], around
            for _ in range(4):
                fired.append(trigger.get_next_fire_time(None, now))
                now = fired[-1] + timedelta(seconds=1)
        finally:
            monkeypatch.undo()
            time.tzset()

        assert [moment.astimezone(UTC) for moment in fired] == [
            around + timedelta(days=i, hours=2) for i in range(4)
        ]


class TestWatch:
    """One look at a time."""

    def test_f20_a_look_that_wants_another_does_not_hold_up_the_end(self):
        """A scheduler that is shut down waits for the look; the look must not wait for it."""
        begun, over = threading.Event(), threading.Event()

        def examine_due() -> list[DayReport]:
            begun.set()
            over.wait(5)
            return [DayReport(NOON.date(), "v1", "held")]

        scheduler = BackgroundScheduler(timezone=UTC)
        watch = schedule._Watch(scheduler, examine_due, lease_s=0.0)
        scheduler.start()
        watch.soon()
        assert begun.wait(5)
        while scheduler.get_job("soon") is not None:  # handed over and forgotten
            time.sleep(0.01)
        end = threading.Thread(target=scheduler.shutdown, daemon=True)
        end.start()
        time.sleep(0.1)
        over.set()
        end.join(5)

        assert not end.is_alive()
        assert [watch.wants_another(), watch.wants_another()] == [True, False]

    def test_f07_a_look_that_is_asked_for_during_another_is_made_after_it(self):
        """A clock that jumps while a day is examined makes days due that this look knows not."""
        begun, over = threading.Event(), threading.Event()

        def examine_due() -> list[DayReport]:
            begun.set()
            over.wait(5)
            return []

        scheduler = BackgroundScheduler(timezone=UTC)
        watch = schedule._Watch(scheduler, examine_due, lease_s=300.0)
        scheduler.start()
        watch.soon()
        assert begun.wait(5)
        watch.soon()
        while scheduler.get_job("soon") is not None:
            time.sleep(0.01)
        over.set()
        scheduler.shutdown(wait=True)

        assert [watch.wants_another(), watch.wants_another()] == [True, False]
