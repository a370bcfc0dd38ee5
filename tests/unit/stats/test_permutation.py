import numpy as np
import pytest

from core.errors import StatisticsError
from core.stats.permutation import permutation_p_value


def _counting(values: list[float], asked: list[int]):
    """Return shuffles whose statistics are `values`, noting how many were asked for."""
    left = iter(values)

    def shuffled(count: int) -> np.ndarray:
        asked.append(count)
        return np.array([next(left) for _ in range(count)])

    return shuffled


class TestPermutationPValue:
    """A p-value counted over shuffles."""

    def test_counts_the_truth_as_one_of_the_shuffles(self):
        """Phipson and Smyth: (k + 1) / (B + 1), never zero."""
        assert permutation_p_value(2.0, _counting([1, 2, 3, 0], []), most=4) == 3 / 5
        assert permutation_p_value(9.0, _counting([1, 2, 3, 0], []), most=4) == 1 / 5

    def test_ends_when_chance_has_done_as_well_often_enough(self):
        """Besag and Clifford: h / L, at the shuffle that was the h-th."""
        asked: list[int] = []
        values = [0.0, 1.0, 0.0, 1.0] * 100

        found = permutation_p_value(1.0, _counting(values, asked), most=400, enough=3)

        assert (found, asked) == (3 / 6, [200])

    def test_goes_on_to_the_end_when_it_has_not(self):
        """A small p-value is worth its shuffles."""
        found = permutation_p_value(1.0, _counting([0.0] * 999, []), most=999, enough=10)

        assert found == 1 / 1000

    @pytest.mark.parametrize("enough", [None, 10])
    def test_is_right_as_often_as_it_says(self, enough: int | None):
        """Whether it ends early or not: one in twenty below 0.05 when nothing has changed."""
        rng = np.random.default_rng(6)
        found = [
            permutation_p_value(rng.normal(), rng.standard_normal, most=199, enough=enough)
            for _ in range(2000)
        ]

        assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.015)

    @pytest.mark.parametrize(("most", "enough"), [(0, None), (10, 0)])
    def test_refuses_no_shuffles_at_all(self, most: int, enough: int | None):
        """Nothing was counted."""
        with pytest.raises(StatisticsError):
            permutation_p_value(1.0, np.zeros, most=most, enough=enough)
