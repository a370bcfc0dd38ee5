"""What the doors of service and dashboard decide alike."""

import pytest

from core.doors import Lockouts, is_loopback, keys_are_needed, network_of
from core.errors import UsageError

ANYWHERE = "0.0.0.0"  # noqa: S104


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds it shows."""
        return self.now


class TestKeysAreNeeded:
    """Which addresses ask for keys."""

    def test_names_the_variable_that_says_otherwise(self):
        """Each program has its own."""
        with pytest.raises(UsageError, match="unset WEAKSPOT_X, or listen on 127"):
            keys_are_needed(ANYWHERE, False, setting="WEAKSPOT_X")

    @pytest.mark.parametrize("host", ["localhost.", "localhost.example.com", "127.0.0.1x", ""])
    def test_what_only_looks_like_this_machine_is_not(self, host: str):
        """A name is whatever its owner lets it lead to."""
        assert not is_loopback(host)


class TestLockouts:
    """Addresses that send wrong keys."""

    def test_locks_out_for_a_minute_after_so_many(self):
        """S21: guessing is answered ever less."""
        ticks = Ticks()
        lockouts = Lockouts(most_wrong=3, tick=ticks)

        assert [lockouts.wrong("a") for _ in range(3)] == [False, False, True]
        assert (lockouts.wait_s("a"), lockouts.wait_s("b")) == (60, 0)
        ticks.now += 60
        assert lockouts.wait_s("a") == 0

    def test_begins_anew_after_a_minute(self):
        """A typo a minute is nobody's attack."""
        ticks = Ticks()
        lockouts = Lockouts(most_wrong=2, tick=ticks)
        lockouts.wrong("a")

        ticks.now += 61

        assert not lockouts.wrong("a")

    def test_forgets_the_oldest_of_too_many_addresses(self):
        """An attack from everywhere must not fill the memory."""
        lockouts = Lockouts(most_addresses=100, tick=Ticks())

        for i in range(1000):
            lockouts.wrong(f"address {i}")

        assert len(lockouts) == 100


class TestNetworkOf:
    """What one sender is known by."""

    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"),
            ("no address", "no address"),
        ],
    )
    def test_takes_all_of_one_line_together(self, address: str, network: str):
        """Whoever has one IPv6 address has 2**64 of them."""
        assert network_of(address) == network
