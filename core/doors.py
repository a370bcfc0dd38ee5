"""What the doors of the programs have in common: who must show a key, and who guesses too often.

The service and the dashboard open to the same keys. Each has a door of its own; this is what both
decide alike.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import UsageError

Tick = Callable[[], float]

_WINDOW_S = 60.0


def keys_are_needed(host: str, wanted: bool | None, *, setting: str) -> bool:
    """Say whether callers of a program that listens on `host` need API keys.

    Args:
        host: Name or address; only `localhost` and loopback addresses are this machine alone.
        wanted: What the owner says; None leaves it to the address.
        setting: The variable in which the owner says so.

    Raises:
        UsageError: The owner wants none on an address that other machines reach.
    """
    if is_loopback(host):
        return bool(wanted)
    if wanted is False:
        raise UsageError(
            f"{host} may be reached from other machines, so callers need API keys there: "
            f"unset {setting}, or listen on 127.0.0.1"
        )
    return True


def is_loopback(host: str) -> bool:
    """Say whether a name or address is one that this machine alone reaches.

    Example:
        >>> [is_loopback(host) for host in ("localhost", "127.0.0.2", "::1", "0.0.0.0", "here")]
        [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
