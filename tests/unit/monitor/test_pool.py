"""The model as a whole, from day to day."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from core.judging import pool
from core.judging.pool import Today, pool_of
from core.stats.day_bet import Answers
from core.store.model_days import ModelDay
from core.store.registry import Version

FIRST = date(2026, 3, 1)
CLASSES = 15
LABELS = [f"class {i}" for i in range(CLASSES)]


def version(reference: dict[str, dict[str, int]], labels: list[str] = LABELS) -> Version:
    """Return a version with these counts on its reference images."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return Version(
        "v1", 1, "c", "/b", "0" * 64, labels, None, "0" * 64, now, {}, reference, {}, "0", now
    )


KNOWN = version({label: {"n": 1000, "correct": 950} for label in LABELS})


def live(
    days: list[np.ndarray], *, images: int = 10, weak: tuple[int, ...] = (), left_out=()
) -> list[ModelDay]:
    """Return the whole after each day of right answers, shape (K,), of so many images a class."""
    held_to = pool_of(KNOWN, budget=0.3, left_out=left_out)
    known_weak = np.isin(np.arange(CLASSES), weak)
    lived: list[ModelDay] = []
    for i, correct in enumerate(days):
        answers = Answers(correct, np.full(CLASSES, images))
        lived.append(
            pool.next_day(
                lived[-1] if lived else None,
                held_to,
                answers,
                known_weak,
                Today(FIRST + timedelta(days=i), "v1"),
            )
        )
    return lived


def drawn(accuracy: float, days: int, seed: int = 0, images: int = 10) -> list[np.ndarray]:
    """Return days on which every class is right this often."""
    rng = np.random.default_rng(seed)
    return [rng.binomial(images, accuracy, CLASSES) for _ in range(days)]


class TestNextDay:
    """One more day of all classes together."""

    def test_sees_a_small_drop_everywhere_and_then_its_end(self):
        """Six points less in every class: none of them would say so for weeks."""
        lived = live(drawn(0.95, 20) + drawn(0.89, 25, seed=1) + drawn(0.96, 60, seed=2))

        alarms = [i for i, each in enumerate(lived) if each.alarm]
        recoveries = [i for i, each in enumerate(lived) if each.recovered]
        assert 20 <= alarms[0] < 35
        assert recoveries
        assert recoveries[0] >= 45
        assert lived[-1].recovery_log_m == []

    def test_keeps_its_budget_while_all_is_well(self):
        """0.06 alarms in 30 days: over 40 runs of 30 days, two or three."""
        alarms = sum(
            each.alarm for seed in range(40) for each in live(drawn(0.95, 30, seed=100 + seed))
        )

        assert alarms <= 5

    def test_leaves_out_a_class_that_has_an_alarm_of_its_own(self):
        """One broken class is one alert, not two."""
        days = drawn(0.95, 30)
        for day in days:
            day[3] = 0

        assert any(each.alarm for each in live(days))
        assert not any(each.alarm for each in live(days, weak=(3,)))
        assert live(days, weak=(3,))[0].n == 140

    def test_leaves_out_what_the_owner_left_out(self):
        """Who does not want to hear of a class does not want to hear of it under another name."""
        days = drawn(0.95, 30)
        for day in days:
            day[3] = 0

        assert not any(each.alarm for each in live(days, left_out=(LABELS[3],)))

    def test_never_recovers_on_one_good_day(self):
        """However many images it has."""
        lived = live(drawn(0.6, 2, images=400) + [np.full(CLASSES, 400)] * 2, images=400)

        assert [each.alarm for each in lived[:2]] == [True, True]
        assert [each.recovered for each in lived[1:]] == [False, False, True]

    def test_stays_where_it_was_on_a_day_without_images(self):
        """No labels are no evidence, in neither direction."""
        before = live(drawn(0.9, 1))[0]
        after = pool.next_day(
            before,
            pool_of(KNOWN, budget=0.3, left_out=()),
            Answers(np.zeros(CLASSES, dtype=int), np.zeros(CLASSES, dtype=int)),
            np.zeros(CLASSES, dtype=bool),
            Today(FIRST + timedelta(days=1), "v1"),
        )

        assert (after.log_m, after.evidence) == (before.log_m, before.evidence)

    def test_makes_groups_one_bet_each(self):
        """Ten wrong pictures of one burst in each class are fifteen mistakes, not 150."""
        nothing, held_to = np.zeros(CLASSES, dtype=int), pool_of(KNOWN, budget=0.3, left_out=())
        ten, owner = np.full(CLASSES, 10), np.arange(CLASSES)
        weak, today = np.zeros(CLASSES, dtype=bool), Today(FIRST, "v1", correlation=0.5)

        alone = pool.next_day(None, held_to, Answers(nothing, ten), weak, today)
        bursts = Answers(nothing, ten, (owner, nothing, ten))
        together = pool.next_day(None, held_to, bursts, weak, today)

        assert (alone.grouped, together.grouped) == (False, True)
        assert 0 < np.log(together.evidence) < 0.2 * np.log(alone.evidence)

    def test_goes_on_from_what_another_version_left(self):
        """The alert stays until the new version has shown that all is well."""
        held_to = pool_of(KNOWN, budget=0.3, left_out=())
        found = pool.next_day(
            None,
            held_to,
            Answers(np.full(CLASSES, 10), np.full(CLASSES, 10)),
            np.zeros(CLASSES, dtype=bool),
            Today(FIRST, "v2", restart=True),
        )

        assert (len(found.recovery_log_m) > 0, found.recovered) == (True, False)


class TestPoolOf:
    """Whether there is anything to pool."""

    @pytest.mark.parametrize(
        ("reference", "labels", "left_out"),
        [
            ({}, LABELS, ()),
            ({"Cat": {"n": 50, "correct": 40}}, ["Cat"], ()),
            ({label: {"n": 9, "correct": 9} for label in "ab"}, ["a", "b"], ("b",)),
        ],
    )
    def test_is_nothing_for_one_class_or_without_reference(self, reference, labels, left_out):
        """A single class is its own pool, and keeps the whole budget."""
        assert pool_of(version(reference, labels), budget=0.3, left_out=left_out) is None

    def test_has_a_fifth_of_the_budget(self):
        """The formula is c = 30 / (0.2 b)."""
        held_to = pool_of(KNOWN, budget=0.3, left_out=())

        assert held_to is not None
        assert held_to.threshold == pytest.approx(500)
