"""`channels.send`: one attempt in a process of its own, by the real Apprise, to a real receiver."""

from typing import ClassVar

import pytest

from core.errors import DeliveryError
from core.store.alert_policy import Channel
from monitor.messages import channels
from monitor.messages.channels import Means
from tests.receiver import HERE, Answer, receiving

SECRET = "a-secret-of-many-characters"


class TestChannels:
    """`channels.send`, with the real Apprise."""

    MESSAGE: ClassVar = {
        "title": "<b>@here</b>\nBcc: x",
        "body": "[x](https://evil.example) <i>y</i>",
        "mood": "bad",
    }

    def _send(self, url: str, networks: str = HERE) -> None:
        channel = Channel(name="c", url=url, secret=SECRET)
        channels.send(channel, "ws-1", self.MESSAGE, Means(networks=networks))

    @pytest.mark.parametrize(
        ("form", "body"),
        [
            ("text", "[x](https:\u2060//evil.\u2060example) <i>y</i>"),
            ("markdown", "\\[x\\]\\(https:\u2060//evil\\.\u2060example\\)"),
            ("html", "&lt;i&gt;y&lt;/i&gt;"),
        ],
    )
    def test_s22_text_is_escaped_for_what_the_service_reads(self, form: str, body: str):
        """Nothing in a class name is markup, a link or a mention, in any format."""
        with receiving() as receiver:
            self._send(receiver.url.replace("http://", "json://") + f"?format={form}")

        said = receiver.requests[0].json
        assert body in said["message"]
        assert said["title"] == "‹b›@\u2060here‹/b›\ufffdBcc: x"
        assert (said["type"], "(message" in said["message"]) == ("failure", True)

    @pytest.mark.parametrize("scheme", ["http", "json"])
    def test_s08_nothing_goes_to_a_private_address(self, scheme: str):
        """Neither by the webhook nor by a library; the receiver hears nothing."""
        with receiving() as receiver, pytest.raises(DeliveryError, match="is no public address"):
            self._send(receiver.url.replace("http", scheme), networks="")

        assert receiver.requests == []

    def test_s08_redirects_are_not_followed_by_apprise_either(self):
        """Not even when its address asks for it."""
        with receiving() as secret_place:
            moved = Answer(302, {"Location": secret_place.url})
            with receiving(moved) as receiver, pytest.raises(DeliveryError):
                self._send(receiver.url.replace("http", "json"))

        assert secret_place.requests == []

    @pytest.mark.parametrize("url", ["foo://T0KEN", "slack://T0KEN", "json://u:T0KEN@127.0.0.1:9/"])
    def test_s13_a_failure_repeats_no_address(self, url: str):
        """It goes to the outbox, the log and the terminal."""
        with pytest.raises(DeliveryError) as refused:
            self._send(url)

        assert "T0KEN" not in str(refused.value)
