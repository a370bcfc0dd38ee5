"""I01 to I13 through a service that runs as a process of its own: none of them may hurt it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from tests.hostile import corpus
from tests.pool import register
from tests.serving import jpeg_of

LONGEST_S = 2.0  # of computing, which other programs on this machine do not lengthen
MOST_BYTES = 300 * 2**20


@dataclass(frozen=True, slots=True)
class Process:
    """A running service."""

    pid: int
    client: httpx.Client

    def computed_s(self) -> float:
        """Return how long its threads have computed so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str) -> int:
        """Return VmRSS or VmHWM, in bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(name))
        return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def process(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service with a champion that has answered a few requests."""
    home = tmp_path_factory.mktemp("home")
    register(module_engine, home / "bundles")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "WEAKSPOT_HOME": str(home),
        "WEAKSPOT_DATABASE_URL": module_engine.url.render_as_string(hide_password=False),
        "WEAKSPOT_SERVICE_PORT": str(port),
        "WEAKSPOT_SERVICE_ENGINE": "onnxruntime-fp32",
        "WEAKSPOT_SERVICE_THREADS": "2",
        "WEAKSPOT_SERVICE_TRIAL_S": "0.01",
    }
    log = (home / "log").open("wb")
    running = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _wait_until_ready(client)
            for seed in range(20):
                client.post("/v1/predict", content=jpeg_of("Dog", seed)).raise_for_status()
            yield Process(running.pid, client)
            assert running.poll() is None
    finally:
        running.terminate()
        running.wait(30)
        log.close()


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError("the service does not become ready")


@pytest.mark.postgres
class TestHostileImages:
    """Every file ends in an answer or a refusal: soon, and in little memory."""

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
    def test_none_hurts(self, process: Process):
        """One service takes them all, alone and in a batch beside a good one."""
        before = process.memory("VmRSS")
        good, wrong = jpeg_of("Dog"), []
        for name, data, right in corpus():
            begun = process.computed_s()
            alone = process.client.post("/v1/predict", content=data)
            between = process.computed_s()
            files = [("images", ("a", data)), ("images", ("b", good))]
            batch = process.client.post("/v1/predict/batch", files=files)
            took = max(between - begun, process.computed_s() - between)
            mine, other = batch.json()["results"]
            status = mine["problem"]["status"] if "problem" in mine else 200
            if alone.status_code not in right or status != alone.status_code:
                wrong.append((name, alone.status_code, status, alone.text[:200]))
            if took > LONGEST_S or other.get("label") != "Dog":
                wrong.append((name, f"{took:.1f} s", other))
            if (used := process.memory("VmHWM") - before) > MOST_BYTES:
                wrong.append((name, f"{used / 2**20:.0f} MiB"))
                before = process.memory("VmHWM") - MOST_BYTES

        assert not wrong, "\n".join(map(str, wrong))
