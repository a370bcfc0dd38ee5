"""Rows of many numbers as points of a plane."""

import numpy as np
import pytest

from core.errors import StatisticsError
from core.stats.projection import principal_components


def _rows(n: int = 300, d: int = 40) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, d)) * 4 * 0.6 ** np.arange(d) + 5


class TestPrincipalComponents:
    """The two directions along which rows vary most."""

    def test_are_those_of_the_whole_decomposition(self):
        """What is iterated must come to what numpy computes in full; the turn is free."""
        rows = _rows()
        centred = rows - rows.mean(axis=0)
        u, s, _ = np.linalg.svd(centred, full_matrices=False)

        found = principal_components(rows)

        assert np.abs(found.points) == pytest.approx(np.abs(u[:, :2] * s[:2]), abs=0.02)
        assert found.explained == pytest.approx(s[:2] ** 2 / (s**2).sum(), rel=1e-4)

    def test_part_two_clouds_that_lie_apart(self):
        """That is what the picture is for."""
        rng = np.random.default_rng(2)
        rows = rng.normal(size=(200, 256))
        rows[100:] += 1

        x = principal_components(rows).points[:, 0]

        assert abs(x[:100].mean() - x[100:].mean()) > 10
        assert (x[:100] < 0).all() != (x[100:] < 0).all()

    def test_are_the_same_for_the_same_rows(self):
        """A day looked at twice shows one picture."""
        first, second = (principal_components(_rows()).points for _ in range(2))

        assert (first == second).all()

    def test_of_rows_all_alike_are_one_point(self):
        """A stuck camera is no division by zero."""
        found = principal_components(np.ones((5, 8)))

        assert not found.points.any()
        assert not found.explained.any()

    @pytest.mark.parametrize("rows", [np.ones((1, 4)), np.full((3, 4), np.nan), np.ones(4)])
    def test_are_refused_for_rows_that_have_none(self, rows):
        """NaN would spread over the whole picture."""
        with pytest.raises(StatisticsError, match="picture"):
            principal_components(rows)
