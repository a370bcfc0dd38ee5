"""What leaves for Slack, Teams, Telegram, Discord, PagerDuty and a mailbox, by the real Apprise.

The wire is taken away beneath `requests`, and for mail there is a server; all above it is real.
"""

import email
import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import policy
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from core.escaping import one_line
from core.telling import Change, News, compose, trial_message
from monitor.messages import services
from monitor.messages.webhook import WebhookError
from tests.unit.test_telling import ALERT, NOW

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#models"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
DISCORD = "discord://417429632418316298/JHZ7lQml277CDHmQKMHI8qBe7bk2ZwO5UKjCiOAF7711o33MyqU344Qpgv7"
TEAMS = "workflows://host:443/643e2f92c16b41c09d14f9cbbc2a12c5/signature1234567890/"
PAGER = "pagerduty://integrationkey@apikey"
SMS = "twilio://AC1234567890123456789012345678901234:0123456789@15551234567/15557654321"

HOSTILE = (
    "*bold* _it_ ~~s~~ `code` <b>x</b> @everyone <@U1> <!channel> ||spoiler|| "
    "[click](https://evil.example) https://evil.example\n# heading\r\nBcc: all@evil.example"
)

Sent = list[tuple[str, Any]]

# Apprise's own.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Return what leaves: the address and the body of each request."""
    return _wire(monkeypatch, lambda _: 200)


def _wire(monkeypatch: pytest.MonkeyPatch, status: Callable[[str], int]) -> Sent:
    gone: Sent = []

    def answer(_: HTTPAdapter, request: requests.PreparedRequest, **_options: Any) -> Any:
        body: Any = request.body or b""
        text, url = body.decode() if isinstance(body, bytes) else str(body), str(request.url)
        gone.append((url, json.loads(text) if text.startswith("{") else text))
        given = requests.Response()
        given.status_code, given.url, given.request = status(url), url, request
        given._content = b"ok" if "slack" in url else b'{"ok": true, "result": {}}'
        return given

    monkeypatch.setattr(HTTPAdapter, "send", answer)
    # What sending changes for its own process is put back.
    monkeypatch.setattr(requests.Session, "send", requests.Session.send)
    monkeypatch.setattr(
        requests.Session, "get_redirect_target", requests.Session.get_redirect_target
    )
    return gone


def _news(number: int, change: Change = "opened", label: str = "") -> News:
    name = label or f"Class {number}"
    title = f"{one_line(name)} is weak since 2026-03-08: 6 of 20 right, reference 91 %"
    body = "\n".join(["Since 2026-03-08, v3 was right on 6 of 20."] + ["More of it." * 10] * 5)
    return News(change, replace(ALERT, id=number, label=name, title=title, body=body))


def _many(number: int) -> dict[str, Any]:
    return compose([_news(i) for i in range(1, number + 1)], now=NOW)


def _texts(body: Any) -> list[str]:
    """Return every string in a body."""
    if isinstance(body, dict):
        return [text for value in body.values() for text in _texts(value)]
    if isinstance(body, list):
        return [text for value in body for text in _texts(value)]
    return [body] if isinstance(body, str) else []


class TestLengths:
    """Ten weak classes are one message, on every service."""

    @pytest.mark.parametrize(
        ("url", "longest"), [(SLACK, 35000), (TELEGRAM, 4096), (DISCORD, 2000), (TEAMS, 28000)]
    )
    @pytest.mark.parametrize("classes", [1, 10, 600])
    def test_no_service_gets_more_than_it_takes(
        self, sent: Sent, url: str, longest: int, classes: int
    ):
        """Else it refuses all of it, twenty times, and nobody hears."""
        services.send(url, "ws-1", _many(classes))

        assert len(sent) == 1
        assert max(len(text) for text in _texts(sent[0][1])) <= longest
        assert len(json.dumps(sent[0][1], ensure_ascii=False)) <= longest + 2000

    @pytest.mark.parametrize("url", [SLACK, TELEGRAM, DISCORD])
    def test_all_ten_classes_are_named(self, sent: Sent, url: str):
        """In a line each where there is no room for more."""
        services.send(url, "ws-1", _many(10))

        told = " ".join(_texts(sent[0][1]))
        assert all(f"Class {i} is weak" in told for i in range(1, 11))

    def test_a_short_message_is_one_short_message(self, sent: Sent):
        """A title and how many; not forty messages of 160 characters."""
        services.send(SMS, "ws-1", _many(10))

        assert len(sent) == 1
        assert "10+weak" in sent[0][1]
        assert len(sent[0][1]) < 400


class TestText:
    """S22: a class name is text, in every service's own dialect."""

    def _said(self, sent: Sent, url: str) -> str:
        services.send(url, "ws-1", compose([_news(1, label=HOSTILE), _news(2)], now=NOW))
        return "\n".join(_texts(sent[0][1]))

    @pytest.mark.parametrize("url", [SLACK, TELEGRAM, DISCORD, TEAMS, PAGER])
    def test_mentions_nobody_and_links_nowhere(self, sent: Sent, url: str):
        """On any."""
        said = self._said(sent, url)

        assert "evil" in said
        assert not re.search(r"@(?=everyone|U1|evil)|<!channel|https://evil|evil\.example", said)

    @pytest.mark.parametrize("url", [SLACK, TELEGRAM])
    def test_html_is_escaped_where_it_is_read(self, sent: Sent, url: str):
        """Slack and Telegram: both in Apprise."""
        said = self._said(sent, url)

        assert "<b>x</b>" not in said
        assert "&lt;b&gt;x&lt;/b&gt;" in said

    @pytest.mark.parametrize("url", [DISCORD, f"{DISCORD}/?format=markdown"])
    def test_discord_formats_nothing(self, sent: Sent, url: str):
        """It reads Markdown in plain text; the rest of the sentence stays readable."""
        said = self._said(sent, url)

        assert not re.search(r"(?<!\\)[*`|]|(?<!\\)~~|(?<![\\\w])_|(?<!\\)\]\(", said)
        assert not re.search(r"(?m)^\s*(#|>|- )", said)
        assert "\\*bold\\*" in said

    def test_teams_formats_nothing(self, sent: Sent):
        """Its cards read Markdown, in titles too."""
        said = self._said(sent, TEAMS)

        assert not re.search(r"(?<!\\)\*bold|(?<![\\\w])_it|(?<!\\)\[click", said)

    @pytest.mark.parametrize("url", [SLACK, TELEGRAM, DISCORD, TEAMS, PAGER])
    def test_a_name_begins_no_line(self, sent: Sent, url: str):
        """Neither a heading nor a header."""
        said = self._said(sent, url)

        assert not re.search(r"(?m)^\W*(# heading|Bcc:)", said)

    @pytest.mark.parametrize(("form", "said"), [("text", "<b>x</b>"), ("html", "&lt;b&gt;x&lt;")])
    def test_a_mail_has_our_headers_and_no_others(self, form: str, said: str):
        """No second subject, no copies; HTML, where it is asked for, shows the name as text."""
        with _mailbox() as (port, letters):
            url = f"mailto://127.0.0.1:{port}/?from=w@here.example&to=o@here.example&format={form}"
            services.send(url, "ws-1", compose([_news(1, label=HOSTILE), _news(2)], now=NOW))

        letter = email.message_from_string(letters[0], policy=policy.default)
        part: Any = letter.get_body((form.replace("text", "plain"),))
        assert letter["Bcc"] is None
        assert [len(letter.get_all(name) or []) for name in ("Subject", "To")] == [1, 1]
        assert said in part.get_content()


class TestPagerDuty:
    """An incident is opened and closed under the key of its alert."""

    def _events(self, sent: Sent, *news: News) -> list[tuple[str, str]]:
        sent.clear()
        services.send(PAGER, "ws-1", compose(news, now=NOW))
        return [(body["event_action"], body["dedup_key"]) for _, body in sent]

    def test_the_end_of_an_alert_ends_its_incident(self, sent: Sent):
        """And opens none that says "Resolved"."""
        opened = self._events(sent, _news(7))
        worse = self._events(sent, _news(7, "worsened"))
        over = self._events(sent, _news(7, "resolved"))

        assert opened == worse == [("trigger", "ws-alert-7")]
        assert over == [("resolve", "ws-alert-7")]

    def test_ten_alerts_are_ten_incidents_each_short_enough(self, sent: Sent):
        """Each is resolved when its own class is well."""
        events = self._events(sent, *(_news(i) for i in range(1, 11)))

        assert events == [("trigger", f"ws-alert-{i}") for i in range(1, 11)]
        assert all(len(body["payload"]["summary"]) <= 1024 for _, body in sent)
        assert "Class 3 is weak" in sent[2][1]["payload"]["summary"]

    def test_very_many_are_named_together(self, sent: Sent):
        """An attempt must end in time."""
        events = self._events(sent, *(_news(i) for i in range(1, 601)))

        assert len(events) == services.MOST_EVENTS + 1
        assert "580 more alerts" in sent[-1][1]["payload"]["summary"]

    def test_a_test_message_has_a_key_of_its_own(self, sent: Sent):
        """So it can be closed."""
        services.send(PAGER, "ws-test", trial_message("ann", NOW))

        assert [body["dedup_key"] for _, body in sent] == ["ws-test"]

    def test_the_address_may_have_parameters_of_its_own(self, sent: Sent):
        """Only the key and the action are ours."""
        url = f"{PAGER}?severity=info&action=map&dedup=x&region=eu"
        services.send(url, "ws-1", compose([_news(7)], now=NOW))

        ((where, body),) = sent
        assert where.startswith("https://events.eu.pagerduty.com")
        assert (body["dedup_key"], body["payload"]["severity"]) == ("ws-alert-7", "info")


class TestRefusals:
    """What Apprise does not tell."""

    @pytest.mark.parametrize(("status", "refused"), [(404, True), (400, True), (503, False)])
    def test_the_answer_is_in_the_error(
        self, monkeypatch: pytest.MonkeyPatch, status: int, refused: bool
    ):
        """Its number and nothing else: no address, no body."""
        _wire(monkeypatch, lambda _: status)
        with pytest.raises(WebhookError) as error:
            services.send(SLACK, "ws-1", _many(1))

        assert (str(error.value), error.value.refused) == (f"HTTP {status}", refused)


@contextmanager
def _mailbox() -> Iterator[tuple[int, list[str]]]:
    letters: list[str] = []

    class Postbox(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    letters.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Postbox) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1], letters
        finally:
            server.shutdown()
            thread.join(10)
