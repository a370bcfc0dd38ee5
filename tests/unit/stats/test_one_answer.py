"""A model that answers one class whatever it is shown, and classes of up to a million images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from core.stats.classification import confusion_matrix, macro_f1, per_class_recall, top1
from core.stats.confusion import confusion_e_values, confusion_levels
from core.stats.evidence import RATIOS, empty_log_m, recovery_step, step
from core.stats.proportions import confidence_sequence, jeffreys, reference_levels

K = 4
MILLION = 10**6
one_answer = st.sampled_from(range(K))
labels = st.lists(st.integers(0, K - 1), min_size=1, max_size=200)
counts = st.integers(0, MILLION).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.floats(0.005, 0.995)


class TestClassification:
    """`core.stats.classification`, with one answer for all."""

    @given(one_answer, labels)
    def test_has_one_column_and_recognises_one_class(self, said: int, true: list[int]):
        """Its recall is 1, that of the others 0, and of those without images there is none."""
        predicted = [said] * len(true)

        matrix = confusion_matrix(predicted, true, K)
        recalls = per_class_recall(predicted, true, K)

        assert (matrix[:, said].sum(), matrix.sum()) == (len(true), len(true))
        expected = [float(c == said) if c in true else None for c in range(K)]
        assert list(recalls) == expected

    @given(one_answer, labels)
    def test_agrees_with_scikit_learn(self, said: int, true: list[int]):
        """Precision is nothing divided by nothing for every class that was never answered."""
        predicted = [said] * len(true)

        expected = metrics.f1_score(true, predicted, average="macro", zero_division=0)
        assert macro_f1(predicted, true, K) == pytest.approx(expected)
        assert top1(predicted, true) == pytest.approx(metrics.accuracy_score(true, predicted))

    @pytest.mark.parametrize("said", range(K))
    def test_counts_a_million_images(self, said: int):
        """No sum is too large for its type."""
        true = np.arange(MILLION) % K

        matrix = confusion_matrix(np.full(MILLION, said), true, K)

        assert matrix[:, said].tolist() == [MILLION // K] * K


class TestConfusion:
    """`core.stats.confusion`, where every image is called the same."""

    @given(st.lists(st.integers(0, MILLION), min_size=1, max_size=6), one_answer, st.data())
    def test_is_finite_and_knows_the_answer(self, total: list[int], said: int, data: st.DataObject):
        """All called one thing is evidence for it, and none for any other."""
        usual = data.draw(st.lists(levels, min_size=K, max_size=K))
        called = np.zeros((K, len(total)), dtype=int)
        called[said] = total
        reference = data.draw(st.integers(0, MILLION))

        held_to = confusion_levels(np.zeros(K, dtype=int), reference, usual)
        evidence = confusion_e_values(called, total, held_to)

        assert np.isfinite(evidence).all()
        assert (evidence >= 0).all()
        assert evidence[said] >= 1 - 1e-9
        assert (np.delete(evidence, said) <= 1 + 1e-9).all()


class TestDetectors:
    """`core.stats.evidence`, for one day of a class."""

    @given(counts, levels)
    def test_stay_numbers_up_to_a_million_images(self, pair: tuple[int, int], level: float):
        """Whatever came before: nothing overflows into NaN, and no images change nothing."""
        k, n = pair
        for taken in (step, recovery_step):
            log_m, evidence = taken(empty_log_m(1), [k], [n], np.array([level]))

            assert log_m.shape[1] == len(RATIOS)
            assert not np.isnan(log_m).any()
            assert (np.isfinite(evidence).all(), bool((evidence >= 0).all())) == (True, True)
            assert n > 0 or np.isneginf(log_m).all()


class TestIntervals:
    """`core.stats.proportions`, at every size."""

    @given(counts)
    @settings(max_examples=50)
    def test_hold_the_share(self, pair: tuple[int, int]):
        """Both the day's interval and the one that may be looked at for ever."""
        k, n = pair
        for low, high in (jeffreys([k], [n]), confidence_sequence([k], [n])):
            assert 0 <= low[0] <= high[0] <= 1
            assert n == 0 or low[0] <= k / n <= high[0]

    @given(st.lists(counts, min_size=2, max_size=5))
    @settings(max_examples=50)
    def test_reference_levels_can_be_bet_against(self, pairs: list[tuple[int, int]]):
        """A model that always gives one answer has a class at 1 and all others at 0."""
        correct, total = np.array(pairs).T
        if not total.any():
            return

        found = reference_levels(correct, total)

        assert ((found > 0) & (found < 1)).all()
