"""Request ids, headers and counts around every answer."""

import asyncio
from typing import Any

import httpx
import pytest

from core.bundle.trial import Measurement, Trial
from service.telemetry import Envelope, Metrics


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer everything with the request's id."""
    body = scope["state"]["request_id"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def too_much(scope: Any, receive: Any, send: Any) -> None:
    """Answer as Starlette's own body limit does."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"17")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"Content Too Large"})


async def broken(scope: Any, receive: Any, send: Any) -> None:
    """Fail before anything is answered."""
    raise ZeroDivisionError


def ask(app: Any, metrics: Metrics, **options: Any) -> httpx.Response:
    """Send one request through the envelope."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(Envelope(app, metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request("GET", "/", **options)

    return asyncio.run(send())


class TestEnvelope:
    """The outermost layer of the service."""

    def test_keeps_a_harmless_request_id(self):
        """A caller follows one id through its own log and ours."""
        answer = ask(hello, Metrics(), headers={"X-Request-ID": "order-42/7"})

        assert answer.headers["x-request-id"] == answer.text == "order-42/7"

    @pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "ä", "a\tb", "<script>"])
    def test_replaces_any_other(self, offered: str):
        """S16: ids go into logs, rows and headers."""
        headers = {"X-Request-ID": offered.encode("utf-8")}

        answer = ask(hello, Metrics(), headers=headers)

        assert len(answer.text) == 32
        assert answer.headers["x-request-id"] == answer.text

    def test_forbids_guessing_the_content_type(self):
        """S14: nothing we send may be read as something else."""
        assert ask(hello, Metrics()).headers["x-content-type-options"] == "nosniff"

    def test_turns_a_plain_413_into_a_problem(self):
        """The body limit answers past every exception handler."""
        answer = ask(too_much, Metrics())

        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "too_large"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]

    def test_counts_what_fails_before_it_answers(self):
        """An error nobody counts is an error nobody sees."""
        metrics = Metrics()

        with pytest.raises(ZeroDivisionError):
            ask(broken, metrics)

        assert b'status="500"' in metrics.render()


class TestMetrics:
    """The service's own numbers."""

    def test_are_nobody_elses(self):
        """Two services in one process must not share a registry."""
        first, second = Metrics(), Metrics()

        first.answered("v1")

        assert b'weakspot_predictions_total{version="v1"} 1.0' in first.render()
        assert b'version="v1"' not in second.render()

    def test_show_only_the_version_that_serves(self):
        """After a promotion the old version's line must go."""
        metrics = Metrics()

        metrics.serving("classifier", "v1", _trial("onnxruntime-fp32", 20.0))
        metrics.serving("classifier", "v2", _trial("openvino-bf16", 50.0))

        assert b'version="v2"' in metrics.render()
        assert b'version="v1"' not in metrics.render()


def _trial(engine, images_per_s):
    return Trial(engine, (Measurement(engine, images_per_s, 0.0, 1.0),))
