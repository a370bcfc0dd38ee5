"""How often something happened, and between which rates that leaves the truth.

Made for rare events, such as false alarms: a normal approximation would say "zero, surely" of
a month without one.
"""

from __future__ import annotations

from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError


def poisson_interval(events: int, exposure: float, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a rate: `events` in `exposure` units of time.

    The ends are those rates at which so many events, or so few, would come with a chance of
    (1 - level) / 2.

    Args:
        events: How often it happened.
        exposure: Over how many units of time; the rate is per unit.
        level: How often the interval is to hold the truth, at least.

    Raises:
        StatisticsError: A count below zero, no time at all, or a level outside 0 to 1.

    Example:
        >>> low, high = poisson_interval(0, 30.0)
        >>> low, round(high, 3)
        (0.0, 0.123)

    References:
        Garwood (1936), Fiducial Limits for the Poisson Distribution, Biometrika 28.
    """
    if events < 0 or not exposure > 0 or not 0 < level < 1:
        raise StatisticsError(
            f"no interval for {events} events in {exposure} units of time at level {level}"
        )
    tail = (1 - level) / 2
    # The gamma distribution's quantiles, which are half those of chi-squared with twice as many.
    low = float(special.gammaincinv(events, tail)) if events else 0.0
    high = float(special.gammaincinv(events + 1, 1 - tail))
    return low / exposure, high / exposure
