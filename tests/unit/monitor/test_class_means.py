"""Drift by class from sums alone: without a database."""

import time
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from core.bundle.profile import COLUMNS
from core.stats.means import Moments
from core.store.drift import DriftCheck
from monitor.drift import class_means, drift
from monitor.drift.class_means import FEWEST, Normal
from monitor.drift.columns import Finding

SHARPNESS = COLUMNS.index("sharpness")


def _sums(rng: np.random.Generator, classes: int, n: int) -> Moments:
    """Return what sums of n standard normal values a class and column come to."""
    shape = (classes, len(COLUMNS))
    spread = (n - 1) * rng.chisquare(n - 1, shape) / (n - 1)
    return Moments(np.full(shape, n), rng.normal(0, n**-0.5, shape), spread)


def _moved(sums: Moments, label: int, by: float) -> Moments:
    mean = sums.mean.copy()
    mean[label, SHARPNESS] += by
    return replace(sums, mean=mean)


def _drifting(found: list[Finding]) -> list[tuple[int | None, str]]:
    pairs = zip(found, drift.correct(found), strict=True)
    return [(each.label, each.column) for each, p in pairs if drift.verdict_of(each, p) == "drift"]


class TestCompare:
    """`class_means.compare`."""

    def test_one_class_of_2500_that_moved_is_found_alone(self):
        """4,000 predictions of it on the day: ten million over all."""
        rng = np.random.default_rng(1)
        past, day = _sums(rng, 2_500, 28_000), _moved(_sums(rng, 2_500, 4_000), 1234, -0.4)

        found = class_means.compare([Normal("past", past)], day, ())

        assert len(found) == 2_500 * len(COLUMNS)
        assert _drifting(found) == [(1234, "sharpness")]

    def test_ninety_quiet_days_of_1000_classes_are_no_drift(self):
        """F28: 810,000 tests; five days in a hundred of the family's level at most."""
        rng = np.random.default_rng(2)
        past = Normal("past", _sums(rng, 1_000, 14_000))
        days = [class_means.compare([past], _sums(rng, 1_000, 500), ()) for _ in range(90)]

        assert sum(bool(_drifting(found)) for found in days) <= 2

    @pytest.mark.parametrize(("before", "now"), [(FEWEST, FEWEST), (2_000, FEWEST), (900, 4_000)])
    def test_uncorrected_p_values_are_what_they_say(self, before: int, now: int):
        """5 % of them below 0.05 where nothing moved, within the 1.5 points that are allowed."""
        rng = np.random.default_rng(7)
        found = [
            each
            for _ in range(4)
            for each in class_means.compare(
                [Normal("past", _sums(rng, 500, before))], _sums(rng, 500, now), ()
            )
        ]

        p_values = np.array([each.p_value for each in found])
        assert p_values.size == 4 * 500 * len(COLUMNS)
        assert 0.035 <= np.mean(p_values <= 0.05) <= 0.065

    def test_is_a_matter_of_seconds(self):
        """22,500 tests, corrected and judged."""
        rng = np.random.default_rng(3)
        past, day = _sums(rng, 2_500, 28_000), _sums(rng, 2_500, 4_000)
        begun = time.process_time()

        _drifting(class_means.compare([Normal("past", past)], day, ()))

        assert time.process_time() - begun < 5

    def test_takes_the_first_reference_that_has_rows_enough(self):
        """The profile knows a few classes well; the rest is compared with past days."""
        rng = np.random.default_rng(4)
        profile, past = _sums(rng, 3, FEWEST), _sums(rng, 3, 5_000)
        profile.n[1] = FEWEST - 1
        past.n[2] = profile.n[2] = 0

        found = class_means.compare(
            [Normal("profile", profile), Normal("past", past)], _sums(rng, 3, 400), ()
        )

        names = {(each.label, each.reference, each.reference_n) for each in found}
        assert names == {(0, "profile", FEWEST), (1, "past", 5_000)}

    def test_leaves_out_rare_classes_and_those_the_sample_had_room_for(self):
        """F25: fewer than a hundred predictions say little; and no class is tested twice."""
        rng = np.random.default_rng(5)
        day = _sums(rng, 3, 400)
        day.n[0] = FEWEST - 1

        found = class_means.compare([Normal("past", _sums(rng, 3, 5_000))], day, {2})

        assert {each.label for each in found} == {1}

    def test_a_sure_but_tiny_shift_is_no_drift(self):
        """A fifth of a standard deviation in a million predictions."""
        rng = np.random.default_rng(6)
        past, day = _sums(rng, 2, 10**6), _moved(_sums(rng, 2, 10**6), 1, 0.2)

        found = class_means.compare([Normal("past", past)], day, ())

        assert min(each.p_value or 0 for each in found) < 1e-100
        assert _drifting(found) == []


class TestTelling:
    """`drift.telling`: what of thousands of checks is kept."""

    @pytest.fixture
    def checks(self) -> list[DriftCheck]:
        """Two classes by means, the first with two columns that drifted, and one by its sample."""
        blank = DriftCheck(
            date(2026, 3, 1), "v1", "", class_means.MEANS, 500, 500, 1.0, 0.5, 0.9, 0.1, 0.25,
            0.05, "no drift",
        )  # fmt: skip
        found: list[DriftCheck] = []
        for label in ("Ant", "Bee"):
            found += [
                replace(blank, label=label, column=name, p_value=0.9 - place / 10)
                for place, name in enumerate(COLUMNS)
            ]
        found[0] = replace(found[0], verdict="drift", p_value=1e-9)
        found[3] = replace(found[3], verdict="drift", p_value=1e-9)
        return [*found, *(replace(each, label="Cat", method="other") for each in found[:9])]

    def test_keeps_what_drifted_or_else_what_came_nearest(self, checks: list[DriftCheck]):
        """A class that was compared has a row, and 2,500 of them not 22,500."""
        kept = [(each.label, each.column) for each in drift.telling(checks)]

        assert kept[:3] == [("Ant", COLUMNS[0]), ("Ant", COLUMNS[3]), ("Bee", COLUMNS[8])]
        assert kept[3:] == [("Cat", name) for name in COLUMNS]
