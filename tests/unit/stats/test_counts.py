import numpy as np
import pytest

from core.errors import StatisticsError
from core.stats.counts import checked_counts, checked_p_values, whole_numbers


class TestWholeNumbers:
    """What may be counted."""

    def test_accepts_floats_that_are_whole(self):
        """Sums come out of pandas as 10.0, and mean 10."""
        counts = whole_numbers("images", np.array([10.0, 0.0]))

        assert counts.dtype == np.int64
        assert counts.tolist() == [10, 0]

    @pytest.mark.parametrize("value", [np.nan, np.inf, 9.5, -1, 2.0**60])
    def test_refuses_what_is_no_count_and_says_where(self, value):
        """A NaN let through here would silence a class for ever."""
        with pytest.raises(StatisticsError, match=r"images .* position 1 stands"):
            whole_numbers("images", [3, value])

    @pytest.mark.parametrize("values", [["3"], [None], [True]])
    def test_refuses_what_is_not_a_number(self, values):
        """Decimals and None arrive from SQL as objects; converting them is the caller's work."""
        with pytest.raises(StatisticsError, match="images must be numbers"):
            whole_numbers("images", values)


class TestCheckedCounts:
    """Right answers out of images."""

    def test_refuses_more_right_answers_than_images(self):
        """Eleven of ten is a join gone wrong."""
        with pytest.raises(StatisticsError, match="position 1: 11 of 10"):
            checked_counts([10, 11], [10, 10])

    def test_refuses_unequal_shapes(self):
        """Counts of 15 classes and images of 14 belong to different days."""
        with pytest.raises(StatisticsError, match=r"\(15,\) and \(14,\)"):
            checked_counts(np.zeros(15), np.zeros(14))


class TestCheckedPValues:
    """What may be adjusted for being many."""

    @pytest.mark.parametrize("values", [[-0.1], [1.1], [np.nan], [[0.5]]])
    def test_refuses_what_is_no_row_of_probabilities(self, values):
        """Sorting a NaN would shift every other verdict."""
        with pytest.raises(StatisticsError, match="p-value"):
            checked_p_values(values)
