"""docs/alerts.md keeps its word: the verification, the diagram, the example of the rules."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from core.store.alert_policy import parse
from core.store.alert_states import TRANSITIONS
from monitor.messages.webhook import Post, post, sign
from tests.receiver import receiving

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECRET = "a-secret-of-many-characters"
NOW = 1_772_000_000


@pytest.fixture(scope="module")
def copied() -> ModuleType:
    """docs/examples/verify_webhook.py, as somebody would copy it."""
    path = DOCS / "examples/verify_webhook.py"
    spec = importlib.util.spec_from_file_location("verify_webhook", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _blocks(language: str) -> list[str]:
    page = (DOCS / "alerts.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


class TestVerification:
    """The lines a receiver copies."""

    def test_pass_what_we_send(self, copied: ModuleType, monkeypatch: pytest.MonkeyPatch):
        """The page's own snippet, on a real request."""
        with receiving() as receiver:
            sent = Post(receiver.url, SECRET, "ws-1", {"title": "Käfer"})
            post(sent, now_s=NOW, timeout_s=5)
        (request,) = receiver.requests
        monkeypatch.setitem(__import__("sys").modules, "verify_webhook", copied)
        monkeypatch.setattr("time.time", lambda: NOW + 5.0)
        given = {"secret": SECRET, "headers": request.headers, "body": request.body}

        (snippet,) = _blocks("python")
        exec(snippet, given)  # noqa: S102 - it is our own page

    @pytest.mark.parametrize(
        ("secret", "header", "body", "now_s"),
        [
            ("another-secret-of-theirs", None, b"{}", NOW),
            (SECRET, None, b"{} ", NOW),
            (SECRET, None, b"{}", NOW + 301),
            (SECRET, None, b"{}", NOW - 301),
            (SECRET, "", b"{}", NOW),
            (SECRET, "t=,v1=", b"{}", NOW),
            (SECRET, "t=x,v1=y", b"{}", NOW),
            (SECRET, "t=٣,v1=ü", b"{}", NOW),
        ],
    )
    def test_fail_what_is_not_ours_or_old(
        self, copied: ModuleType, secret: str, header: str | None, body: bytes, now_s: int
    ):
        """Another secret, another body, a replay, and nonsense."""
        signature = sign(SECRET, NOW, b"{}") if header is None else header

        assert copied.is_genuine(secret, signature, body, now_s=now_s) is False


class TestPage:
    """What else it shows."""

    def test_draws_the_states_as_they_are(self):
        """Every deed, and no other."""
        (diagram,) = _blocks("mermaid")
        drawn = re.findall(r"^ *(\w+) --> (\w+): (\w+)$", diagram, re.MULTILINE)

        assert {(a, deed): b for a, b, deed in drawn} == TRANSITIONS

    def test_shows_rules_that_can_be_set(self):
        """Whoever copies them is not refused."""
        assert [len(parse(json.loads(block)).channels) for block in _blocks("json")] == [2]
