"""Healthy classes that do not exist, and the alarms they raise."""

from datetime import date, timedelta

import numpy as np
import pytest

from core.stats.evidence import alarm_threshold
from monitor.judgement import rules, shadow
from monitor.judgement.rules import Levels

FIRST = date(2026, 3, 1)


def _levels(classes: int, budget: float) -> Levels:
    reference = np.linspace(0.85, 0.97, classes)
    return Levels(
        tuple(f"class {i}" for i in range(classes)),
        reference,
        np.full(classes, 400),
        reference - 0.02,
        alarm_threshold(classes, budget),
    )


def _run(levels: Levels, days: int, version: str = "v1") -> list[int]:
    memory, alarms = rules.nothing_remembered(len(levels.labels)), []
    total = np.full(len(levels.labels), 10)
    for number in range(days):
        day = FIRST + timedelta(days=number)
        memory, raised = shadow.next_day(memory, levels, total, version=version, day=day)
        alarms.append(raised)
    return alarms


class TestShadow:
    """`shadow.next_day`."""

    def test_f28_its_false_alarms_stay_within_the_budget(self):
        """90 days of 200 healthy classes at a budget of 30 in 30 days: at most 90, and some."""
        alarms = sum(_run(_levels(200, 30.0), 90))

        assert 0 < alarms <= 90

    def test_the_same_day_of_the_same_version_is_drawn_alike(self):
        """A replay must find the same false alarms."""
        levels = _levels(100, 60.0)

        assert _run(levels, 40) == _run(levels, 40)
        assert _run(levels, 40) != _run(levels, 40, "v2")

    def test_its_classes_answer_as_they_are_held_to(self):
        """Worse would be weak, and better would hide what the detector does."""
        levels = _levels(400, 1e-6)
        memory = rules.nothing_remembered(400)
        total = np.full(400, 1000)
        after, _ = shadow.next_day(memory, levels, total, version="v1", day=FIRST)

        # Under the null each day's likelihood ratio has a mean of 1; its logarithm is below 0.
        assert np.mean(after.log_m < 0) > 0.5

    def test_f25_a_class_without_images_stays_as_it_was(self):
        """F25: nothing is counted where nothing was seen."""
        levels, nothing = _levels(3, 0.3), rules.nothing_remembered(3)
        total = np.array([10, 0, 10])
        after, _ = shadow.next_day(nothing, levels, total, version="v1", day=FIRST)

        assert after.days.tolist() == [1, 0, 1]
        assert np.isneginf(after.log_m[1]).all()

    def test_a_memory_comes_back_from_its_bytes_bit_for_bit(self):
        """The next day goes on from what was kept; equal bits are equal bytes."""
        levels = _levels(5, 0.3)
        memory = rules.nothing_remembered(5)
        for number in range(3):
            day = FIRST + timedelta(days=number)
            memory, _ = shadow.next_day(memory, levels, np.full(5, 7), version="v1", day=day)
        kept = shadow.ShadowDay(memory.day, "v1", 5, 0.3, 0, shadow.packed(memory))
        back = shadow.unpacked(rules.nothing_remembered(5), kept)

        assert shadow.packed(back) == kept.memory
        assert np.array_equal(back.log_m, memory.log_m)


class TestSelfCheck:
    """What is told of it."""

    @pytest.mark.parametrize(("low", "within"), [(0.1, True), (0.31, False)])
    def test_says_when_the_budget_is_out_of_reach(self, low: float, within: bool):
        """An interval above the budget means that the monitor itself is at fault."""
        found = shadow.SelfCheck(90, FIRST, 3, 1.0, low, 2.9, 0.3, within_budget=within)

        assert ("ABOVE" in found.to_text()) is not within
