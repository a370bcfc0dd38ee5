"""How often a caller may ask, and how often an address may guess.

Both are counted for one service, in one of its processes: behind a balancer, N services allow a
key N times its rate. Memory is bounded by the number of keys, and by a limit on the addresses
remembered.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Tick = Callable[[], float]

_WINDOW_S = 60.0


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's rate after one request.

    Attributes:
        granted: Whether this request may go on.
        quota: Requests a minute.
        left: Requests that may follow at once.
        full_s: Whole seconds until all of the quota is there again.
        wait_s: Whole seconds until the next request is granted; 0 when `left` is not.
    """

    granted: bool
    quota: int
    left: int
    full_s: int
    wait_s: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers."""
        policy = f'"default";q={self.quota};w={_WINDOW_S:.0f}'
        state = f'"default";r={self.left};t={self.full_s}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


class Buckets:
    """One token bucket a key: it holds a minute's requests, and fills evenly.

    Args:
        tick: Seconds on a clock that never goes back.
    """

    def __init__(self, tick: Tick = time.monotonic) -> None:
        self._tick = tick
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, per_minute: int) -> Allowance:
        """Take one request out of the bucket of `key`, if there is one in it."""
        now, per_s = self._tick(), per_minute / _WINDOW_S
        bucket = self._buckets.setdefault(key, _Bucket(per_minute, now))
        bucket.left = min(per_minute, bucket.left + (now - bucket.at) * per_s)
        bucket.at = now
        granted = bucket.left >= 1
        bucket.left -= granted
        left = math.floor(bucket.left)
        full_s = math.ceil((per_minute - bucket.left) / per_s)
        wait_s = 0 if left else math.ceil((1 - bucket.left) / per_s)
        return Allowance(granted, per_minute, left, full_s, wait_s)


@dataclass(slots=True)
class _Guesses:
    since: float
    wrong: int = 0
    locked: bool = False


class Lockouts:
    """Addresses that send wrong keys: after so many within a minute, a minute without answers.

    Args:
        most_wrong: Wrong keys within a minute that lock an address out.
        most_addresses: Remembered at once; beyond it the one heard of longest ago is forgotten.
        tick: Seconds on a clock that never goes back.
    """

    def __init__(
        self, *, most_wrong: int = 20, most_addresses: int = 10_000, tick: Tick = time.monotonic
    ) -> None:
        self._most_wrong = most_wrong
        self._most_addresses = most_addresses
        self._tick = tick
        self._guesses: OrderedDict[str, _Guesses] = OrderedDict()

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._guesses)

    def wait_s(self, address: str) -> int:
        """Return for how many whole seconds an address is locked out; 0 when it is not."""
        found = self._guesses.get(address)
        if found is None or not found.locked:
            return 0
        return max(0, math.ceil(found.since + _WINDOW_S - self._tick()))

    def wrong(self, address: str) -> bool:
        """Note a wrong key; say whether the address is locked out from now on, and was not."""
        now = self._tick()
        found = self._guesses.get(address)
        if found is None or now >= found.since + _WINDOW_S:
            found = self._guesses[address] = _Guesses(now)
        self._guesses.move_to_end(address)
        if len(self._guesses) > self._most_addresses:
            self._guesses.popitem(last=False)
        found.wrong += 1
        if found.locked or found.wrong < self._most_wrong:
            return False
        found.since, found.locked = now, True
        return True


class Tally(Protocol):
    """Counts for all processes of a service."""

    async def take(self, key: str, per_minute: int) -> Allowance:
        """Take one request of a key."""
        ...

    async def guess(self, address: str) -> tuple[int, bool]:
        """Note a wrong key; return for how long its address is locked out, and if from now on."""
        ...


class LocalTally:
    """Counts in this process.

    Args:
        tick: Seconds on a clock that never goes back.
    """

    def __init__(self, tick: Tick = time.monotonic) -> None:
        self._buckets = Buckets(tick)
        self._lockouts = Lockouts(tick=tick)

    async def take(self, key: str, per_minute: int) -> Allowance:
        """Take one request out of a key's bucket, if there is one in it."""
        return self.take_now(key, per_minute)

    async def guess(self, address: str) -> tuple[int, bool]:
        """Note a wrong key of an address, unless that is locked out already.

        Returns:
            For how many whole seconds it was locked out before, and whether it is from now on.
        """
        return self.guess_now(address)

    def take_now(self, key: str, per_minute: int) -> Allowance:
        """Do what `take` does, without waiting for a turn."""
        return self._buckets.take(key, per_minute)

    def guess_now(self, address: str) -> tuple[int, bool]:
        """Do what `guess` does, without waiting for a turn."""
        wait_s = self._lockouts.wait_s(address)
        return wait_s, not wait_s and self._lockouts.wrong(address)


def network_of(address: str) -> str:
    """Return what one sender is known by: an IPv4 address, or the /64 of an IPv6 one.

    Example:
        >>> network_of("2001:db8::1")
        '2001:db8::/64'
        >>> network_of("192.0.2.7")
        '192.0.2.7'
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    mapped = known.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((int(known), 64), strict=False))
