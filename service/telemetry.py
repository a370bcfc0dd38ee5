"""What is measured about the service, and the envelope around every request.

Prometheus' conventions: base units, a counter's name ends in `_total`. Every label's values are
bounded: routes by their template, never by the address that was asked for.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.datastructures import Headers, MutableHeaders

from service import problems, tracing
from service.door.safe_headers import SAFE_HEADERS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from core.bundle.trial import Trial

STAGES: Final = ("decode", "queue", "infer", "log")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class Metrics:
    """The service's own numbers, in a registry of its own: two services never share one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "weakspot_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "weakspot_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "weakspot_stage_seconds",
            "Time one image spends in a stage.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "weakspot_batch_size", "Images per model call.", buckets=_SIZES, registry=self.registry
        )
        self._answered = Counter(
            "weakspot_predictions",
            "Predictions answered, each of them logged.",
            ["version"],
            registry=self.registry,
        )
        self.spooled = Counter(
            "weakspot_predictions_spooled",
            "Predictions written to this machine's disk because Postgres was away.",
            registry=self.registry,
        )
        self._model = Gauge(
            "weakspot_model_info",
            "1 for the version that serves.",
            ["name", "version", "engine"],
            registry=self.registry,
        )
        self._engines = Gauge(
            "weakspot_engine_images_per_second",
            "Speed of each engine that could serve, when the version was loaded.",
            ["engine"],
            registry=self.registry,
        )
        self._loads = Counter(
            "weakspot_model_loads",
            "Attempts to load a champion.",
            ["outcome"],
            registry=self.registry,
        )
        self.shadow_scored = Counter(
            "weakspot_shadow_scored",
            "Predictions that a challenger waiting for gate images has answered, too.",
            registry=self.registry,
        )
        self._shadow_dropped = Counter(
            "weakspot_shadow_dropped",
            "Sampled predictions that it has not answered, by why.",
            ["why"],
            registry=self.registry,
        )
        self._stage = {stage: self._stages.labels(stage) for stage in STAGES}

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show a number that is read whenever it is asked for."""
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def observe(self, stage: str, seconds: float) -> None:
        """Note how long one image spent in one of STAGES."""
        self._stage[stage].observe(seconds)

    def answered(self, version: str) -> None:
        """Note an answered prediction."""
        self._answered.labels(version).inc()

    def shadow_dropped(self, why: str, n: int) -> None:
        """Note sampled predictions that the challenger has not answered."""
        self._shadow_dropped.labels(why).inc(n)

    def loaded(self, *, ok: bool) -> None:
        """Note an attempt to load a version."""
        self._loads.labels("ok" if ok else "failed").inc()

    def serving(self, name: str, version: str, trial: Trial) -> None:
        """Note which version serves from now on, by which engine, and how fast each one was."""
        self._model.clear()
        self._model.labels(name, version, trial.engine).set(1)
        self._engines.clear()
        for found in trial.measurements:
            if found.images_per_s is not None:
                self._engines.labels(found.engine).set(found.images_per_s)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class Envelope:
    """The outermost layer: request ids, safe headers, and a count of every answer.

    It stands outside the framework's own error handling, so that its 500s and 413s get
    ids and headers too, and are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id, str(scope["path"]))
        answer.traceparent = tracing.follow(Headers(scope=scope).get("traceparent", ""))
        begun = time.monotonic()
        try:
            await self._app(scope, receive, answer.send)
        finally:
            route = str(getattr(scope.get("route"), "path", "unmatched"))
            self._metrics.request_seconds.labels(route).observe(time.monotonic() - begun)
            self._metrics.requests.labels(route, _method(scope), str(answer.status)).inc()


class _Answer:
    """Sends one answer on, with our headers, and as a problem where the framework sent none."""

    def __init__(self, send: Send, request_id: str, path: str) -> None:
        self._send = send
        self._request_id = request_id
        self._path = path
        self._replaced = False
        self.traceparent: str | None = None
        self.status = 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = Headers(raw=message["headers"])
            if self.status == 413 and headers.get("content-type") != problems.MEDIA_TYPE:
                await self._send_too_large()
                return
            self._add_headers(message)
        if not self._replaced:
            await self._send(message)

    async def _send_too_large(self) -> None:
        # Starlette's limit answers in plain text, past every exception handler.
        self._replaced = True
        answer = problems.too_large(self._request_id, self._path)
        start: Message = {"type": "http.response.start", "status": 413}
        start["headers"] = answer.raw_headers
        self._add_headers(start)
        await self._send(start)
        await self._send({"type": "http.response.body", "body": answer.body})

    def _add_headers(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Request-ID"] = self._request_id
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        present = {name for name, _ in headers.raw}
        headers.raw.extend(each for each in SAFE_HEADERS if each[0] not in present)


def _request_id(scope: Scope) -> str:
    """Return the caller's own id when it is harmless, else a new one."""
    offered = Headers(scope=scope).get("x-request-id", "")
    return offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in _METHODS else "other"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
