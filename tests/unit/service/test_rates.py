"""How often a caller may ask, and how often an address may guess."""

import pytest

from service.door.rates import Buckets, Lockouts, network_of


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds it shows."""
        return self.now


class TestBuckets:
    """One token bucket a key."""

    def test_grants_a_minute_of_requests_at_once_and_no_more(self):
        """A burst is fine; twice the rate is not."""
        buckets = Buckets(Ticks())

        granted = [buckets.take("k", 3).granted for _ in range(5)]

        assert granted == [True, True, True, False, False]

    def test_fills_evenly(self):
        """Nobody waits for a full minute to ask once more."""
        ticks = Ticks()
        buckets = Buckets(ticks)
        for _ in range(3):
            buckets.take("k", 3)

        ticks.now += 20

        assert [buckets.take("k", 3).granted for _ in range(2)] == [True, False]

    def test_holds_no_more_than_a_minute(self):
        """A quiet night is no licence for a flood in the morning."""
        ticks = Ticks()
        buckets = Buckets(ticks)
        buckets.take("k", 2)

        ticks.now += 86_400

        assert [buckets.take("k", 2).granted for _ in range(3)] == [True, True, False]

    def test_counts_each_key_for_itself(self):
        """One caller's flood costs the others nothing."""
        buckets = Buckets(Ticks())
        buckets.take("a", 1)

        assert not buckets.take("a", 1).granted
        assert buckets.take("b", 1).granted

    def test_says_what_is_left_in_the_words_of_the_draft(self):
        """draft-ietf-httpapi-ratelimit-headers."""
        allowance = Buckets(Ticks()).take("k", 60)

        assert dict(allowance.headers()) == {
            b"ratelimit-policy": b'"default";q=60;w=60',
            b"ratelimit": b'"default";r=59;t=1',
        }

    def test_says_how_long_to_wait(self):
        """`Retry-After` that is too short makes clients hammer."""
        ticks = Ticks()
        buckets = Buckets(ticks)
        buckets.take("k", 2)
        buckets.take("k", 2)

        refused = buckets.take("k", 2)
        ticks.now += refused.wait_s

        assert (refused.granted, refused.wait_s) == (False, 30)
        assert buckets.take("k", 2).granted


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
