"""How often a caller may ask, and how often an address may guess.

Both are counted for one service, in one of its processes: behind a balancer, N services allow a
key N times its rate. Memory is bounded by the number of keys, and by a limit on the addresses
remembered.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

from core.doors import Lockouts, Tick

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
