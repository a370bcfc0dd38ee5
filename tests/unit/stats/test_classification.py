import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from core.errors import StatisticsError
from core.stats import classification
from core.stats.classification import (
    areas_under_roc,
    confusion_matrix,
    macro_auroc,
    macro_f1,
    per_class_recall,
    top1,
)

K = 4
answers = st.lists(
    st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), min_size=1, max_size=60
).map(lambda pairs: tuple(zip(*pairs, strict=True)))


class TestTop1:
    """The one number everybody asks for."""

    @given(answers)
    def test_agrees_with_scikit_learn(self, pair):
        """The share of right answers."""
        predicted, labels = pair

        assert top1(predicted, labels) == pytest.approx(metrics.accuracy_score(labels, predicted))

    @pytest.mark.parametrize(("predicted", "labels"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
    def test_refuses_rows_that_do_not_pair(self, predicted, labels):
        """Broadcasting one prediction over all labels would look like an accuracy."""
        with pytest.raises(StatisticsError):
            top1(predicted, labels)


class TestConfusionMatrix:
    """What is mistaken for what."""

    @given(answers)
    def test_agrees_with_scikit_learn(self, pair):
        """Rows are true, columns predicted; also for classes nobody saw."""
        predicted, labels = pair
        expected = metrics.confusion_matrix(labels, predicted, labels=range(K))

        assert np.array_equal(confusion_matrix(predicted, labels, K), expected)

    @pytest.mark.parametrize(
        ("predicted", "labels"), [([4], [0]), ([0], [4]), ([-1], [0]), ([0, 1], [0]), ([], [])]
    )
    def test_refuses_what_is_no_class(self, predicted, labels):
        """A number past the end would land in another class's row."""
        with pytest.raises(StatisticsError):
            confusion_matrix(predicted, labels, K)


class TestPerClassRecall:
    """Each class for itself, which is what this project is about."""

    @given(answers)
    def test_agrees_with_scikit_learn_and_has_none_where_there_are_no_images(self, pair):
        """None, so that JSON holds it and nobody averages a 0 that nobody measured."""
        predicted, labels = pair
        expected = metrics.recall_score(
            labels, predicted, labels=range(K), average=None, zero_division=0
        )

        recalls = per_class_recall(predicted, labels, K)

        assert [r is None for r in recalls] == [c not in labels for c in range(K)]
        assert [r or 0.0 for r in recalls] == pytest.approx(expected)


class TestMacroF1:
    """Every class weighs the same."""

    @given(answers)
    def test_agrees_with_scikit_learn(self, pair):
        """Over the classes that occur in labels or predictions."""
        predicted, labels = pair
        expected = metrics.f1_score(labels, predicted, average="macro", zero_division=0)

        assert macro_f1(predicted, labels, K) == pytest.approx(expected)


class TestMacroAuroc:
    """How well the probabilities rank the images."""

    def test_agrees_with_scikit_learn(self):
        """One-vs-rest, each class weighing the same."""
        rng = np.random.default_rng(6)
        probabilities = rng.dirichlet(np.ones(K), 300)
        labels = rng.integers(0, K, 300)

        assert macro_auroc(probabilities, labels) == pytest.approx(
            metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
        )

    def test_skips_classes_without_images(self):
        """A small validation split need not hold all 1,000 classes."""
        probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.6, 0.1]])

        assert macro_auroc(probabilities, [0, 1, 1]) == 1.0

    def test_gives_the_same_in_blocks(self, monkeypatch):
        """2,500 classes are ranked a few at a time; the sum must not notice."""
        rng = np.random.default_rng(7)
        probabilities, labels = rng.dirichlet(np.ones(7), 100), rng.integers(0, 7, 100)
        whole = macro_auroc(probabilities, labels)

        monkeypatch.setattr(classification, "_BLOCK", 300)

        assert macro_auroc(probabilities, labels) == pytest.approx(whole)

    @pytest.mark.parametrize(
        ("probabilities", "labels"),
        [
            ([[0.5, 0.5], [0.1, 0.9]], [1, 1]),
            ([[0.5, np.nan], [0.1, 0.9]], [0, 1]),
            ([[0.5, 0.5]], [0, 1]),
            ([0.5, 0.5], [0, 1]),
        ],
    )
    def test_refuses_what_cannot_be_ranked(self, probabilities, labels):
        """One class only, a NaN, or rows that do not pair."""
        with pytest.raises(StatisticsError):
            macro_auroc(probabilities, labels)


class TestAreasUnderRoc:
    """The Mann-Whitney form, a column a question."""

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
    def test_agrees_with_scikit_learn_on_ties(self, pairs):
        """Rounded confidences tie often; a tie is half a win."""
        scores, positive = np.array(pairs).T
        if not 0 < positive.sum() < len(pairs):
            return
        area = areas_under_roc(scores[:, None].astype(float), positive[:, None].astype(bool))

        assert area[0] == pytest.approx(metrics.roc_auc_score(positive, scores))

    def test_refuses_a_column_without_negatives(self):
        """Nothing can be outranked there."""
        with pytest.raises(StatisticsError, match="positive and a negative"):
            areas_under_roc(np.zeros((2, 1)), np.ones((2, 1), dtype=bool))
