"""From a day's counts to the messages that go out: one a day, and nothing told twice."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import alert_rules, alerts, class_days, class_state, flags, outbox, worsening
from core.store.alert_policy import parse
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.outbox import Delivery
from core.store.registry import Version
from monitor.judgement import alerting, flagging, standards
from monitor.page import MonitorOptions
from tests.integration.test_alerts import answered, examined
from tests.pool import day, register

LABELS = ("Cat", "Dog", "Spider")
HOOK = {"name": "ops", "url": "https://h.example/", "secret": "a-secret-of-many-characters"}


@dataclass
class Days:
    """Counts that arrive, and what the monitor makes of them."""

    engine: Engine
    version: Version

    def rules(self, number: int, **rules: Any) -> None:
        """Set alert rules on a day."""
        now = day_bounds(day(number))[0] + timedelta(hours=9)
        with transaction(self.engine) as connection:
            data = {"channels": [HOOK]} | rules
            alert_rules.write(connection, parse(data), by="test", now=now)

    def arrive(self, number: int, **right: int) -> None:
        """Let ten images of each class be judged on a day: so many right, else all."""
        rows = [
            ClassDay(day(number), "v1", label, 10, right.get(label, 10), {}, 0, 1)
            for label in LABELS
        ]
        with transaction(self.engine) as connection:
            examined(connection, day(number))
            class_days.write(connection, rows)
            judged = standards.judge(connection, self.version, day(number), MonitorOptions())
            decisions = flagging.decide(
                connection,
                "v1",
                judged.verdicts,
                judged.first.levels,
                now=self._night(number),
                on_days=judged.levels,
            )
            alerting.follow(connection, decisions, judged, version="v1", now=self._night(number))

    def told(self) -> list[str]:
        """Return the titles of all messages, in order."""
        return [each.message["title"] for each in self.messages()]

    def messages(self) -> list[Delivery]:
        """Return all messages, in order."""
        with transaction(self.engine) as connection:
            return outbox.latest(connection)[::-1]

    def _night(self, number: int) -> datetime:
        return day_bounds(day(number))[1] + timedelta(hours=2)


@pytest.fixture
def days(engine: Engine, tmp_path: Path) -> Days:
    """A champion of three classes, and one who hears."""
    days = Days(engine, register(engine, tmp_path))
    days.rules(0)
    return days


class TestMessages:
    """What is told."""

    def test_classes_that_sink_on_one_day_are_one_message(self, days: Days):
        """However many."""
        days.arrive(1)
        days.arrive(2, Cat=0, Spider=0)

        (told,) = days.told()
        assert told == "2 weak: Cat, Spider"

    def test_f13_a_weak_class_is_told_once_and_its_recovery_once(self, days: Days):
        """F13: and between the two, nothing."""
        for number, right in enumerate([10, 0, 0, 0, 0, 0, *[10] * 20], start=1):
            days.arrive(number, Cat=right)

        assert [title.split(":")[0] for title in days.told()] == [
            "Cat is weak since 2026-03-02",
            "Resolved",
        ]
        with transaction(days.engine) as connection:
            assert [each.state for each in alerts.latest(connection)] == ["resolved"]

    def test_f13_a_class_that_stays_where_it_fell_is_not_told_again(self, days: Days):
        """Its evidence starts anew after each alarm, and climbs each time."""
        for number, right in enumerate([10, *[5, 4, 6] * 10], start=1):
            days.arrive(number, Cat=right)

        assert len(days.told()) == 1

    def test_worse_than_was_told_is_told_once(self, days: Days):
        """A class that sinks to a half and then falls to nothing; both sentences are true."""
        for number, right in enumerate([10, 5, 5, 5, 5, 5, *[0] * 12], start=1):
            days.arrive(number, Cat=right)

        weak, worse = days.told()
        assert "is weak" in weak
        assert worse.startswith("Cat is worse: 0 of ")
        with transaction(days.engine) as connection:
            (alert,) = alerts.latest(connection)
        before, now = alert.was_told()
        assert f"{now.correct} of {now.n} right from {now.since} to {now.until}" in worse
        assert worse.endswith(f"told before: {before.correct} of {before.n}")

    def test_replaying_another_version_makes_nothing_worse(self, days: Days):
        """v0's Cat was hopeless; that is not news of v1's."""
        days.arrive(1)
        days.arrive(2, Cat=3)
        days.arrive(3, Cat=3)
        with transaction(days.engine) as connection:
            for number in range(-20, 1):
                answered(connection, day(number), "v0", Cat=(0, 10))
            worsening.note_evidence(connection, "v0", day(0), {"Cat": 1e6})
            assert worsening.take_worsened(connection) == []

        assert len(days.told()) == 1

    def test_judging_the_same_days_again_tells_nothing(self, days: Days):
        """F05."""
        for _ in range(2):
            for number, right in ((1, 10), (2, 0), (3, 0)):
                days.arrive(number, Cat=right)

        assert len(days.told()) == len(set(days.told()))
        assert sum("is weak" in title for title in days.told()) == 1

    def test_a_class_somebody_closed_is_not_told_of_until_it_comes_back(self, days: Days):
        """By hand means: I know."""
        days.arrive(1, Cat=0)
        with transaction(days.engine) as connection:
            (alert,) = alerts.latest(connection)
            now = datetime(2026, 3, 3, tzinfo=UTC)
            alerts.move(connection, alert.id, "resolve", by="ann", now=now)
        before = days.told()
        for number in range(2, 20):
            days.arrive(number, Cat=0 if number < 5 else 10)

        assert days.told() == before
        with transaction(days.engine) as connection:
            assert flags.open_flags(connection) == []


class TestRulesInForce:
    """A day is judged by its own rules."""

    def _thresholds(self, days: Days, *numbers: int) -> list[float]:
        with transaction(days.engine) as connection:
            return [
                round(class_state.at(connection, "v1", day(number))[0].threshold)
                for number in numbers
            ]

    def test_a_class_left_out_raises_no_flag(self, days: Days):
        """It is examined all the same."""
        days.rules(1, left_out=["Cat"])
        days.arrive(1, Cat=0, Dog=0)

        with transaction(days.engine) as connection:
            assert [flag.label for flag in flags.latest(connection)] == ["Dog"]
            assert class_state.at(connection, "v1", day(1))[0].alarm

    def test_the_budget_is_shared_by_the_classes_that_are_watched(self, days: Days):
        """And the alert's promise is still the owner's budget."""
        days.arrive(1)
        days.rules(2, left_out=["Cat"])
        days.arrive(2, Dog=0)

        assert self._thresholds(days, 1, 2) == [375, 250]
        (message,) = days.messages()
        assert "at most 0.24 false alarms in 30 days, over all 2 classes" in message.message["body"]

    def test_late_labels_are_judged_by_the_rules_of_their_day(self, days: Days):
        """A budget set today does not change what last week should have said."""
        for number in (1, 2):
            days.arrive(number)
        days.rules(3, budget=0.03)
        for number in (3, 4):
            days.arrive(number)
        before = self._thresholds(days, 1, 2, 3, 4)
        days.arrive(1, Cat=0)

        assert before == self._thresholds(days, 1, 2, 3, 4) == [375, 375, 3750, 3750]
        with transaction(days.engine) as connection:
            assert [(f.raised_on, f.threshold) for f in flags.latest(connection)] == [(day(1), 375)]
