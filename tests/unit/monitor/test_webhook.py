"""The signed webhook, against a real receiver."""

import hashlib
import hmac

import pytest

from monitor.messages.webhook import Post, WebhookError, post, sign
from tests.receiver import Answer, receiving

SECRET = "a-secret-of-many-characters"
NOW = 1_772_000_000


def _post(url: str, timeout_s: float = 5.0) -> None:
    message = {"title": 'x"\n<b>', "news": [{"label": "Käfer"}]}
    post(Post(url, SECRET, "ws-1", message), now_s=NOW, timeout_s=timeout_s)


class TestSign:
    """`sign`."""

    def test_is_hmac_sha256_of_time_and_body(self):
        """Said once in docs/alerts.md, so it cannot change."""
        expected = hmac.new(SECRET.encode(), b'1772000000.{"a":1}', hashlib.sha256).hexdigest()

        assert sign(SECRET, NOW, b'{"a":1}') == f"t=1772000000,v1={expected}"

    def test_covers_time_and_body(self):
        """Neither can be exchanged."""
        signatures = {sign(SECRET, NOW, b"a"), sign(SECRET, NOW + 1, b"a"), sign(SECRET, NOW, b"b")}

        assert len(signatures) == 3


class TestPost:
    """`post`."""

    def test_sends_what_was_signed_with_its_key(self):
        """The body's very bytes are what the signature is of; the names in it are as they are."""
        with receiving() as receiver:
            _post(f"{receiver.url}?x=1")

        (request,) = receiver.requests
        assert request.headers["Weakspot-Signature"] == sign(SECRET, NOW, request.body)
        assert (request.path, receiver.keys) == ("/hook?x=1", ["ws-1"])
        assert request.json["title"] == 'x"\n<b>'
        assert (request.json["dedup_key"], request.json["news"][0]["label"]) == ("ws-1", "Käfer")

    def test_names_user_and_password_where_http_wants_them(self):
        """Not in the address of the request."""
        with receiving() as receiver:
            _post(receiver.url.replace("http://", "http://me:p%40ss@"))

        assert receiver.requests[0].headers["Authorization"] == "Basic bWU6cEBzcw=="

    @pytest.mark.parametrize("status", [400, 404, 500, 503])
    def test_everything_but_2xx_is_a_failure(self, status: int):
        """What was not taken is sent again."""
        with receiving(Answer(status)) as receiver, pytest.raises(WebhookError, match=str(status)):
            _post(receiver.url)

    def test_does_not_follow_redirects(self):
        """S08: a redirect is how a checked address becomes another."""
        with receiving() as secret_place:
            moved = Answer(307, {"Location": secret_place.url})
            with receiving(moved) as receiver, pytest.raises(WebhookError, match="not followed"):
                _post(receiver.url)

        assert secret_place.requests == []

    @pytest.mark.parametrize(("said", "s"), [("77", 77), ("999999", 3600), ("soon", None)])
    def test_passes_on_when_to_come_again(self, said: str, s: int | None):
        """Up to an hour is believed."""
        busy = Answer(429, {"Retry-After": said})
        with receiving(busy) as receiver, pytest.raises(WebhookError) as refused:
            _post(receiver.url)

        assert refused.value.retry_after_s == s

    def test_a_failure_names_no_part_of_the_address(self):
        """S13: tokens are in paths, and errors are in logs."""
        with pytest.raises(WebhookError) as refused:
            _post("http://user:hunter2@127.0.0.1:9/T0KEN?key=abc")

        assert str(refused.value) == "ConnectionRefusedError: Connection refused"
