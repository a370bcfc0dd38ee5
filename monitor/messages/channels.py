"""The channels: from a name in the alert rules to one attempt at delivery.

Each attempt is made by a child process (monitor.messages.sending), which is ended when it takes too
long: a channel that hangs holds up nobody, not even the one behind it. The child's environment
holds next to nothing; address and secret reach it through stdin, where no list of processes shows
them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import DeliveryError
from core.store import alert_policy
from monitor.messages.sending import Task
from monitor.messages.webhook import WebhookError

if TYPE_CHECKING:
    from core.store.alert_policy import Channel

# What Python and TLS need; no proxy, which would connect to where we have not looked.
_PASSED_ON = ("PATH", "PYTHONPATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
_STARTING_S = 10.0  # a child on a busy machine, besides what the channel is given
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Means:
    """What sending takes.

    Attributes:
        variables: What `env:` addresses and secrets are read from.
        networks: Networks that may be connected to though they are not public.
        timeout_s: Longest time that a channel is given.
    """

    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    networks: str = ""
    timeout_s: float = 15.0


def send(channel: Channel, dedup_key: str, message: Mapping[str, Any], means: Means) -> None:
    """Make one attempt to deliver a message.

    Args:
        channel: Where to.
        dedup_key: The same for each attempt at this message.
        message: As `core.telling` writes it.
        means: What sending takes.

    Raises:
        DeliveryError: It was not accepted; the message holds neither address nor secret.
    """
    task = Task(
        url=_address(channel, means),
        secret=_secret(channel, means),
        dedup_key=dedup_key,
        message=dict(message),
        networks=means.networks,
        timeout_s=means.timeout_s,
    )
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "monitor.messages.sending"],
            input=task.to_json().encode(),
            env=environment,
            capture_output=True,
            timeout=means.timeout_s + _STARTING_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeliveryError(f"no end of it within {means.timeout_s:g} s") from None
    try:
        said = json.loads(ended.stdout)
    except ValueError:
        if ended.returncode == -signal.SIGALRM:
            raise DeliveryError(f"no end of it within {means.timeout_s:g} s") from None
        raise DeliveryError(f"the sending process ended with {ended.returncode}") from None
    if not said["ok"]:
        raise WebhookError(
            said["error"][:_LONGEST_ERROR],
            retry_after_s=said["retry_after_s"],
            refused=said["refused"],
        )


def variable(reference: str, variables: Mapping[str, str]) -> str:
    """Return what `env:NAME` or `env:NAME#2` stands for: the variable, or its second word.

    Raises:
        DeliveryError: There is no such variable, or it has no such word.
    """
    name, _, place = reference.removeprefix("env:").partition("#")
    value = variables.get(name, "").strip()
    words = value.split() if place else [value] * bool(value)
    index = int(place or 1) - 1
    if index >= len(words):
        raise DeliveryError(f"{reference} is not in the environment of this program")
    return words[index]


def _address(channel: Channel, means: Means) -> str:
    if not channel.url.startswith("env:"):
        return channel.url
    url = variable(channel.url, means.variables)
    try:
        alert_policy.check_url(url)
    except ValueError as error:
        raise DeliveryError(f"{channel.url}: {error}") from None
    return url


def _secret(channel: Channel, means: Means) -> str | None:
    if channel.secret is None or not channel.secret.startswith("env:"):
        return channel.secret
    return variable(channel.secret, means.variables)
