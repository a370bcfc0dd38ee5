"""Requests that are too large, too many or dressed up, against a real service."""

import gzip
import io
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.serving import jpeg_of

IMAGE_BYTES = 1_000_000
HELD_BYTES = 4_000_000  # four images of the largest size
KNOBS = {"max_image_bytes": IMAGE_BYTES, "max_inflight_bytes": HELD_BYTES}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def connect(service: httpx.Client, head: str) -> socket.socket:
    """Return a connection on which a request's head was sent."""
    url = urlsplit(str(service.base_url))
    connected = socket.create_connection((url.hostname or "", url.port or 0), 10)
    connected.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return connected


def held_bytes(service: httpx.Client) -> float:
    """Return what the service says that it holds."""
    lines = service.get("/metrics").text.splitlines()
    return float(
        next(line for line in lines if line.startswith("weakspot_bodies_bytes")).split()[1]
    )


@pytest.mark.postgres
class TestLargeRequests:
    """S12 and F31."""

    def test_are_refused_by_what_they_state(self, service: httpx.Client):
        """S12: ten gigabytes are not read to find out that they are too many."""
        head = "POST /v1/predict HTTP/1.1\nHost: x\nContent-Length: 10000000000"
        with connect(service, head) as client:
            answer = client.recv(10_000)

        assert answer.startswith(b"HTTP/1.1 413")
        assert b"too_large" in answer

    @pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch", "/v2/models/m/infer"])
    def test_are_refused_when_they_grow(self, service: httpx.Client, path: str):
        """S12: a body that states nothing is counted as it comes."""
        kind = {"Content-Type": "multipart/form-data; boundary=b"} if "batch" in path else {}
        start = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        chunks = (start if number == 0 else b"x" * 100_000 for number in range(1500))

        try:
            answer = service.post(path, content=chunks, headers=kind).status_code
        except httpx.TransportError:
            answer = 413  # it hung up on the rest

        assert answer in {404, 413, 503}
        assert held_bytes(service) == 0

    def test_wait_for_nobody(self, service: httpx.Client):
        """F31: what would be held beyond the limit is refused before it is sent."""
        head = f"POST /v1/predict HTTP/1.1\nHost: x\nContent-Length: {IMAGE_BYTES}"
        inside = [connect(service, head) for _ in range(4)]
        for each in inside:
            each.sendall(b"x")
        while held_bytes(service) < HELD_BYTES:
            pass
        refused = service.post("/v1/predict", content=jpeg_of("Dog"))
        for each in inside:
            each.close()
        while held_bytes(service):
            pass

        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert service.post("/v1/predict", content=jpeg_of("Dog")).status_code == 200

    def test_in_a_burst_are_answered_or_refused(self, service: httpx.Client):
        """F31: two hundred at once; none of them is lost or ends in a 500."""
        body = jpeg_of("Dog") + bytes(IMAGE_BYTES - 100_000)
        limits = httpx.Limits(max_connections=32)
        many = httpx.Client(base_url=service.base_url, timeout=30, limits=limits)

        def ask(_: int) -> int:
            try:
                return many.post("/v1/predict", content=body).status_code
            except httpx.TransportError:
                return 503  # refused, and hung up before it had sent everything

        with many, ThreadPoolExecutor(32) as pool:
            statuses = list(pool.map(ask, range(200)))

        assert set(statuses) <= {200, 503}
        assert statuses.count(200) > 0
        assert held_bytes(service) == 0

    def test_are_not_inflated(self, service: httpx.Client):
        """S12: a thousandfold body hides in gzip."""
        bomb = gzip.compress(bytes(10_000_000))
        for path in ("/v1/predict", "/v1/predict/batch"):
            answer = service.post(path, content=bomb, headers={"Content-Encoding": "gzip"})

            assert answer.status_code == 415

    def test_may_not_have_many_fields(self, service: httpx.Client):
        """S12: a hundred thousand parts of a form."""
        part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=b"}

        answer = service.post("/v1/predict/batch", content=part * 100_000 + b"--b--", headers=kind)

        assert answer.status_code == 400

    @pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary="])
    def test_i14_need_a_boundary(self, service: httpx.Client, kind: str):
        """A form that cannot be taken apart is malformed."""
        answer = service.post("/v1/predict", content=b"--b--", headers={"Content-Type": kind})

        assert answer.status_code == 400

    @pytest.mark.parametrize("name", ["a\0b", "a\r\nX: y", "🙂", "x" * 4096, "../../etc/passwd"])
    def test_i14_may_name_their_file_as_they_like(self, service: httpx.Client, name: str):
        """Nobody looks at it."""
        answer = service.post("/v1/predict", files={"image": (name, jpeg_of("Cat"))})

        assert answer.json()["label"] == "Cat"

    def test_stay_off_the_disk(self, service: httpx.Client, monkeypatch: pytest.MonkeyPatch):
        """F11: the temporary folder may be full or read-only."""
        monkeypatch.setattr("tempfile.TemporaryFile", None)
        body = io.BytesIO(jpeg_of("Cat") + bytes(IMAGE_BYTES - 50_000))

        assert service.post("/v1/predict", files={"image": ("a", body)}).status_code == 200


@pytest.mark.postgres
class TestManyConnections:
    """S11."""

    def test_that_are_silent_hold_nobody_up(self, service: httpx.Client):
        """A thousand sockets on which nothing is said, and the next caller is answered."""
        url = urlsplit(str(service.base_url))
        silent = [socket.create_connection((url.hostname, url.port), 10) for _ in range(1000)]
        begun = time.monotonic()
        answer = service.post("/v1/predict", content=jpeg_of("Dog"))
        took = time.monotonic() - begun
        for each in silent:
            each.close()

        assert answer.status_code == 200
        assert took < 2


@pytest.mark.postgres
class TestHeaders:
    """S14 and S16."""

    @pytest.mark.parametrize("path", ["/healthz", "/v1/model", "/nowhere", "/docs", "/metrics"])
    def test_keep_browsers_out(self, service: httpx.Client, path: str):
        """Every answer, errors too."""
        headers = service.get(path, headers={"Origin": "https://evil.example"}).headers

        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")]

    def test_let_the_page_run_its_own_scripts_only(self, service: httpx.Client):
        """The page's one inline script is known by its hash."""
        policy = service.get("/docs").headers["content-security-policy"]

        assert "script-src 'self' 'sha256-" in policy
        assert "unsafe-inline" not in policy.split("style-src")[0]

    def test_answer_no_preflight(self, service: httpx.Client):
        """CORS is closed."""
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

        assert service.options("/v1/predict", headers=asked).status_code == 405

    def test_do_not_believe_the_host(self, service: httpx.Client):
        """A poisoned Host must not become a link."""
        answer = service.get("/", headers={"Host": "evil.example"}, follow_redirects=False)

        assert answer.headers["location"] == "/docs"
        assert "evil" not in service.get("/v1/", headers={"Host": "evil.example"}).headers.get(
            "location", ""
        )

    def test_keep_a_trace(self, service: httpx.Client):
        """W3C Trace Context: sent back as it came."""
        assert (
            service.get("/healthz", headers={"traceparent": TRACE}).headers["traceparent"] == TRACE
        )

    @pytest.mark.parametrize(
        "wrong", ["", "00-0-0-0", TRACE.upper(), "ff" + TRACE[2:], TRACE.replace("0af7", "zzzz")]
    )
    def test_drop_what_is_no_trace(self, service: httpx.Client, wrong: str):
        """What is not understood goes no further."""
        assert "traceparent" not in service.get("/healthz", headers={"traceparent": wrong}).headers


@pytest.mark.postgres
class TestQueries:
    """I16 and I17."""

    @pytest.mark.parametrize("top_k", ["-1", "0", "1000000000", "1e3", "NaN", "", "１" * 9])
    def test_i16_bound_top_k(self, service: httpx.Client, top_k: str):
        """As many labels as there are is enough."""
        answer = service.post("/v1/predict", params={"top_k": top_k}, content=jpeg_of("Dog"))

        assert answer.status_code == 422

    @pytest.mark.parametrize(
        "query",
        [
            {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            {"from": "0000-01-01T00:00:00Z"},
            {"from": "10000-01-01T00:00:00Z"},
            {"from": "2026-01-01T00:00:00"},
            {"from": "now-99999d"},
            {"limit": "-1"},
            {"cursor": "%00"},
            {"label": "a\0b"},
            {"version": "a\nb"},
        ],
    )
    def test_i16_refuse_what_is_no_range(self, service: httpx.Client, query: dict[str, str]):
        """Each is a 422 that says what is wrong."""
        assert service.get("/v1/predictions", params=query).status_code == 422

    @pytest.mark.parametrize("year", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
    def test_i16_bear_the_ends_of_time(self, service: httpx.Client, year: str):
        """In UTC these lie outside of what a datetime can hold."""
        for name in ("from", "to"):
            assert service.get("/v1/predictions", params={name: year}).status_code in {200, 422}

    @pytest.mark.parametrize(
        "label", ["", "x" * 300, "a/b", "..", "%2e", "a\nb", "\u202egoD", "a\0", "DOG", "Dog\u0301"]
    )
    def test_i17_refuse_names_that_no_class_has(self, service: httpx.Client, label: str):
        """A label that is nearly right is not right."""
        answer = service.post("/v1/predict", content=jpeg_of("Dog")).json()

        refused = service.put(f"/v1/predictions/{answer['id']}/label", json={"label": label})

        assert refused.status_code == 422
