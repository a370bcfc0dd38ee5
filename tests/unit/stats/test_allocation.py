import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StatisticsError
from core.stats.allocation import allocate, allocate_within

evidences = st.lists(st.floats(0, 1e300, allow_subnormal=False), min_size=1, max_size=60)


class TestAllocate:
    """Where today's labels go."""

    @given(evidences, st.integers(0, 30_000))
    def test_spends_every_label_and_no_more(self, evidence, labels):
        """The labels are people's hours."""
        given_out = allocate(evidence, labels)

        assert given_out.sum() == labels
        assert given_out.min() >= 0

    @given(evidences, st.integers(0, 30_000))
    def test_never_gives_a_class_less_than_one_with_less_evidence(self, evidence, labels):
        """Suspicion is what the second half follows."""
        order = np.argsort(evidence, kind="stable")
        rising = np.sort(evidence)[1:] > np.sort(evidence)[:-1]

        assert np.all(np.diff(allocate(evidence, labels)[order])[rising] >= 0)

    def test_gives_everybody_half_and_a_tenth_the_rest(self):
        """20 classes at 10 a day: 5 each, and 100 more for two suspects, the first a bit more."""
        evidence = np.zeros(20)
        evidence[[3, 11]] = [9, 4]

        given_out = allocate(evidence, 200)

        assert given_out[[3, 11]].tolist() == [61, 49]
        assert set(np.delete(given_out, [3, 11])) == {5}

    def test_settles_ties_by_the_order_of_the_classes(self):
        """The same past must give the same draw, or a replay is another day."""
        assert allocate(np.ones(5), 11).tolist() == [7, 1, 1, 1, 1]

    def test_treats_models_side_by_side_as_each_alone(self):
        """Simulated runs do not share labels."""
        evidence = np.random.default_rng(1).random((4, 30))

        assert np.array_equal(allocate(evidence, 77), [allocate(row, 77) for row in evidence])

    @pytest.mark.parametrize("evidence", [[], 1.0, [np.nan], [-1.0], [np.inf]])
    def test_refuses_what_is_no_evidence(self, evidence):
        """A NaN would be sorted to the front and get half of the labels."""
        with pytest.raises(StatisticsError):
            allocate(evidence, 10)

    def test_refuses_less_than_no_labels(self):
        """A debt of labels cannot be drawn."""
        with pytest.raises(StatisticsError, match="-1 labels"):
            allocate([1.0], -1)


class TestAllocateWithin:
    """Labels go only where there are images to label."""

    @given(evidences, st.integers(0, 500), st.randoms(use_true_random=False))
    def test_spends_what_there_is_and_overdraws_nobody(self, evidence, labels, chance):
        """A suspect whose images are used up must not hold back the others' labels."""
        available = np.array([chance.randrange(20) for _ in evidence])

        given_out = allocate_within(evidence, labels, available)

        assert given_out.sum() == min(labels, available.sum())
        assert np.all((given_out >= 0) & (given_out <= available))

    @given(evidences, st.integers(0, 500))
    def test_is_the_plain_allocation_where_images_abound(self, evidence, labels):
        """The guarantee was simulated for that one."""
        plenty = np.full(len(evidence), labels)

        assert np.array_equal(allocate_within(evidence, labels, plenty), allocate(evidence, labels))

    def test_refuses_counts_of_other_classes(self):
        """Fourteen stocks for fifteen classes."""
        with pytest.raises(StatisticsError, match="one row"):
            allocate_within([1.0, 2.0], 3, [4])
