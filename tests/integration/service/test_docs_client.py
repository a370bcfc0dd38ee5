"""docs/clients.md and its Python client, tried on a running service."""

import importlib.util
import re
import shutil
import subprocess
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from sqlalchemy import Engine

from core.store import health_days, keys
from core.store.database import transaction
from core.store.health_days import HealthDay
from monitor.health import health
from tests.pool import register
from tests.serving import jpeg_of, logged, serving

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(scope="module")
def client() -> ModuleType:
    """docs/examples/weakspot_client.py, as somebody would copy it."""
    spec = importlib.util.spec_from_file_location(
        "weakspot_client", DOCS / "examples/weakspot_client.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with the pictures that the page speaks of."""
    for label in ("Dog", "Cat"):
        (tmp_path / f"{label.lower()}.jpg").write_bytes(jpeg_of(label))
    return tmp_path


def blocks(language: str) -> list[str]:
    """Return the page's code in one language."""
    page = (DOCS / "clients.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


class TestClient:
    """Three methods."""

    def test_predicts_and_labels(self, service: httpx.Client, client: ModuleType):
        """The file's own first lines."""
        with client.Weakspot(str(service.base_url)) as weakspot:
            answer = weakspot.predict(jpeg_of("Dog"), top_k=2)
            row = weakspot.label(answer["id"], "Cat")

        assert (answer["label"], len(answer["top"])) == ("Dog", 2)
        assert (row["label"], row["true_label"]) == ("Dog", "Cat")

    def test_predicts_many(self, service: httpx.Client, client: ModuleType):
        """More than fit in one request, in order, each with its own fate."""
        images = [jpeg_of("Dog"), b"junk", *(jpeg_of("Cat", seed) for seed in range(4))]

        with client.Weakspot(str(service.base_url)) as weakspot:
            results = weakspot.predict_many(images, at_a_time=4)

        said = [each.get("label") or each["problem"]["status"] for each in results]
        assert said == ["Dog", 415, "Cat", "Cat", "Cat", "Cat"]

    def test_raises_the_problem(self, service: httpx.Client, client: ModuleType):
        """The reason is in the message, and its code within reach."""
        with (
            client.Weakspot(str(service.base_url)) as weakspot,
            pytest.raises(client.RefusedError, match="415 unsupported_image") as refused,
        ):
            weakspot.predict(b"junk")

        assert refused.value.problem["code"] == "unsupported_image"

    def test_shows_its_key(self, engine: Engine, tmp_path: Path, client: ModuleType):
        """And hears in words when it has none, under both interfaces."""
        register(engine, tmp_path / "bundles")
        grant = keys.Grant(("predict",))
        with transaction(engine) as connection:
            _, key = keys.create(connection, "app", grant, by="test", now=datetime.now(UTC))
        with serving(engine, tmp_path, require_keys=True) as service:
            with client.Weakspot(str(service.base_url), key=key) as weakspot:
                assert weakspot.predict(jpeg_of("Dog"))["label"] == "Dog"
            with (
                client.Weakspot(str(service.base_url)) as stranger,
                pytest.raises(client.RefusedError, match="401"),
            ):
                stranger.predict(jpeg_of("Dog"))
            stranger_at_v2 = service.get("/v2/models/classifier").json()

        assert "API key" in stranger_at_v2["error"]

    def test_comes_back_when_told_to(self, engine: Engine, tmp_path: Path, client: ModuleType):
        """A service that starts, drains or is full says when; nobody counts twice."""
        with serving(engine, tmp_path, reload_s=0.2) as service:
            thread = threading.Timer(0.5, register, [engine, tmp_path / "bundles"])
            thread.start()
            begun = time.monotonic()
            with client.Weakspot(str(service.base_url), attempts=8) as weakspot:
                answer = weakspot.predict(jpeg_of("Dog"))
            thread.join()

            assert answer["label"] == "Dog"
            assert time.monotonic() - begun >= 1
            assert set(logged(engine)) == {answer["id"]}

    def test_gives_up_in_the_end(self, engine: Engine, tmp_path: Path, client: ModuleType):
        """For ever is too long for a request."""
        with (
            serving(engine, tmp_path) as service,
            client.Weakspot(str(service.base_url), attempts=1) as weakspot,
            pytest.raises(client.RefusedError, match="503 no_model"),
        ):
            weakspot.predict(jpeg_of("Dog"))

    def test_stays_small(self):
        """It is there to be copied."""
        text = (DOCS / "examples/weakspot_client.py").read_text(encoding="utf-8")

        assert len(text.splitlines()) < 80


class TestPage:
    """docs/clients.md: every line of it works."""

    @pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
    @pytest.mark.parametrize("lines", blocks("sh")[1:], ids=lambda lines: lines.split("\n")[0][:60])
    def test_lines_work(
        self, service: httpx.Client, module_engine: Engine, pictures: Path, lines: str
    ):
        """An example that fails is worse than none."""
        with transaction(module_engine) as connection:
            day = date(2026, 11, 20)
            judged = HealthDay(day, "v1", datetime.now(UTC), health(connection, day))
            health_days.write(connection, judged)
        strict = 'set -euo pipefail; curl() { command curl -sS --fail-with-body "$@"; }\n'
        script = f"{strict}WEAKSPOT={service.base_url}\n{lines}"

        found = subprocess.run(
            ["bash", "-c", script],
            cwd=pictures,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

        assert found.returncode == 0, found.stdout + found.stderr
        assert "predict" not in lines or '"Dog"' in found.stdout

    def test_python_works(
        self, service: httpx.Client, pictures: Path, monkeypatch, capsys: pytest.CaptureFixture
    ):
        """NVIDIA's client, as the page shows it."""
        (code,) = blocks("python")
        address = f"{service.base_url.host}:{service.base_url.port}"
        monkeypatch.chdir(pictures)

        exec(code.replace("127.0.0.1:8000", address), {})  # noqa: S102 - our own page

        assert "[b'Dog' b'Cat']" in capsys.readouterr().out
