"""A daily run that is missing: who notices, when, and what is told."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.clock import FixedClock, ShiftedClock, day_bounds
from core.settings import ServiceSettings
from core.store import alert_rules, alerts, due, last_runs, outbox, runs
from core.store.alert_policy import AlertRules, Channel
from core.store.alerts import Alert
from core.store.database import transaction
from core.store.due import Look
from monitor import schedule
from monitor.page import MonitorOptions
from service.upkeep import Upkeep
from tests.pool import add_pictures, day, register

DUE = day_bounds(day(1))[1] + timedelta(hours=2)  # when day 1 is due
IN_TIME, TOO_LATE = DUE + timedelta(minutes=49), DUE + timedelta(minutes=51)


@pytest.fixture
def home(engine: Engine, tmp_path: Path) -> Path:
    """A home in which v1 was promoted on day 1, and no monitor runs."""
    register(engine, tmp_path / "bundles")
    return tmp_path


def _look(engine: Engine, now: datetime, hour_utc: int = 2) -> Look:
    with transaction(engine) as connection:
        return due.look(connection, now, hour_utc=hour_utc)


def _alerts(engine: Engine) -> list[Alert]:
    with transaction(engine) as connection:
        return alerts.latest(connection)


def _claim(engine: Engine, now: datetime) -> None:
    slot = due.slot_of(day(1), "v1", due.WHOLE)
    with transaction(engine) as connection:
        runs.claim(connection, slot, holder="night", now=now, lease_s=300)


class TestLook:
    """`due.look`, which every program may call."""

    def test_an_alert_is_raised_within_the_hour_and_once(self, engine: Engine, home: Path):
        """However many look, and however often."""
        looks = [_look(engine, moment) for moment in (IN_TIME, TOO_LATE, TOO_LATE)]

        assert [len(look.late) for look in looks] == [0, 1, 1]
        assert [look.raised is not None for look in looks] == [False, True, False]
        (alert,) = _alerts(engine)
        assert (alert.kind, alert.label, str(day(1)) in alert.title) == ("monitor", None, True)
        assert "never begun" in alert.body

    def test_a_run_under_way_is_not_missing(self, engine: Engine, home: Path):
        """A long exam is no dead monitor."""
        _claim(engine, TOO_LATE - timedelta(minutes=1))

        assert _look(engine, TOO_LATE).late == ()

    def test_a_monitor_that_fell_silent_is(self, engine: Engine, home: Path):
        """Its lease has run out, and the alert names it."""
        _claim(engine, TOO_LATE - timedelta(minutes=6))

        assert _look(engine, TOO_LATE).late == (day(1),)
        assert "night began it" in _alerts(engine)[0].body

    def test_the_owners_hour_counts(self, engine: Engine, home: Path):
        """Days examined at noon are not late at three in the morning."""
        assert _look(engine, TOO_LATE, hour_utc=12).late == ()

    def test_the_day_of_the_first_promotion_is_not_called_late(
        self, engine: Engine, tmp_path: Path
    ):
        """Whoever trains at noon and looks again on the next day has missed nothing."""
        noon = day_bounds(day(1))[0] + timedelta(hours=12)
        register(engine, tmp_path / "bundles", promoted_at=noon)

        late = [_look(engine, TOO_LATE + timedelta(days=days)).late for days in (0, 1)]
        assert late == [(), (day(2),)]

    def test_without_a_champion_nothing_is_late(self, engine: Engine):
        """Nobody has promised anything yet."""
        assert _look(engine, TOO_LATE).late == ()


class TestServiceNotices:
    """The service, which lives when the monitor does not."""

    def test_it_raises_the_alert_and_resolves_it_when_the_day_is_done(
        self, engine: Engine, home: Path
    ):
        """By the clock that all programs share."""
        file = home / "clock"
        upkeep = Upkeep(engine, clock=ShiftedClock(file), retention_days=90)
        _set(file, IN_TIME)
        upkeep.look_for_the_monitor()
        before = upkeep.late.late
        _set(file, TOO_LATE + timedelta(minutes=1))
        upkeep.look_for_the_monitor()
        late = upkeep.late.late
        _examine(engine, home)
        upkeep.look_for_the_monitor()

        assert (before, late, upkeep.late.late) == ((), (day(1),), ())
        assert [alert.state for alert in _alerts(engine)] == ["resolved"]

    def test_what_it_finds_is_in_the_outbox_though_no_monitor_lives(
        self, engine: Engine, home: Path
    ):
        """Whatever empties the outbox tells it; a monitor that comes back does not once more."""
        hook = Channel(name="ops", url="https://h.example/", secret="a-secret-of-many-characters")
        with transaction(engine) as connection:
            alert_rules.write(connection, AlertRules(channels=(hook,)), by="ann", now=IN_TIME)
        file = home / "clock"
        _set(file, TOO_LATE + timedelta(minutes=1))
        Upkeep(engine, clock=ShiftedClock(file), retention_days=90).look_for_the_monitor()
        schedule.tell_whether_late(
            engine, options=MonitorOptions(), clock=ShiftedClock(file), holder="night"
        )

        with transaction(engine) as connection:
            (told,) = outbox.latest(connection)
        assert told.message["title"].startswith("The monitor is late")

    def test_it_knows_the_hour_from_the_monitors_own_variable(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        """One variable for both, where they share an environment."""
        monkeypatch.setenv("WEAKSPOT_MONITOR_HOUR_UTC", "5")
        shared = ServiceSettings().monitor_hour_utc
        monkeypatch.setenv("WEAKSPOT_SERVICE_MONITOR_HOUR_UTC", "7")

        assert (shared, ServiceSettings().monitor_hour_utc) == (5, 7)
        assert ServiceSettings(monitor_hour_utc=3).monitor_hour_utc == 3


class TestMonitorNotices:
    """A monitor that lives, but cannot finish a day."""

    def test_it_says_so_itself(self, engine: Engine, home: Path):
        """A lost bundle keeps the day from being examined; the alert says that it failed."""
        add_pictures(engine, home / "pool", day(1), per_label=2)
        (home / "bundles/v1/model.onnx").write_bytes(b"")
        _examine(engine, home)
        clock = FixedClock(TOO_LATE)
        look = schedule.tell_whether_late(engine, options=MonitorOptions(), clock=clock)

        assert (look.late, look.raised is not None) == ((day(1),), True)
        assert "model.onnx" in _alerts(engine)[0].body

    def test_every_look_leaves_when_it_was(self, engine: Engine, home: Path):
        """Whoever asks `runs` learns that somebody still looks, and what was found."""
        for moment in (IN_TIME, TOO_LATE):
            _look(engine, moment)

        with transaction(engine) as connection:
            (errand,) = last_runs.last_errands(connection)
        assert (errand.kind, errand.started_at) == (last_runs.LATE_CHECK, TOO_LATE)
        assert errand.detail == {"late": [str(day(1))]}

    def test_it_sends_what_the_service_could_only_write_down(self, engine: Engine, home: Path):
        """The first monitor that lives again puts it into the outbox, and the second does not."""
        channel = Channel(name="ops", url="https://ops.example/hook", secret="s" * 16)
        with transaction(engine) as connection:
            alert_rules.write(connection, AlertRules(channels=(channel,)), by="anna", now=DUE)
        _look(engine, TOO_LATE)
        for _ in range(2):
            schedule.tell_whether_late(engine, options=MonitorOptions(), clock=FixedClock(TOO_LATE))

        with transaction(engine) as connection:
            (message,) = outbox.latest(connection)
        assert (message.channel, str(day(1)) in str(message.message)) == ("ops", True)


def _examine(engine: Engine, home: Path) -> None:
    schedule.catch_up(
        engine,
        options=MonitorOptions(per_class=2),
        clock=FixedClock(DUE),
        holder="test",
        reports=home / "reports",
    )


def _set(file: Path, moment: datetime) -> None:
    file.write_text(str(round((moment - ShiftedClock(Path("none")).now()).total_seconds())))
