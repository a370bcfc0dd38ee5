"""How often a caller may ask, and how often an address may guess."""

from service.door.rates import Buckets


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
