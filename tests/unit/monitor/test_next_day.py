"""What the detectors promise, asked of the one step that the daily run and a replay both take."""

from dataclasses import fields
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.judging import rules
from core.judging.likeness import in_groups
from core.judging.rules import Levels, Memory
from core.stats.day_bet import Answers
from core.stats.evidence import alarm_threshold
from core.stats.pooled import split_budget

FIRST = date(2026, 3, 1)
K = 4
REFERENCE = np.array([0.95, 0.995, 0.6, 0.03])
# What a day without images of a class leaves as it was.
KEPT = ("log_m", "evidence", "days", "recovery_log_m", "armed")


def levels(reference: NDArray[np.float64], threshold: float, recovery: Any = None) -> Levels:
    """Return what so many classes are held to."""
    labels = tuple(map(str, range(reference.size)))
    lower = np.maximum(reference - 0.02, 0.005) if recovery is None else recovery
    return Levels(labels, reference, np.full(reference.size, 400), lower, threshold)


@st.composite
def histories(draw: st.DrawFn, *, grouped: bool | None = None) -> list[Answers]:
    """Draw up to ten days of K classes, some without images; all days in groups, or none."""
    in_sessions = draw(st.booleans()) if grouped is None else grouped
    days: list[Answers] = []
    for _ in range(draw(st.integers(1, 10))):
        n = np.array(draw(st.lists(st.sampled_from([0, 0, 1, 7, 30]), min_size=K, max_size=K)))
        share = draw(st.lists(st.sampled_from([0.0, 0.4, 0.9, 1.0]), min_size=K, max_size=K))
        k = np.floor(n * np.array(share)).astype(np.int64)
        shared = {i: [[7, min(int(k[i]), 7)]] for i in range(K) if n[i] >= 7 and k[i] + 7 <= n[i]}
        days.append(Answers(k, n, in_groups(k, n, shared) if in_sessions else None))
    return days


def live(
    days: list[Answers], held_to: Levels, restart: NDArray[np.bool_] | None = None
) -> list[tuple[Memory, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return memory, alarms and recoveries after each day; `restart` is of the first."""
    size = held_to.reference.size
    nobody = np.zeros(size, dtype=np.bool_)
    memory, lived = rules.nothing_remembered(size), []
    for i, answers in enumerate(days):
        again = nobody if restart is None or i else restart
        step = rules.next_day(memory, held_to, answers, again, FIRST + timedelta(days=i))
        memory = step[0]
        lived.append(step)
    return lived


class TestAbsentClasses:
    """A class that nobody labelled is neither innocent nor guilty."""

    @settings(deadline=None, max_examples=60)
    @given(histories(), st.lists(st.booleans(), min_size=K, max_size=K))
    def test_stay_as_they_were_to_the_last_bit(self, days: list[Answers], restart: list[bool]):
        """Whatever came before, with an open alarm or without one, by image or by session."""
        lived = live(days, levels(REFERENCE, 20.0), np.array(restart))

        for i in range(1, len(days)):
            (before, _, _), (after, alarm, recovered) = lived[i - 1], lived[i]
            absent = days[i].total == 0
            assert not (alarm | recovered)[absent].any()
            for name in KEPT:
                was, is_now = (getattr(each, name)[absent] for each in (before, after))
                assert was.tobytes() == is_now.tobytes(), name
            # What a class showed when it recovered is told on that day alone.
            shown = np.where(before.armed, before.recovery_evidence, 0.0)[absent]
            assert shown.tolist() == after.recovery_evidence[absent].tolist()
            gone = after.days_without_labels[absent] - before.days_without_labels[absent]
            assert (gone == 1).all()

    @settings(deadline=None, max_examples=40)
    @given(histories(grouped=False))
    def test_and_present_ones_are_judged_as_each_alone(self, days: list[Answers]):
        """A class's alarm must not depend on who else was examined, not in the last bit."""
        together = live(days, levels(REFERENCE, 20.0))
        for c in range(K):
            own = [Answers(day.correct[[c]], day.total[[c]]) for day in days]
            alone = live(own, levels(REFERENCE[[c]], 20.0))
            for (memory, *said), (single, *said_alone) in zip(together, alone, strict=True):
                assert [each[c] for each in said] == [each[0] for each in said_alone]
                for name in (field.name for field in fields(Memory) if field.name != "day"):
                    assert getattr(memory, name)[c].tobytes() == getattr(single, name)[0].tobytes()

    @settings(deadline=None, max_examples=40)
    @given(histories(), st.randoms(use_true_random=False))
    def test_the_order_of_groups_within_a_day_is_none(self, days: list[Answers], dice: Any):
        """Rows come from the database as they please."""
        shuffled: list[Answers] = []
        for day in days:
            groups = day.groups
            if groups is not None:
                order = list(range(groups[0].size))
                dice.shuffle(order)
                groups = tuple(each[order] for each in groups)  # pyright: ignore[reportAssignmentType]
            shuffled.append(Answers(day.correct, day.total, groups))

        for (one, *said), (other, *again) in zip(
            live(days, levels(REFERENCE, 20.0)),
            live(shuffled, levels(REFERENCE, 20.0)),
            strict=True,
        ):
            assert np.array_equal(said, again)
            assert one.log_m.tobytes() == other.log_m.tobytes()
            assert one.recovery_log_m.tobytes() == other.recovery_log_m.tobytes()


def delays(
    accuracy: float, days: int, threshold: float, *, runs: int, seed: int
) -> NDArray[np.int64]:
    """Return the day of each class's first alarm after thirty healthy days; 999 for none."""
    rng = np.random.default_rng(seed)
    total, first = np.full(runs, 10), np.full(runs, 999)
    held_to = levels(np.full(runs, 0.95), threshold)
    nobody = np.zeros(runs, dtype=np.bool_)
    memory = rules.nothing_remembered(runs)
    for day in range(-29, days + 1):
        answers = Answers(rng.binomial(10, 0.95 if day <= 0 else accuracy, runs), total)
        today = FIRST + timedelta(days=day)
        memory, alarm, _ = rules.next_day(memory, held_to, answers, nobody, today)
        first = np.where(alarm & (day > 0) & (first == 999), day, first)
    return first


class TestGoals:
    """The last table of the specification, at the classes' share of a budget of 0.3."""

    @pytest.mark.parametrize(
        ("classes", "accuracy", "median", "late"),
        [
            (15, 0.40, 1, 2), (15, 0.60, 2, 3), (15, 0.80, 5, 10),
            (1000, 0.40, 2, 2), (1000, 0.60, 3, 4), (1000, 0.80, 8, 14),
            (2500, 0.40, 2, 3), (2500, 0.60, 3, 5), (2500, 0.80, 9, 16),
        ],
    )  # fmt: skip
    def test_drops_are_noticed_in_the_days_asked_for(
        self, classes: int, accuracy: float, median: int, late: int
    ):
        """Median and 90th percentile."""
        threshold = alarm_threshold(classes, split_budget(0.3, classes).classes)

        found = delays(accuracy, late + 1, threshold, runs=5_000, seed=20263)

        assert np.quantile(found, 0.5, method="lower") <= median
        assert np.quantile(found, 0.9, method="lower") <= late

    def test_false_alarms_are_as_rare_as_asked_for(self):
        """At K = 15: at most 0.1 false class-alarms in 30 days, after 30 healthy ones."""
        alarmed = delays(0.95, 30, alarm_threshold(15, 0.24), runs=20_000, seed=20262) < 999

        assert 0.04 < 15 * alarmed.mean() < 0.1

    def test_the_budget_is_kept_at_the_reference_itself(self):
        """At most K T / c alarms over healthy classes: the promise the owner was given."""
        rng, classes, threshold = np.random.default_rng(20261), 10_000, 100.0
        days = [Answers(rng.binomial(10, 0.9, classes), np.full(classes, 10)) for _ in range(60)]
        alarms = sum(
            int(alarm.sum()) for _, alarm, _ in live(days, levels(np.full(classes, 0.9), threshold))
        )

        allowed = classes * 60 / threshold
        # Not more than allowed, and not silent for another reason.
        assert allowed / 10 < alarms <= allowed + 4 * np.sqrt(allowed)


class TestRecovery:
    """When an alarm may close: reference 0.91, so level 0.89."""

    @pytest.mark.parametrize(
        ("accuracy", "days", "share"), [(0.95, 14, (0.9, 1.0)), (0.6, 60, (0.0, 0.0))]
    )
    def test_comes_within_two_weeks_for_a_mended_class_and_never_for_a_broken_one(
        self, accuracy: float, days: int, share: tuple[float, float]
    ):
        """A class at 60 % stays on the list however long one waits."""
        rng, runs = np.random.default_rng(20264), 1_000
        answers = [
            Answers(rng.binomial(10, accuracy, runs), np.full(runs, 10)) for _ in range(days)
        ]
        held_to = levels(np.full(runs, 0.91), 1e12)
        lived = live(answers, held_to, np.ones(runs, dtype=np.bool_))

        recovered = np.any([back for *_, back in lived], axis=0)
        assert share[0] <= recovered.mean() <= share[1]

    def test_is_wrong_at_most_once_in_twenty_days_at_the_level_itself(self):
        """The worst still-weak class: its false recoveries are bounded by T / 20."""
        rng, runs = np.random.default_rng(20266), 5_000
        answers = [Answers(rng.binomial(10, 0.89, runs), np.full(runs, 10)) for _ in range(20)]
        lived = live(answers, levels(np.full(runs, 0.91), 1e12), np.ones(runs, dtype=np.bool_))

        assert 0 < sum(int(back.sum()) for *_, back in lived) <= runs
