"""The detectors' memory from day to day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from core.judging import rules
from core.judging.rules import Levels, Memory
from core.stats.day_bet import Answers, group_weights_of
from core.stats.evidence import (
    RATIOS,
    RATIOS_UP,
    RECOVERY_THRESHOLD,
    empty_log_m,
    evidence_of,
    recovery_step,
    weights_of,
)
from core.store.class_days import ClassDay
from core.store.model_days import ModelDay
from core.store.registry import Version

FIRST = date(2026, 3, 1)
LEVELS = Levels(
    labels=("Cat", "Dog"),
    reference=np.array([0.9, 0.95]),
    images=np.array([200, 200]),
    recovery=np.array([0.88, 0.93]),
    threshold=200.0,
)
NO_ONE = np.zeros(2, dtype=bool)


def _live(
    days: list[tuple[list[int], list[int]]], restart_on: int | None = None
) -> list[tuple[Memory, list[bool], list[bool]]]:
    """Return memory, alarms and recoveries after each day of (correct, total)."""
    memory, lived = rules.nothing_remembered(2), []
    for i, (correct, total) in enumerate(days):
        counts = Answers(np.array(correct), np.array(total))
        restart = np.full(2, i == restart_on)
        memory, alarm, back = rules.next_day(
            memory, LEVELS, counts, restart, FIRST + timedelta(days=i)
        )
        lived.append((memory, alarm.tolist(), back.tolist()))
    return lived


def _version(reference: dict[str, dict[str, int]], labels: list[str]) -> Version:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return Version(
        "v1", 1, "c", "/b", "0" * 64, labels, None, "0" * 64, now, {}, reference, {}, "0", now
    )


def _day(number: int, n: int, correct: int) -> ClassDay:
    return ClassDay(FIRST + timedelta(days=number), "v1", "Cat", n, correct, {}, 0.0, 1.0)


class TestNextDay:
    """One day's step of all classes."""

    def test_recovery_is_counted_from_the_alarm_on_and_not_from_before(self):
        """Forty good days before the alarm close no flag after it."""
        lived = _live([([10, 10], [10, 10])] * 40 + [([0, 10], [10, 10])] * 2)
        lived += _live([([0, 10], [10, 10])] + [([10, 10], [10, 10])] * 6)
        expected, log_m = [False], empty_log_m(1, RATIOS_UP)
        for _ in range(6):
            log_m, shown = recovery_step(log_m, [10], [10], LEVELS.recovery[:1])
            expected.append(bool(shown[0] >= RECOVERY_THRESHOLD))

        after = [back[0] for _, _, back in lived[42:]]
        first = expected.index(True)
        assert (after[: first + 1], any(after[first + 1 :])) == (expected[: first + 1], False)
        assert not any(back[0] for _, _, back in lived[:42])

    def test_a_class_that_never_raised_an_alarm_has_nothing_to_recover_from(self):
        """A healthy class is not reported as recovered every few days."""
        lived = _live([([10, 10], [10, 10])] * 20)

        assert not any(any(back) or memory.armed.any() for memory, _, back in lived)

    def test_a_day_without_images_leaves_the_detectors_alone(self):
        """No labels is no evidence, in neither direction."""
        lived = _live([([5, 10], [10, 10]), ([0, 10], [0, 10])])

        (before, _, _), (after, alarm, _) = lived
        assert after.log_m[0].tolist() == before.log_m[0].tolist()
        assert (after.evidence[0], after.days[0], alarm[0]) == (before.evidence[0], 1, False)

    def test_days_without_labels_are_calendar_days(self):
        """A missed exam is no excuse: the labels are as old as they are."""
        memory, *_ = _live([([10, 0], [10, 0])])[-1]
        later, *_ = rules.next_day(
            memory,
            LEVELS,
            Answers(np.zeros(2, int), np.zeros(2, int)),
            NO_ONE,
            FIRST + timedelta(5),
        )

        assert later.days_without_labels.tolist() == [5, 6]

    @pytest.mark.parametrize("images", [10, 75, 400])
    def test_never_recovers_on_one_good_day(self, images: int):
        """The adaptive draw gives a suspect seventy-five images in a day; still it is one day."""
        days = [([0, 10], [10, 10]), ([images, 10], [images, 10]), ([images, 10], [images, 10])]
        lived = _live(days)

        back = [recovered[0] for _, _, recovered in lived]
        assert back == [False, False, images > 10]

    def test_an_alarm_begins_anew(self):
        """After an alarm the next one needs its own evidence."""
        (memory, alarm, _), *_ = _live([([0, 10], [10, 10])])

        assert (alarm, np.isneginf(memory.log_m[0]).all()) == ([True, False], True)

    def test_an_inherited_flag_waits_for_recovery_from_its_first_day(self):
        """A new version has to show that the class is well again."""
        lived = _live([([10, 10], [10, 10])] * 6, restart_on=0)

        assert [any(back[0] for _, _, back in lived), lived[-1][0].armed[0]] == [True, False]


class TestForBet:
    """The day on which images of a session become one bet, or are it no longer."""

    @pytest.mark.parametrize("to_groups", [True, False])
    def test_no_class_gains_or_loses_evidence(self, to_groups: bool):
        """The alternatives are weighed otherwise from then on; also for a class without images."""
        rng = np.random.default_rng(3)
        before = replace(rules.nothing_remembered(2), log_m=rng.normal(size=(2, len(RATIOS))))
        total = np.array([10, 0])
        groups = (np.array([0]), np.array([9]), np.array([10])) if to_groups else None
        answers = Answers(np.array([9, 0]), total, groups)
        was = ModelDay(
            FIRST, "v1", 0, 0, 0.0, not to_groups, *[None] * 2, 0, [], False, 0, [], False
        )

        after = rules.for_bet(before, answers, was)

        weights = [weights_of(RATIOS), group_weights_of(RATIOS)]
        old, new = weights if to_groups else weights[::-1]
        assert evidence_of(after.log_m, new) == pytest.approx(evidence_of(before.log_m, old))
        assert evidence_of(before.log_m, new) != pytest.approx(evidence_of(before.log_m, old))

    def test_nothing_changes_between_days_of_one_kind(self):
        """Nor on a version's first day."""
        memory = rules.nothing_remembered(2)
        answers = Answers(np.array([9, 0]), np.array([10, 0]))

        assert rules.for_bet(memory, answers, None) is memory


class TestChangeDay:
    """When a class most likely sank."""

    def test_names_the_first_bad_day(self):
        """Ten good days, then three bad ones."""
        days = [_day(i, 10, 10) for i in range(10)] + [_day(10 + i, 10, 2) for i in range(3)]

        assert rules.change_day(days, 0.9) == FIRST + timedelta(days=10)

    def test_passes_over_days_without_images(self):
        """A day that was not examined cannot be when it began."""
        days = [_day(0, 10, 10), _day(1, 0, 0), _day(2, 10, 1)]

        assert rules.change_day(days, 0.9) == FIRST + timedelta(days=2)

    def test_of_a_class_weak_from_the_start_is_the_start(self):
        """A single day can be all there is."""
        assert rules.change_day([_day(0, 10, 0)], 0.9) == FIRST


class TestLevels:
    """What classes are held to."""

    def test_the_threshold_shares_the_budget_over_all_classes(self):
        """The formula is c = 30 K / b."""
        counts = {"n": 200, "correct": 190}
        held_to = rules.levels(
            _version(dict.fromkeys("ab", counts), ["a", "b"]), budget=0.3, floor=0.8
        )

        assert held_to.threshold == pytest.approx(200)

    def test_f25_a_label_without_reference_images_gets_the_others_prior(self):
        """F25: a class with none must not stop the day, nor be flagged for it."""
        counts = {label: {"n": 200, "correct": 190 + i} for i, label in enumerate("ab")}
        held_to = rules.levels(_version(counts, ["a", "b", "new"]), budget=0.3, floor=0.8)

        assert (0.5 < held_to.reference[2] < 0.96, held_to.images[2]) == (True, 0)

    def test_without_any_reference_the_floor_is_what_all_are_held_to(self):
        """A bundle from elsewhere may know no counts."""
        held_to = rules.levels(_version({}, ["a", "b"]), budget=0.3, floor=0.8)

        assert held_to.reference.tolist() == [0.8, 0.8]


class TestManyClasses:
    """F28: nothing changes for 90 days in 100 classes."""

    def test_f28_false_alarms_stay_within_the_budget(self):
        """At a budget of 0.3 in 30 days, 90 days may see 0.9 on average; here over 20 runs."""
        rng, k = np.random.default_rng(5), 100
        truth = np.full(k, 0.95)
        held_to = Levels(tuple(map(str, range(k))), truth, np.full(k, 200), truth - 0.02, 10_000.0)
        alarms = 0
        for _ in range(20):
            memory = rules.nothing_remembered(k)
            for i in range(90):
                counts = Answers(rng.binomial(10, truth), np.full(k, 10))
                memory, alarm, _ = rules.next_day(
                    memory, held_to, counts, np.zeros(k, bool), FIRST + timedelta(days=i)
                )
                alarms += int(alarm.sum())

        assert alarms <= 0.9 * 20
