"""The webhook: a message as JSON, signed, posted once.

The header `Weakspot-Signature: t=TIMESTAMP,v1=HEX` carries HMAC-SHA256, keyed with the channel's
secret, of `TIMESTAMP.BODY`: a receiver knows who sent it and when, and refuses what is old. The
header `Idempotency-Key` is the same for each attempt at the same message. Redirects are not
followed, and no proxy is used. docs/alerts.md has the few lines that verify a signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from core.errors import DeliveryError

SIGNATURE = "Weakspot-Signature"
DEDUP_KEY = "Idempotency-Key"

_MOST_READ = 65_536
_LONGEST_WAIT_S = 3600
# A time that ran out, a conflict, a lock, too early, too often: another try may well be taken.
_LATER = frozenset({408, 409, 423, 425, 429})


@dataclass(frozen=True, slots=True)
class Post:
    """One message on its way to one webhook.

    Attributes:
        url: Where to, `http://` or `https://`.
        secret: What it is signed with.
        dedup_key: The same for each attempt at the same message.
        message: What is said.
    """

    url: str
    secret: str
    dedup_key: str
    message: Mapping[str, Any]


class WebhookError(DeliveryError):
    """A receiver did not take a message.

    Attributes:
        retry_after_s: When it wants to be asked again, as far as it said.
        refused: Whether asking again the same way will hardly help: it did understand, and will
            not have it (400, 401, 403, 404, 410, 413, ...).
    """

    def __init__(
        self, message: str, *, retry_after_s: int | None = None, refused: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.refused = refused


def refusal(status: int, retry_after: str | None) -> WebhookError:
    """Return the error that an answer other than 2xx is.

    Args:
        status: Its status.
        retry_after: Its header of this name; None without one.
    """
    if 300 <= status < 400:
        return WebhookError(f"HTTP {status}; redirects are not followed")
    return WebhookError(
        f"HTTP {status}",
        retry_after_s=_seconds(retry_after),
        refused=400 <= status < 500 and status not in _LATER,
    )


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Return the signature header's value for a body.

    Example:
        >>> sign("0123456789abcdef", 1767225600, b"{}")[:18]
        't=1767225600,v1=99'
    """
    signed = f"{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def post(sent: Post, *, now_s: int, timeout_s: float) -> None:
    """Post a message; return when it was accepted with a 2xx.

    Args:
        sent: What, and where to.
        now_s: The present moment, in seconds since 1970.
        timeout_s: Longest silence of the other side.

    Raises:
        WebhookError: It was not accepted; the message names no part of the address.
    """
    parts = urlsplit(sent.url)
    body = json.dumps(
        {"dedup_key": sent.dedup_key, **sent.message}, allow_nan=False, separators=(",", ":")
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "weakspot",
        SIGNATURE: sign(sent.secret, now_s, body),
        DEDUP_KEY: sent.dedup_key,
    } | _authorization(parts)
    connection = _connection(parts, timeout_s)
    try:
        connection.request("POST", _target(parts), body, headers)
        answer = connection.getresponse()
        answer.read(_MOST_READ)
    except (OSError, http.client.HTTPException) as error:
        # The system's words for it, such as "Connection refused"; they hold no address.
        raise WebhookError(f"{type(error).__name__}: {_words(error)}") from None
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise refusal(answer.status, answer.getheader("Retry-After"))


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s)
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or "no answer that can be read"


def _seconds(header: str | None) -> int | None:
    if header is None or not header.strip().isdigit():
        return None
    return min(int(header.strip()[:9]), _LONGEST_WAIT_S)
