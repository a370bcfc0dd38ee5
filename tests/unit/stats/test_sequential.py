import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StatisticsError
from core.stats.evidence import alarm_threshold
from core.stats.pooled import split_budget
from core.stats.sequential import RecoveryDetector, SequentialDetector

K = 4
REFERENCE = np.array([0.95, 0.995, 0.6, 0.03])
both_detectors = pytest.mark.parametrize("kind", [SequentialDetector, RecoveryDetector])


@st.composite
def histories(draw):
    """Draw up to a dozen days of (correct, total) for K classes, some without images."""
    days = draw(st.integers(1, 12))
    total = np.array(draw(st.lists(st.integers(0, 30), min_size=days * K, max_size=days * K)))
    share = draw(
        st.lists(st.floats(0, 1, allow_subnormal=False), min_size=days * K, max_size=days * K)
    )
    correct = np.floor(total * np.array(share)).astype(int)
    return list(zip(correct.reshape(days, K), total.reshape(days, K), strict=True))


def same(one, other):
    """Say whether two detectors know the same, to the last bit."""
    return json.dumps(one.to_state()) == json.dumps(other.to_state())


def simulate(detector, accuracy, days, classes, *, rng):
    """Return the day of each class's first verdict, counted from 1; 999 when there is none."""
    first, total = np.full(classes, 999), np.full(classes, 10)
    for day in range(1, days + 1):
        spoke = detector.update(rng.binomial(10, accuracy, classes), total)
        first = np.where(spoke & (first == 999), day, first)
    return first


class TestSequentialDetector:
    """Alarms for classes that sank below their reference."""

    def test_raises_an_alarm_for_the_class_that_broke_and_no_other(self):
        """What the owner is paged for."""
        detector = SequentialDetector(np.full(3, 0.95))

        alarms = [detector.update([10, 3, 9], [10, 10, 10]) for _ in range(3)]

        assert [day.tolist() for day in alarms] == [[False, True, False]] * 3

    def test_starts_again_from_nothing_after_an_alarm_but_shows_what_it_saw(self):
        """The dashboard draws the peak; the budget counts each alarm once."""
        detector = SequentialDetector(np.array([0.95]))
        fresh = detector.log_m

        assert detector.update([1], [10])[0]

        assert detector.evidence[0] > detector.threshold
        assert np.array_equal(detector.log_m, fresh)

    def test_leaves_a_class_without_images_untouched(self):
        """A class nobody labelled is neither innocent nor guilty."""
        detector = SequentialDetector(np.full(2, 0.9))
        detector.update([8, 7], [10, 10])
        before = detector.to_state()

        detector.update([9, 0], [10, 0])

        assert detector.days.tolist() == [2, 1]
        assert detector.evidence[1] == before["evidence"][1]
        assert detector.log_m[1].tolist() == before["log_m"][1]

    def test_does_not_repeat_an_alarm_on_a_day_without_images(self):
        """The evidence shown stays above the threshold; the alarm was yesterday's."""
        detector = SequentialDetector(np.array([0.9]))
        detector.update([0], [10])

        assert not detector.update([0], [0])[0]

    def test_takes_its_threshold_from_the_budget_or_as_given(self):
        """Classes kept in separate rows still share one budget."""
        shared = alarm_threshold(15, 0.3)

        assert SequentialDetector(np.full(15, 0.9), budget=0.3).threshold == shared
        assert SequentialDetector([0.9], threshold=shared).threshold == shared

    @settings(deadline=None, max_examples=50)
    @given(histories())
    def test_updates_classes_together_as_each_alone(self, days):
        """A class's alarm must not depend on who else was examined, not in the last bit."""
        together = SequentialDetector(REFERENCE, threshold=50)
        alone = [SequentialDetector(REFERENCE[[c]], threshold=50) for c in range(K)]
        for k, n in days:
            alarms = together.update(k, n)
            singly = [alone[c].update(k[[c]], n[[c]])[0] for c in range(K)]

            assert alarms.tolist() == singly
        assert np.array_equal(together.log_m, np.vstack([one.log_m for one in alone]))
        assert np.array_equal(together.evidence, np.hstack([one.evidence for one in alone]))

    @pytest.mark.parametrize(("correct", "total"), [([9], [10]), ([11, 1], [10, 10])])
    def test_counts_nothing_of_a_day_it_refuses(self, correct, total):
        """A half-counted day could never be replayed."""
        detector, untouched = SequentialDetector([0.9, 0.9]), SequentialDetector([0.9, 0.9])

        with pytest.raises(StatisticsError):
            detector.update(correct, total)

        assert same(detector, untouched)

    @pytest.mark.parametrize("reference", [[], [1.0], [0.0], [np.nan], [[0.9]]])
    def test_refuses_a_reference_that_cannot_be_bet_against(self, reference):
        """Against "always right" a single mistake is infinite evidence."""
        with pytest.raises(StatisticsError):
            SequentialDetector(reference)

    @pytest.mark.parametrize("threshold", [0.0, -1.0, np.nan, np.inf])
    def test_refuses_a_threshold_that_is_always_or_never_reached(self, threshold):
        """Both would pass for a working detector."""
        with pytest.raises(StatisticsError, match="threshold"):
            SequentialDetector([0.9], threshold=threshold)

    def test_keeps_the_alarm_budget_at_the_reference_itself(self):
        """At most K T / c alarms over healthy classes: the promise the owner was given."""
        rng, classes, threshold = np.random.default_rng(20261), 20_000, 100.0
        detector = SequentialDetector(np.full(classes, 0.9), threshold=threshold)
        alarms = sum(
            int(detector.update(rng.binomial(10, 0.9, classes), np.full(classes, 10)).sum())
            for _ in range(60)
        )

        allowed = classes * 60 / threshold
        assert alarms <= allowed + 4 * np.sqrt(allowed)
        assert alarms > allowed / 10  # and it is not silent for another reason

    def test_raises_false_alarms_as_rarely_as_the_goals_say(self):
        """At K = 15: at most 0.1 false class-alarms in 30 days, after 30 healthy ones."""
        rng, classes = np.random.default_rng(20262), 30_000
        detector = SequentialDetector(np.full(classes, 0.95), threshold=alarm_threshold(15, 0.24))
        simulate(detector, 0.95, 30, classes, rng=rng)

        alarmed = (simulate(detector, 0.95, 30, classes, rng=rng) < 999).mean()

        assert 0.05 < 15 * alarmed < 0.1

    @pytest.mark.parametrize(
        ("classes", "accuracy", "median", "late"),
        [
            (15, 0.40, 1, 2), (15, 0.60, 2, 3), (15, 0.80, 5, 10),
            (1000, 0.40, 2, 2), (1000, 0.60, 3, 4), (1000, 0.80, 8, 14),
            (2500, 0.40, 2, 3), (2500, 0.60, 3, 5), (2500, 0.80, 9, 16),
        ],
    )  # fmt: skip
    def test_notices_drops_in_the_days_the_goals_say(self, classes, accuracy, median, late):
        """Median and 90th percentile, with the classes' share of the budget."""
        rng, runs = np.random.default_rng(20263), 10_000
        threshold = alarm_threshold(classes, split_budget(0.3, classes).classes)
        detector = SequentialDetector(np.full(runs, 0.95), threshold=threshold)
        simulate(detector, 0.95, 30, runs, rng=rng)

        delays = simulate(detector, accuracy, 30, runs, rng=rng)

        assert np.quantile(delays, 0.5, method="lower") <= median
        assert np.quantile(delays, 0.9, method="lower") <= late


class TestDetectorState:
    """A detector written down and read back."""

    @both_detectors
    @settings(deadline=None, max_examples=50)
    @given(before=histories(), after=histories())
    def test_survives_json_bit_for_bit_and_goes_on_the_same(self, kind, before, after):
        """The monitor stops every night; nobody may be able to tell."""
        steady = kind(REFERENCE, threshold=30.0)
        for day in before:
            steady.update(*day)
        restored = kind.from_state(json.loads(json.dumps(steady.to_state(), allow_nan=False)))

        assert same(restored, steady)
        for day in after:
            assert np.array_equal(restored.update(*day), steady.update(*day))
        assert same(restored, steady)

    @both_detectors
    @given(histories())
    def test_replays_to_the_same_bits(self, kind, days):
        """Late labels are handled by replaying; the replay must be the original."""
        first, second = kind(REFERENCE), kind(REFERENCE)
        for day in days:
            first.update(*day)
        for correct, total in days:
            second.update(correct.tolist(), total.astype(float))

        assert same(first, second)

    def test_is_not_taken_for_the_other_detectors(self):
        """Evidence of weakness read as evidence of recovery would close every alarm."""
        with pytest.raises(StatisticsError, match="alarm state is no recovery state"):
            RecoveryDetector.from_state(SequentialDetector([0.9]).to_state())

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("log_m", [[0.0]]),
            ("log_m", [[0.0], [0.0, 1.0]]),
            ("log_m", [[float("nan")] * 8]),
            ("days", [1, 2]),
            ("days", [-1]),
            ("days", ["x"]),
            ("evidence", [float("nan")]),
            ("null", [2.0]),
            ("threshold", 0.0),
        ],
    )
    def test_refuses_a_damaged_state(self, key, value):
        """A class watched by a broken detector looks healthy for ever."""
        damaged = SequentialDetector([0.9]).to_state() | {key: value}

        with pytest.raises(StatisticsError):
            SequentialDetector.from_state(damaged)

    def test_names_what_is_missing(self):
        """An older release's row is told apart from a broken one."""
        state = dict(SequentialDetector([0.9]).to_state())
        del state["days"]

        with pytest.raises(StatisticsError, match="lacks days"):
            SequentialDetector.from_state(state)

    @both_detectors
    def test_hands_out_copies(self, kind):
        """A caller that sorts the evidence must not sort the detector's."""
        detector = kind([0.9])
        detector.evidence[0] = detector.days[0] = detector.log_m[0, 0] = 7

        assert same(detector, kind([0.9]))


class TestRecoveryDetector:
    """When an alarm may close."""

    def test_says_a_repaired_class_has_recovered_within_two_weeks(self):
        """Reference 0.91, so level 0.89; the repaired class answers 95 % right."""
        rng, runs = np.random.default_rng(20264), 2000

        days = simulate(RecoveryDetector(np.full(runs, 0.89)), 0.95, 20, runs, rng=rng)

        assert np.quantile(days, 0.5, method="lower") <= 8
        assert np.quantile(days, 0.9, method="lower") <= 14

    def test_never_says_so_of_a_class_still_broken(self):
        """A class at 60 % stays on the list however long one waits."""
        rng, runs = np.random.default_rng(20265), 1000

        days = simulate(RecoveryDetector(np.full(runs, 0.89)), 0.6, 120, runs, rng=rng)

        assert np.all(days == 999)

    def test_is_wrong_at_most_once_in_twenty_days_at_the_level_itself(self):
        """The worst still-weak class: its false recoveries are bounded by T / 20."""
        rng, runs = np.random.default_rng(20266), 5000
        detector = RecoveryDetector(np.full(runs, 0.89))
        recovered = sum(
            int(detector.update(rng.binomial(10, 0.89, runs), np.full(runs, 10)).sum())
            for _ in range(40)
        )

        assert recovered <= runs * 40 / 20

    @pytest.mark.parametrize("images", [10, 10_000])
    def test_does_not_close_an_alarm_on_one_good_day(self, images):
        """One lucky draw, however large, may be one lucky day."""
        detector = RecoveryDetector([0.6])

        days = [bool(detector.update([images], [images])[0]) for _ in range(4)]

        assert days == [False, True, False, True]

    @settings(deadline=None, max_examples=50)
    @given(st.integers(1, 200), st.floats(0.05, 0.95, allow_subnormal=False))
    def test_speaks_up_the_more_right_answers_there_are(self, images, level):
        """Opposite null, opposite direction."""
        evidence = []
        for correct in range(0, images + 1, max(1, images // 10)):
            detector = RecoveryDetector([level])
            detector.update([correct], [images])
            evidence.append(detector.evidence[0])

        assert all(low <= high for low, high in pairwise(evidence))
