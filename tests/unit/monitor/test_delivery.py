"""How long a failed message waits."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.messages.delivery import Postage, wait_s


class TestWait:
    """`wait_s`."""

    @given(st.integers(1, 10_000), st.floats(0, 1, allow_subnormal=False))
    def test_doubles_up_to_an_hour_with_jitter(self, failures: int, chance: float):
        """Between half of it and all of it, whatever the number."""
        longest = min(30 * 2 ** min(failures - 1, 30), 3600)

        assert longest / 2 <= wait_s(failures, chance) <= longest

    def test_all_attempts_together_take_about_half_a_day(self):
        """As docs/settings.md says: long enough for a night, short enough to be noticed."""
        hours = sum(wait_s(n, 0.5) for n in range(1, Postage().attempts)) / 3600

        assert 6 < hours < 15
