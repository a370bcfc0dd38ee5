"""A real MLflow server for a test: SQLite behind it, artifacts through it.

mlflow-skinny carries the server's code; what it lacks to run is Flask, which Dash brings, and
flask-cors.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NEEDED = ("mlflow", "flask", "flask_cors")
_START_S = 90


def missing() -> str:
    """Return which package the server lacks here; nothing when all are there."""
    return next((name for name in _NEEDED if importlib.util.find_spec(name) is None), "")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Give the address of a server whose files lie in the folder; it is gone afterwards."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    manners = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            env=os.environ | manners,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,  # its own children end with it
        )
    try:
        _wait(server, port, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        time.sleep(0.1)
    raise RuntimeError((folder / "server.log").read_text()[-2000:])
