"""Flags that open and close, on class days as they arrive."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from core.judging import rules
from core.judging.rules import Levels
from core.store import audit, class_days, flags, validations
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.validations import Draw
from monitor.judgement import flagging
from monitor.judgement.flagging import Decisions
from tests.pool import day, register

NOW = datetime(2026, 4, 1, tzinfo=UTC)
LABELS = ("Cat", "Dog", "Spider")


@pytest.fixture
def held_to(engine: Engine, tmp_path: Path) -> Levels:
    """What the classes of the champion are held to."""
    version = register(engine, tmp_path)
    levels = rules.levels(version, budget=0.3, floor=0.8)
    return replace(levels, reference=np.full(3, 0.9), recovery=np.full(3, 0.88))


def _arrive(
    engine: Engine, held_to: Levels, number: int, cats: tuple[int, int], version: str = "v1"
) -> Decisions:
    """Let one day's counts arrive: (right, images) for Cat, all right for the others."""
    counts = {"Cat": cats, "Dog": (10, 10), "Spider": (10, 10)}
    rows = [
        ClassDay(day(number), version, label, n, k, {}, 0, 1) for label, (k, n) in counts.items()
    ]
    with transaction(engine) as connection:
        class_days.write(connection, rows)
        verdicts = rules.replay(connection, version, day(number), held_to)
        return flagging.decide(connection, version, verdicts, held_to, now=NOW)


class TestDecide:
    """`flagging.decide`."""

    def test_a_flag_is_dated_to_the_day_the_class_sank(self, engine: Engine, held_to: Levels):
        """Slow evidence is told with its beginning, not with its end."""
        for number, right in enumerate([10, 10, 10, 5, 6, 5, 5], start=1):
            opened = _arrive(engine, held_to, number, (right, 10)).opened
            if opened:
                break

        assert (opened[0].since, opened[0].raised_on > day(4)) == (day(4), True)

    def test_a_late_day_may_open_a_flag_in_the_past(self, engine: Engine, held_to: Levels):
        """Labels that come late are no less true."""
        for number in (1, 2, 4):
            _arrive(engine, held_to, number, (10, 10))

        (flag,) = _arrive(engine, held_to, 3, (0, 10)).opened
        assert (flag.raised_on, flag.raised_at) == (day(3), NOW)

    def test_an_episode_that_is_over_is_not_raised_again_by_a_late_day(
        self, engine: Engine, held_to: Levels
    ):
        """The alarm was told once; a replay over it tells nothing new."""
        for number, right in enumerate([10, 0, *[10] * 6], start=2):
            _arrive(engine, held_to, number, (right, 10))
        assert [flag.closed_on is not None for flag in _all(engine)] == [True]
        _arrive(engine, held_to, 1, (10, 10))

        assert len(_all(engine)) == 1

    def test_a_flag_whose_alarm_corrected_labels_explain_away_is_withdrawn(
        self, engine: Engine, held_to: Levels
    ):
        """Nothing else would ever close it; the audit trail says why."""
        _arrive(engine, held_to, 1, (6, 10))
        (flag,) = _arrive(engine, held_to, 3, (4, 10)).opened
        _arrive(engine, held_to, 3, (8, 10))

        assert [each.closed_on for each in _all(engine)] == [day(3)]
        with transaction(engine) as connection:
            (deed,) = audit.latest(connection, 1)
        assert (deed.action, deed.subject, deed.detail["flag"]) == ("withdraw flag", "Cat", flag.id)

    def test_late_news_of_a_replaced_version_is_history(
        self, engine: Engine, held_to: Levels, tmp_path: Path
    ):
        """It was weak, it is gone: nobody has to act on it."""
        register(engine, tmp_path, name="v2", promoted_at=None)
        with transaction(engine) as connection:
            exam = validations.record_draw(connection, Draw(day(5), "v2", 10, False, NOW), [])
            validations.finish(connection, exam, status="done", unreadable=0, now=NOW)

        assert _arrive(engine, held_to, 3, (0, 10)).opened == []

    def test_f13_many_weak_classes_have_a_flag_each(self, engine: Engine, held_to: Levels):
        """F13 is per cause."""
        rows = [ClassDay(day(1), "v1", label, 10, 0, {}, 0, 1) for label in LABELS]
        with transaction(engine) as connection:
            class_days.write(connection, rows)
            verdicts = rules.replay(connection, "v1", day(1), held_to)
            decisions = flagging.decide(connection, "v1", verdicts, held_to, now=NOW)

        assert {flag.label for flag in decisions.opened} == set(LABELS)


def _all(engine: Engine) -> list[flags.Flag]:
    with transaction(engine) as connection:
        return flags.latest(connection)
