"""Told worse only when it is: exact, and rarely wrong though it is asked every day."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.stats.evidence import alarm_threshold, empty_log_m, step
from core.stats.worse import (
    DAILY_LEVEL,
    RECENT_DAYS,
    Counts,
    find_worse,
    lower_p_value,
    pairs_of,
)

COUNTS = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


class TestLowerPValue:
    """`lower_p_value`."""

    @given(COUNTS, COUNTS)
    def test_is_fishers_exact_test_against_one_side(
        self, now: tuple[int, int], then: tuple[int, int]
    ):
        """SciPy's own, for any table."""
        (k, n), (k0, n0) = now, then
        expected = stats.fisher_exact([[k, n - k], [k0, n0 - k0]], alternative="less").pvalue

        assert float(lower_p_value(k, n, k0, n0)) == pytest.approx(expected, abs=1e-9)


class TestCounts:
    """How many single images a few sessions are worth."""

    @pytest.mark.parametrize(
        ("sizes", "correlation", "worth"),
        [((10,), 0.0, 10), ((10,), 1.0, 1), ((10, 10), 1.0, 2), ((10,), 0.1, 5), ((), 0.5, 4)],
    )
    def test_is_kishs_effective_sample_size(
        self, sizes: tuple[int, ...], correlation: float, worth: int
    ):
        """Ten images that are all the same are one; single ones are what they are."""
        images = sum(sizes) or 4

        assert Counts(0, images, pairs_of(sizes)).worth(correlation) == worth

    @given(st.lists(st.integers(1, 30), max_size=8), st.floats(0, 1, allow_subnormal=False))
    def test_lies_between_the_groups_and_the_images(self, sizes: list[int], correlation: float):
        """Never more than there are, and for equal groups never fewer than the groups."""
        worth = Counts(0, sum(sizes), pairs_of(sizes)).worth(correlation)

        assert worth <= sum(sizes)
        assert worth >= (1 if sizes else 0)
        assert len(set(sizes)) != 1 or worth >= len(sizes)


class TestFindWorse:
    """`find_worse`."""

    @pytest.mark.parametrize("days", [[], [(0, 0)], [(0, 0), (3, 5)]])
    def test_little_shows_nothing(self, days: list[tuple[int, int]]):
        """Neither no day, nor one without images, nor a few images."""
        assert find_worse([Counts(*day) for day in days], Counts(12, 20)) is None

    def test_nothing_is_worse_than_what_was_never_counted(self):
        """Or than none of ten."""
        assert find_worse([Counts(0, 100)], Counts(0, 0)) is None
        assert find_worse([Counts(0, 100)], Counts(0, 10)) is None

    def test_names_the_days_it_rests_on(self):
        """The last seven with images, where a long quiet time would hide it."""
        quiet = [Counts(12, 20)] * 30
        fallen = [Counts(0, 20), Counts(0, 0), Counts(0, 20), Counts(0, 20)]
        found = find_worse([*quiet, *fallen], Counts(60, 100))

        assert found is not None
        assert found.first == len(quiet) - (RECENT_DAYS - 3)
        assert (found.correct, found.n) == (12 * 4, 20 * RECENT_DAYS)
        assert found.p_value <= DAILY_LEVEL / 2

    @pytest.mark.parametrize(("share", "n"), [(0.7, 10), (0.4, 10), (0.4, 40), (0.1, 20)])
    def test_a_class_that_stays_is_told_falsely_in_under_one_of_twenty_months(
        self, share: float, n: int
    ):
        """From the alarm on, with the told days chosen as they are chosen: looks are counted."""
        rng = np.random.default_rng([5, int(100 * share), n])
        false = [self._month(rng, share, n) for _ in range(150)]

        assert np.mean(false) < 0.05

    @pytest.mark.parametrize("correlation", [0.1, 0.3])
    def test_a_class_that_stays_is_rarely_told_where_images_are_alike(self, correlation: float):
        """One session of ten a day: at most 3 of 100 months, and image by image many more."""
        rng = np.random.default_rng(11)
        months = [self._sessions(rng, 0.6, correlation, 35) for _ in range(150)]

        told = [Counts(*np.sum(days[:5], axis=0).tolist()) for days in months]
        false = [
            [
                any(find_worse(days[5 : day + 1], then, known) for day in range(5, 35))
                for days, then in zip(months, told, strict=True)
            ]
            for known in (correlation, 0.0)
        ]
        assert np.mean(false[0]) <= 0.03 < np.mean(false[1])

    def test_a_class_that_falls_is_told_where_images_are_alike(self):
        """From 60 % to one in ten, a session of ten a day: within two weeks, as a rule."""
        rng = np.random.default_rng(12)
        told = Counts(30, 50, 5 * 90)
        needed = []
        for _ in range(40):
            days = self._sessions(rng, 0.1, 0.1, 40)
            first = (n for n in range(40) if find_worse(days[:n], told, 0.1))
            needed.append(next(first, 99))

        assert np.median(needed) <= 14

    def test_a_class_that_falls_is_told_within_days(self):
        """From 12 of 20 to one in ten, at ten images a day."""
        rng = np.random.default_rng(7)
        needed = []
        for _ in range(100):
            days: list[Counts] = []
            while not find_worse(days, Counts(12, 20)):
                days.append(Counts(int(rng.binomial(10, 0.1)), 10))
            needed.append(len(days))

        assert np.median(needed) <= 4

    def _sessions(
        self, rng: np.random.Generator, share: float, correlation: float, days: int
    ) -> list[Counts]:
        """Return days of one session of ten images each, so alike."""
        strength = 1 / correlation - 1
        shares = rng.beta(share * strength, (1 - share) * strength, days)
        return [Counts(int(k), 10, pairs_of([10])) for k in rng.binomial(10, shares)]

    def _month(self, rng: np.random.Generator, share: float, n: int) -> bool:
        """Let a class fall, be told of, and stay; say whether it was told worse in thirty days."""
        threshold, log_m, right = alarm_threshold(15, 0.3), empty_log_m(1), []
        reference = np.array([0.9])
        evidence = np.zeros(1)
        while evidence[0] < threshold:
            p = 0.93 if len(right) < 5 else share
            right.append(int(rng.binomial(n, p)))
            log_m, evidence = step(log_m, np.array([right[-1]]), np.array([n]), reference)
        ratios, _ = step(
            empty_log_m(len(right)),
            np.array(right),
            np.full(len(right), n),
            np.full(len(right), reference[0]),
        )
        since = np.logaddexp.reduce(np.cumsum(ratios[::-1], axis=0)[::-1], axis=1)
        first = int(np.argmax(since))
        told = Counts(sum(right[first:]), n * (len(right) - first))
        days = [Counts(int(k), n) for k in rng.binomial(n, share, 30)]
        return any(find_worse(days[: day + 1], told) for day in range(30))
