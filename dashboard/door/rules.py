"""What the owner of a dashboard wants of its door."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from core import doors
from core.doors import is_loopback
from core.errors import UsageError

_SETTING = "WEAKSPOT_DASHBOARD_REQUIRE_KEYS"
_IPV6 = r"[0-9a-f]{0,4}:[0-9a-f]{0,4}:[0-9a-f:.]{0,40}"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|" + _IPV6)


@dataclass(frozen=True, slots=True)
class Rules:
    """How the door is kept; as it stands here, for a loopback address without keys.

    Attributes:
        keys: Whether callers sign in with an API key.
        hosts: Names it answers to, beyond those of this machine.
        https: Whether browsers reach it by https, through a proxy of the owner's.
    """

    keys: bool = False
    hosts: frozenset[str] = field(default_factory=frozenset[str])
    https: bool = False

    def answers_to(self, host: str) -> bool:
        """Say whether the dashboard may be called by a name or address, as browsers send it.

        Without keys, a page of a stranger whose name was made to lead to this machine (DNS
        rebinding) would be the owner. With keys it brings no session, so any name will do,
        unless the owner has named some.
        """
        if self.keys and not self.hosts:
            return True
        name = _without_port(host)
        return is_loopback(name) or name in self.hosts


def rules_for(host: str, *, require_keys: bool | None, hosts: str, https: bool) -> Rules:
    """Return the rules of a dashboard that listens on `host`.

    Args:
        host: Name or address it listens on.
        require_keys: What the owner says; None leaves it to the address.
        hosts: Further names it answers to, with commas or blanks between.
        https: Whether browsers reach it by https.

    Raises:
        UsageError: The owner wants no keys where other machines reach it, or a name is none.
    """
    names = frozenset(re.split(r"[\s,]+", hosts.strip().lower())) - {""}
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"WEAKSPOT_DASHBOARD_HOSTS has {name!r}, which is no host name; give names without "
                "scheme and port, like weakspot.example.com"
            )
    return Rules(keys_are_needed(host, require_keys), names, https)


def keys_are_needed(host: str, wanted: bool | None) -> bool:
    """Say whether callers of a dashboard that listens on `host` sign in.

    Raises:
        UsageError: The owner wants no keys where other machines reach it.
    """
    return doors.keys_are_needed(host, wanted, setting=_SETTING)


def _without_port(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")
