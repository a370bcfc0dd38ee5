"""Healthy classes that do not exist, and the alarms they raise."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest

from core.judging import rules
from core.judging.rules import Levels
from core.stats.day_bet import intraclass_correlation
from core.stats.evidence import alarm_threshold
from core.store.class_days import ClassDay
from core.store.model_days import ModelDay
from monitor.judgement import shadow

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


def _rows(levels: Levels, total: Sequence[int], sizes: Sequence[int] = ()) -> list[ClassDay]:
    """Return real classes of a day with so many images, of which some belong together."""
    shared = [[n, 0] for n in sizes]
    return [
        ClassDay(FIRST, "v1", label, n, 0, {}, 0.0, 1.0, shared)
        for label, n in zip(levels.labels, total, strict=True)
    ]


def _whole(correlation: float, *, grouped: bool) -> ModelDay:
    return ModelDay(
        FIRST, "v1", 0, 0, correlation, grouped, None, None, 0.0, [], False, 0.0, [], False
    )


def _run(
    levels: Levels, days: int, version: str = "v1", whole: ModelDay | None = None
) -> list[int]:
    memory, alarms = rules.nothing_remembered(len(levels.labels)), []
    rows = _rows(levels, [10] * len(levels.labels), [10] if whole else [])
    for number in range(days):
        day = FIRST + timedelta(days=number)
        answers = shadow.answer(levels, rows, whole, version=version, day=day)
        memory, raised = shadow.next_day(memory, levels, answers, day)
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
        answers = shadow.answer(levels, _rows(levels, [1000] * 400), None, version="v1", day=FIRST)

        off = answers.correct / 1000 - levels.reference
        assert np.abs(off.mean()) < 4 * np.sqrt(0.09 / 1000 / 400)
        assert np.abs(off).max() < 5 * np.sqrt(0.13 / 1000)

    @pytest.mark.parametrize("alike", [0.0, 0.3, 1.0])
    def test_its_groups_are_as_large_and_as_alike_as_the_real_ones(self, alike: float):
        """What is simulated must be what is judged."""
        levels = _levels(400, 0.3)
        rows = _rows(levels, [12] * 400, [4, 6])
        whole = _whole(alike, grouped=True)
        answers = shadow.answer(levels, rows, whole, version="v1", day=FIRST)

        assert answers.groups is not None
        owner, correct, total = answers.groups
        assert sorted(total[owner == 7].tolist()) == [1, 1, 4, 6]
        assert np.bincount(owner, correct, 400).tolist() == answers.correct.tolist()
        found = intraclass_correlation(correct, total, np.zeros_like(owner))
        assert found == pytest.approx(alike, abs=0.06)

    def test_f28_groups_that_are_alike_stay_within_the_budget_as_one_bet(self):
        """F28: as the real ones are judged; image by image they would raise many more."""
        levels = _levels(200, 6.0)
        as_groups = sum(_run(levels, 60, whole=_whole(0.3, grouped=True)))
        as_images = sum(_run(levels, 60, whole=_whole(0.3, grouped=False)))

        assert as_groups <= 12 < as_images

    def test_f25_a_class_without_images_stays_as_it_was(self):
        """F25: nothing is counted where nothing was seen."""
        levels, nothing = _levels(3, 0.3), rules.nothing_remembered(3)
        answers = shadow.answer(levels, _rows(levels, [10, 0, 10]), None, version="v1", day=FIRST)
        after, _ = shadow.next_day(nothing, levels, answers, FIRST)

        assert after.days.tolist() == [1, 0, 1]
        assert np.isneginf(after.log_m[1]).all()

    def test_a_memory_comes_back_from_its_bytes_bit_for_bit(self):
        """The next day goes on from what was kept; equal bits are equal bytes."""
        levels = _levels(5, 0.3)
        memory = rules.nothing_remembered(5)
        for number in range(3):
            day = FIRST + timedelta(days=number)
            answers = shadow.answer(levels, _rows(levels, [7] * 5), None, version="v1", day=day)
            memory, _ = shadow.next_day(memory, levels, answers, day)
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
