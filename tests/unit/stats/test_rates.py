"""How often something happened, and between which rates the truth lies."""

import pytest
from scipy import stats

from core.errors import StatisticsError
from core.stats.rates import poisson_interval


class TestPoissonInterval:
    """`poisson_interval`."""

    @pytest.mark.parametrize("events", [0, 1, 3, 40])
    def test_agrees_with_scipy(self, events: int):
        """Garwood's ends are quantiles of chi-squared."""
        low, high = poisson_interval(events, 2.0)

        assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * events) / 4 if events else 0.0)
        assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * events + 2) / 4)

    def test_so_few_or_so_many_are_rare_at_its_ends(self):
        """That is what the interval says."""
        low, high = poisson_interval(5, 1.0)

        assert stats.poisson.sf(4, low) == pytest.approx(0.025)
        assert stats.poisson.cdf(5, high) == pytest.approx(0.025)

    def test_shrinks_with_time(self):
        """A year says more than a month."""
        month, year = poisson_interval(1, 1.0), poisson_interval(12, 12.0)

        assert year[1] - year[0] < month[1] - month[0]

    @pytest.mark.parametrize(
        ("events", "exposure", "level"), [(-1, 1, 0.95), (1, 0, 0.95), (1, 1, 1)]
    )
    def test_refuses_what_has_no_rate(self, events: int, exposure: float, level: float):
        """No time at all says nothing, and is not "never"."""
        with pytest.raises(StatisticsError, match="no interval"):
            poisson_interval(events, exposure, level)
