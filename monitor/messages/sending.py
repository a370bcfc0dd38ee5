"""One attempt at one message, in a process of its own: `python -m monitor.messages.sending`.

The parent (monitor.messages.channels) writes a task as JSON to stdin and reads one JSON object from
stdout: `{"ok": true}`, or `{"ok": false, "error": "...", "retry_after_s": null, "refused": false}`.
A process can be ended when a channel hangs in whatever library it likes, and can be kept from
connecting to where no message belongs. Nothing that was given in confidence is written anywhere. It
imports little, so that it starts quickly.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from core import addresses
from core.errors import DeliveryError
from monitor.messages import webhook
from monitor.messages.webhook import Post, WebhookError


@dataclass(frozen=True, slots=True)
class Task:
    """What the parent asks for.

    Attributes:
        url: The channel's address.
        secret: What a webhook is signed with.
        dedup_key: The same for each attempt at this message.
        message: What is said; `title`, `body` and `mood` for people, the rest for programs.
        networks: What may be connected to besides public addresses.
        timeout_s: Longest silence of the other side.
    """

    url: str = field(repr=False)
    secret: str | None = field(repr=False)
    dedup_key: str
    message: dict[str, Any]
    networks: str
    timeout_s: float

    def to_json(self) -> str:
        """Return the task as the parent writes it."""
        return json.dumps(asdict(self))


def main() -> int:
    """Read the task, make the attempt, say what came of it."""
    # Libraries log the addresses they speak to.
    logging.disable(logging.CRITICAL)
    task = Task(**json.load(sys.stdin))
    # Without a handler the alarm ends the process, wherever it hangs.
    signal.setitimer(signal.ITIMER_REAL, task.timeout_s + 1)
    refused = addresses.guard(addresses.read_networks(task.networks))
    try:
        attempt(task)
    except DeliveryError as error:
        said = {
            "ok": False,
            "error": refused() or str(error),
            "retry_after_s": getattr(error, "retry_after_s", None),
            "refused": getattr(error, "refused", False),
        }
    except Exception as error:
        # Whatever a service's library raises is its failure; its words may hold the address.
        said = {
            "ok": False,
            "error": refused() or type(error).__name__,
            "retry_after_s": None,
            "refused": False,
        }
    else:
        said = {"ok": True}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


def attempt(task: Task) -> None:
    """Send a message once.

    Raises:
        DeliveryError: It was not accepted.
    """
    if urlsplit(task.url).scheme in {"http", "https"}:
        if not task.secret:
            raise WebhookError("the channel has no secret to sign with; see docs/alerts.md")
        signed = Post(task.url, task.secret, task.dedup_key, task.message)
        webhook.post(signed, now_s=int(time.time()), timeout_s=task.timeout_s)
    else:
        _by_apprise(task)


def _by_apprise(task: Task) -> None:
    try:
        from monitor.messages import services
    except ImportError as error:
        raise DeliveryError(
            "Apprise is not installed here: pip install 'weakspot[alerts]'"
        ) from error
    services.send(task.url, task.dedup_key, task.message)


if __name__ == "__main__":
    sys.exit(main())
