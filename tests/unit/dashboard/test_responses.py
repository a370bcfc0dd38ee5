"""What every answer carries."""

import gzip

import pytest
from flask import Flask

from dashboard import responses
from dashboard.responses import content_policy


@pytest.fixture
def client():
    """A small application whose answers go through `responses`."""
    server = Flask("test")
    responses.install(server, ["'sha256-abc='"])
    server.add_url_rule("/long", "long", lambda: "word " * 1000)
    server.add_url_rule("/short", "short", lambda: "word")
    return server.test_client()


class TestContentPolicy:
    """Where scripts, styles and requests may come from."""

    def test_names_no_other_host(self):
        """No request leaves the machine."""
        policy = content_policy(["'sha256-abc='"])

        assert "http" not in policy
        assert "*" not in policy

    def test_lets_no_inline_script_run(self):
        """A class name that slipped through would still be no script."""
        scripts = next(p for p in content_policy([]).split("; ") if p.startswith("script-src"))

        assert scripts == "script-src 'self'"

    def test_lets_nobody_frame_the_page(self):
        """Clickjacking needs a frame."""
        assert "frame-ancestors 'none'" in content_policy([])


class TestHeaders:
    """Headers of every answer."""

    @pytest.mark.parametrize("path", ["/long", "/short", "/nowhere"])
    def test_are_on_errors_too(self, client, path):
        """An error page is a page."""
        headers = client.get(path).headers

        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "script-src 'self' 'sha256-abc='" in headers["Content-Security-Policy"]


class TestCompression:
    """Four megabytes of script become one."""

    def test_long_text_is_packed_where_that_is_accepted(self, client):
        """A phone on a slow line waits a quarter of the time."""
        answer = client.get("/long", headers={"Accept-Encoding": "gzip"})

        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(answer.data) == b"word " * 1000

    @pytest.mark.parametrize(("path", "accepted"), [("/long", ""), ("/short", "gzip")])
    def test_other_answers_are_sent_as_they_are(self, client, path, accepted):
        """Not everybody can unpack, and not everything is worth it."""
        answer = client.get(path, headers={"Accept-Encoding": accepted})

        assert "Content-Encoding" not in answer.headers
        assert answer.data.startswith(b"word")
