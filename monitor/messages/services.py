"""One attempt at a message by way of Apprise, in the process that monitor.messages.sending is.

Apprise knows some 180 services, each with limits and a dialect of its own. What it gets from here
is fitted to the service (monitor.messages.fitting), and harmless in it. PagerDuty keeps incidents,
so it gets an event for each alert, under a key of that alert, and its end by the action that ends
it.

Importing this module needs Apprise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import apprise
import requests

from monitor.messages.fitting import Room, fit
from monitor.messages.webhook import WebhookError, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

# More events than this take longer than an attempt may; the rest are named in one event together.
MOST_EVENTS = 20

_TYPES: Final[Mapping[str, str]] = {"bad": "failure", "good": "success"}
_OURS = re.compile(r"(?:^|&)(?:dedup|action)=[^&]*")


class Refusals:
    """What the other side said to the last request, as Apprise tells nobody.

    Redirects are followed by no session any more: its services follow them unless each is told.
    """

    def __init__(self) -> None:
        self.last: WebhookError | None = None
        sent = requests.Session.send

        def send(session: requests.Session, request: Any, **options: Any) -> Any:
            self.last = None
            answer = sent(session, request, **options)
            if not answer.ok:
                self.last = refusal(answer.status_code, answer.headers.get("Retry-After"))
            return answer

        requests.Session.get_redirect_target = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
        requests.Session.send = send  # pyright: ignore[reportAttributeAccessIssue]


def send(url: str, key: str, message: Mapping[str, Any]) -> None:
    """Send a message once.

    Args:
        url: The channel's address, in Apprise's form.
        key: The message's dedup key.
        message: As `core.telling` writes it.

    Raises:
        DeliveryError: It was not accepted.
    """
    refusals = Refusals()
    scheme = urlsplit(url).scheme.lower()
    for address, part, part_key in _parts(scheme, url, key, message):
        _notify(address, part, part_key, refusals)


def _parts(
    scheme: str, url: str, key: str, message: Mapping[str, Any]
) -> list[tuple[str, Mapping[str, Any], str]]:
    """Return what is sent, one after another: address, message and key of each."""
    news: list[Mapping[str, Any]] = message.get("news", [])
    if scheme != "pagerduty":
        return [(url, message, key)]
    if not news:
        return [(_keyed(url, key, "trigger"), message, key)]
    parts = [_event(url, message, each) for each in news[:MOST_EVENTS]]
    left = max(int(message.get("count", 0)), len(news)) - len(parts)
    if left > 0:
        more = {"title": f"{left} more alerts", "body": "weakspot alerts list", "news": []}
        mood = message["mood"]
        parts.append((_keyed(url, key, "trigger"), {"mood": mood, **more}, key))
    return parts


def _event(
    url: str, message: Mapping[str, Any], news: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], str]:
    over = news["change"] == "resolved"
    key = f"ws-alert-{news['alert']}"
    title = str(news.get("line") or news["title"])
    # The beginning of the body says why it is weak; what has become worse says so in its line.
    body = str(news["body"]) if news["change"] == "opened" else f"Alert {news['alert']}"
    part = {
        "title": title,
        "body": body,
        "mood": "good" if over else message["mood"],
        "news": [news],
        "count": 1,
    }
    return _keyed(url, key, "resolve" if over else "trigger"), part, key


def _keyed(url: str, key: str, action: str) -> str:
    """Return PagerDuty's address with the key of an incident, and what is to become of it."""
    parts = urlsplit(url)
    query = _OURS.sub("", parts.query).strip("&")
    ours = urlencode({"dedup": key, "action": action})
    return urlunsplit(parts._replace(query=f"{query}&{ours}".strip("&")))


def _notify(url: str, message: Mapping[str, Any], key: str, refusals: Refusals) -> None:
    asset = apprise.AppriseAsset(app_id="Weakspot", async_mode=False, plugin_paths=[])
    known = apprise.Apprise(asset=asset)
    if not known.add(url):
        raise WebhookError("Apprise does not know such an address; see docs/alerts.md")
    for service in known:
        title, body = fit(message, key, _room(service))
        alone = apprise.Apprise(asset=asset)
        alone.add(service)
        accepted = alone.notify(
            body=body or title,
            title=title if body else "",
            notify_type=_TYPES.get(message["mood"], "info"),
            body_format="text",
        )
        if not accepted:
            words = "the service did not take it (Apprise says no more)"
            raise refusals.last or WebhookError(words)


def _room(service: Any) -> Room:
    scheme = str(service.secure_protocol or service.protocol)
    # Apprise takes text for Discord as it is, but Discord reads Markdown in it.
    discord = "discord" in scheme and service.resolve_format("text") == "text"
    return Room(
        title=service.title_maxlen,
        body=service.body_maxlen,
        shared=service.overflow_amalgamate_title,
        as_given=discord or "pagerduty" in scheme,
        markdown=discord,
    )
