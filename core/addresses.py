"""Where messages may go: the public internet, and what the owner has allowed besides.

An address is checked when a connection is made to it, after its name was resolved: what is
checked is what is connected to, so a name that is resolved differently the second time, a
redirect or an odd spelling such as `http://2130706433/` changes nothing. The check hangs on
Python's audit events, which no library can pass by; `guard` is for a process of its own.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, cast
from urllib.parse import urlsplit

from core.errors import UsageError

Network = IPv4Network | IPv6Network

# Public addresses at which a cloud answers its own machines with their secrets.
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class RefusedAddressError(OSError):
    """A connection to an address that is not allowed; libraries expect an OSError of sockets."""


def read_networks(text: str) -> tuple[Network, ...]:
    """Return networks written one after the other, such as `10.1.0.0/16 127.0.0.1`.

    Raises:
        UsageError: One of them is none.
    """
    try:
        return tuple(ipaddress.ip_network(word) for word in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"networks are written like 10.1.0.0/16 or 127.0.0.1: {error}") from error


def objection(address: str, allowed: Sequence[Network] = ()) -> str | None:
    """Say why no connection to an IP address may be made; None when one may.

    Example:
        >>> objection("169.254.169.254")
        '169.254.169.254 is no public address'
        >>> objection("::ffff:10.0.0.1", [ipaddress.ip_network("10.0.0.0/8")]) is None
        True
    """
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "a host name was to be connected to without being resolved"
    reached = _meant(given)
    if any(reached.version == each.version and reached in each for each in allowed):
        return None
    public = reached.is_global and not reached.is_multicast and not reached.is_reserved
    return None if public and reached not in _METADATA else f"{given} is no public address"


def objection_to_url(url: str, allowed: Sequence[Network] = ()) -> str | None:
    """Say why a webhook's address can never be sent to; None when that depends on its name.

    Only a host that is written as a number is looked at. The check that counts is `guard`.

    Example:
        >>> objection_to_url("http://169.254.169.254/latest")
        '169.254.169.254 is no public address'
        >>> objection_to_url("https://hooks.example/") is None
        True
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return objection(host, allowed) if parts.scheme in {"http", "https"} else None


def guard(allowed: Sequence[Network]) -> Callable[[], str | None]:
    """Let this process connect to nowhere but what is allowed, for the rest of its life.

    Args:
        allowed: Networks that are allowed though not public.

    Returns:
        A function that says what was refused last; None when nothing was.
    """
    refused: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CONNECTING:
            return
        target = cast("object", arguments[1])
        if event == "socket.sendmsg" and target is None:
            return  # on a socket that is connected already
        why = (
            objection(str(cast("tuple[object, ...]", target)[0]), allowed)
            if isinstance(target, tuple)
            else "only internet addresses are connected to"
        )
        if why is not None:
            refused.append(why)
            raise RefusedAddressError(why)

    sys.addaudithook(hook)
    return lambda: refused[-1] if refused else None


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
