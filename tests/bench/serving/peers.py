"""The servers that are compared: each in an environment of its own, started and ended here."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.bundle import files
from core.store.database import open_database
from tests.pool import admit

ROOT = Path(__file__).resolve().parents[3]
APPS = Path(__file__).parent / "apps"
_PATIENCE_S = 180.0

_WEB = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0")
_PICTURES = ("pillow==13.0.0", "numpy==2.4.6")
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "plain": (*_WEB, *_PICTURES, "onnxruntime==1.31.1"),
    "litserve": ("litserve==0.2.19", *_PICTURES, "onnxruntime==1.31.1", "python-multipart==0.0.34"),
    "workers": (*_WEB, *_PICTURES, "openvino==2026.4.1"),
}


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        name: How the report calls it.
        pid: Its first process.
        port: Where it listens.
        path: Where it takes pictures.
        body: How it takes them, as the load generator's `--body`.
    """

    name: str
    pid: int
    port: int
    path: str
    body: str = "raw"


def install(folder: Path, names: list[str]) -> None:
    """Make the peers' environments where they are missing; takes minutes, once."""
    for name in names:
        home = folder / name
        wanted = "\n".join(ENVIRONMENTS[name])
        mark = home / "installed.txt"
        if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
            continue
        sys.stderr.write(f"installing {name}: {', '.join(ENVIRONMENTS[name])}\n")
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", *ENVIRONMENTS[name]], check=True)
        mark.write_text(wanted, encoding="utf-8")


@contextmanager
def plain(python: Path, bundle: Path) -> Iterator[Running]:
    """FastAPI, Pillow and onnxruntime, one process."""
    port = _free_port()
    words = [python, "-m", "uvicorn", "plain:app", "--port", str(port), "--no-access-log"]
    with _started([*words, "--log-level", "warning"], port, "/ready", bundle) as pid:
        yield Running("FastAPI + Pillow + onnxruntime", pid, port, "/predict")


@contextmanager
def litserve(python: Path, bundle: Path, cores: int) -> Iterator[Running]:
    """LitServe with batching."""
    port = _free_port()
    extra = {"BENCH_PORT": str(port), "BENCH_CORES": str(cores)}
    with _started([python, APPS / "litserve_app.py"], port, "/health", bundle, extra) as pid:
        yield Running("LitServe, batches of 8", pid, port, "/predict", "multipart:image")


@contextmanager
def workers(python: Path, bundle: Path, cores: int, precision: str) -> Iterator[Running]:
    """As many uvicorn workers as cores, each with OpenVINO on one thread."""
    port = _free_port()
    words = [python, "-m", "uvicorn", "workers:app", "--port", str(port), "--no-access-log"]
    words += ["--log-level", "warning", "--workers", str(cores)]
    with _started(words, port, "/ready", bundle, {"BENCH_PRECISION": precision}) as pid:
        time.sleep(5)  # the first worker answers while the others still load
        yield Running(f"{cores} uvicorn workers, OpenVINO {precision}", pid, port, "/predict")


@contextmanager
def http_alone(bundle: Path) -> Iterator[Running]:
    """Our HTTP without anything behind it."""
    port = _free_port()
    words = [sys.executable, APPS / "http_alone.py"]
    with _started(words, port, "/ready", bundle, {"BENCH_PORT": str(port)}) as pid:
        yield Running("HTTP alone", pid, port, "/predict")


@contextmanager
def ours(
    home: Path, bundle: Path, options: Sequence[str] = (), extra: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """`weakspot serve` with its log, in a home that `prepare_home` made."""
    port = _free_port()
    words = [sys.executable, "-m", "weakspot", "serve", "--port", str(port), "--json", *options]
    extra = {"WEAKSPOT_HOME": str(home), "WEAKSPOT_LOG_LEVEL": "WARNING", **(extra or {})}
    with _started(words, port, "/readyz", bundle, extra) as pid:
        yield Running("Weakspot", pid, port, "/v1/predict")


def prepare_home(home: Path, bundle: Path) -> None:
    """Make a fresh home with a database in which the bundle is the champion."""
    manifest = files.read_manifest(bundle)
    folder = home / "bundles" / manifest.version
    shutil.copytree(bundle, folder)
    with open_database(None, home / "postgres") as engine:
        admit(engine, folder, promoted_at=datetime.now(UTC))


def count_logged(home: Path) -> int:
    """Return how many predictions stand in the log of a home whose service has ended."""
    with open_database(None, home / "postgres") as engine, engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM predictions").scalar_one())


def ask(port: int, path: str) -> tuple[int, bytes]:
    """Return status and content of a GET; status 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def engine_of(running: Running) -> str:
    """Return the engine that our service has chosen."""
    return str(json.loads(ask(running.port, "/v1/model")[1]).get("engine", "onnxruntime-fp32"))


@contextmanager
def _started(
    words: Sequence[str | Path],
    port: int,
    ready: str,
    bundle: Path,
    extra: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Start a server, wait until it is ready, and end it and its children afterwards."""
    log_path = Path(os.environ.get("BENCH_LOG", os.devnull))
    environment = os.environ | {"BENCH_BUNDLE": str(bundle), "DO_NOT_TRACK": "1", **(extra or {})}
    environment["PYTHONPATH"] = os.pathsep.join([str(APPS), str(ROOT)])
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in words],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while ask(port, ready)[0] != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{words} did not start; set BENCH_LOG to a file and look there")
            time.sleep(0.2)
        yield process.pid
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end; then see to it that its session is gone."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
