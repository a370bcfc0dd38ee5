"""Replaying the detectors over days that arrive late, against real rows."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.judging import rules
from core.judging.rules import Levels
from core.store import class_days, class_state, model_days, validations
from core.store.class_days import ClassDay
from core.store.class_state import ClassState
from core.store.database import transaction
from core.store.registry import Version
from core.store.validations import Draw
from tests.pool import day, register

LABELS = ("Cat", "Dog", "Spider")
DAYS = 20
NOW = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """The champion."""
    return register(engine, tmp_path)


def _counts(seed: int) -> dict[date, list[ClassDay]]:
    """Return days of three classes; Cat sinks on day 8 and is back on day 12; Dog has gaps."""
    rng = np.random.default_rng(seed)
    days: dict[date, list[ClassDay]] = {}
    for number in range(1, DAYS + 1):
        truth = {"Cat": 0.3 if 8 <= number < 12 else 1.0, "Dog": 0.97, "Spider": 0.97}
        rows = []
        for label in LABELS:
            n = 0 if label == "Dog" and rng.random() < 0.4 else 10
            k = int(rng.binomial(n, truth[label]))
            rows.append(ClassDay(day(number), "v1", label, n, k, {}, 0.0, 1.0))
        days[day(number)] = rows
    return days


def _in_sessions(*, alike_on: int, days: int) -> list[list[ClassDay]]:
    """Return days of ten images a class; on one day they are two sessions, one all wrong."""
    return [
        [
            ClassDay(day(number), "v1", label, 10, sum(right), {}, 0.0, 1.0, shared)
            for label in LABELS
            for right in [(0, 5) if number == alike_on else (5, 4)]
            for shared in [[[5, k] for k in right] if number == alike_on else []]
        ]
        for number in range(1, days + 1)
    ]


def _replay(engine: Engine, rows: list[ClassDay], first: date, held_to: Levels) -> None:
    with transaction(engine) as connection:
        class_days.write(connection, rows)
        rules.replay(connection, "v1", first, held_to)


def _states(engine: Engine, version: str = "v1") -> list[ClassState]:
    with transaction(engine) as connection:
        found = [
            row
            for number in range(1, DAYS + 1)
            for row in class_state.at(connection, version, day(number))
        ]
        connection.execute(sa.text("TRUNCATE class_state, class_days, model_days"))
    return found


class TestReplay:
    """`rules.replay`, the way every state is made."""

    @pytest.mark.parametrize("seed", range(3))
    def test_any_order_of_arrival_gives_the_same_bits(
        self, engine: Engine, version: Version, seed: int
    ):
        """Late labels and missed days leave no trace in the detectors."""
        days, held_to = _counts(seed), rules.levels(version, budget=0.3, floor=0.8)
        for one in days:
            _replay(engine, days[one], one, held_to)
        in_order = _states(engine)

        for one in np.random.default_rng(seed).permutation(np.array(list(days))):
            _replay(engine, days[one], one, held_to)

        assert _states(engine) == in_order
        assert any(state.alarm for state in in_order)
        assert any(state.recovered for state in in_order)

    def test_the_bet_of_each_day_is_that_of_the_thirty_days_before_it(
        self, engine: Engine, version: Version
    ):
        """Two alike sessions on day 2 make groups of days 3 to 32, in whatever order days come."""
        days, held_to = (
            _in_sessions(alike_on=2, days=36),
            rules.levels(version, budget=0.3, floor=0.8),
        )
        found: list[list[Any]] = []
        for order in (list(range(36)), [*range(20, 36), *range(1, 20), 0]):
            for piece in np.array_split(np.array(order), 5):
                rows = [row for number in piece for row in days[number]]
                _replay(engine, rows, min(row.day for row in rows), held_to)
            with transaction(engine) as connection:
                found.append(model_days.from_day(connection, "v1", day(1)))
                found.append(class_state.from_day(connection, "v1", day(1)))
                connection.execute(sa.text("TRUNCATE class_state, class_days, model_days"))

        assert found[:2] == found[2:]
        grouped = [each.day for each in found[0] if each.grouped]
        assert grouped == [day(number) for number in range(3, 33)]

    def test_replaying_a_day_twice_changes_nothing(self, engine: Engine, version: Version):
        """A day that is run again leaves the same rows."""
        days, held_to = _counts(0), rules.levels(version, budget=0.3, floor=0.8)
        for one in days:
            _replay(engine, days[one], one, held_to)
        _replay(engine, [], day(5), held_to)
        again = _states(engine)
        for one in days:
            _replay(engine, days[one], one, held_to)

        assert _states(engine) == again

    def test_a_new_version_is_asked_to_show_recovery_from_what_the_last_one_left(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """The flag stays until the new version has proven itself on the class."""
        register(engine, tmp_path, name="v2", promoted_at=None)
        held_to = rules.levels(version, budget=0.3, floor=0.8)
        for number in range(1, 8):
            name, cats = ("v1", 0) if number == 1 else ("v2", 10)
            rows = [
                ClassDay(day(number), name, label, 10, cats if label == "Cat" else 10, {}, 0, 1)
                for label in LABELS
            ]
            with transaction(engine) as connection:
                exam = validations.record_draw(
                    connection, Draw(day(number), name, 10, False, NOW), []
                )
                class_days.write(connection, rows)
                validations.finish(connection, exam, status="done", unreadable=0, now=NOW)
                rules.replay(connection, name, day(number), held_to)

        states = [state for state in _states(engine, "v2") if state.recovered]
        assert {state.label for state in states} == {"Cat"}

    def test_states_come_back_from_postgres_bit_for_bit(self, engine: Engine, version: Version):
        """Minus infinity and the last bit included."""
        state = ClassState(
            day=day(1),
            version="v1",
            label="Cat",
            reference=0.1 + 0.2,
            threshold=300.0,
            evidence=1e308,
            log_m=[-np.inf, 1 / 3, *[np.pi * 10**i for i in range(6)]],
            days=1,
            alarm=True,
            recovery_evidence=0.0,
            recovery_log_m=[],
            recovered=False,
            days_without_labels=0,
        )
        with transaction(engine) as connection:
            class_state.write(connection, [state])

            assert class_state.before(connection, "v1", day(1) + timedelta(days=3)) == [state]
