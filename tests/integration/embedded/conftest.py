"""Data folders of an embedded Postgres: made once, running, stopped, or used by other programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.errors import StoreError
from core.store import embedded
from core.store.postgres_process import find_processes
from tests.embedded_postgres import ROOT, connected, copied

_PROGRAM = """
import sys
from pathlib import Path
from core.store import embedded
with embedded.connect(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the user who runs Postgres can enter; nothing runs in it afterwards."""
    home = Path(tempfile.mkdtemp(prefix="weakspot-embedded-")).resolve()
    home.chmod(0o755)
    yield home
    for version in home.rglob("PG_VERSION"):
        if version.parent.parent.name != "base":
            with suppress(StoreError):
                embedded.stop(version.parent)
            for pid in find_processes(version.parent):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home)


@pytest.fixture(scope="package")
def stopped() -> Iterator[Path]:
    """A database made once, to be copied: cheaper than making one for every test."""
    home = Path(tempfile.mkdtemp(prefix="weakspot-embedded-")).resolve()
    home.chmod(0o755)
    with embedded.connect(home / "postgres") as server, connected(server.url) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    yield home / "postgres"
    shutil.rmtree(home)


@pytest.fixture(scope="package")
def looked_at(stopped: Path) -> Iterator[Path]:
    """The folder of a server that runs for all the tests that only look."""
    folder = copied(stopped, stopped.with_name("looked_at"))
    with embedded.connect(folder):
        yield folder


@pytest.fixture
def url(looked_at: Path) -> Iterator[str]:
    """The address of that server."""
    with embedded.connect(looked_at) as server:
        yield server.url


@pytest.fixture
def folder(home: Path, stopped: Path) -> Path:
    """A data folder of a stopped server, with 42 in its table `kept`."""
    return copied(stopped, home / "postgres")


@pytest.fixture
def program() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts other programs that use a folder until they are told to leave."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", _PROGRAM, str(folder)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
