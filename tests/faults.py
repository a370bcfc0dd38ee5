"""Things to break under a running service, and programs that may be killed.

with own_postgres() as (server, folder), program(server.url, tmp_path) as (process, address):
    ...
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import sqlalchemy as sa
from sqlalchemy import Engine, make_url

from core.store import database, embedded, registry
from core.store.database import transaction


def promote(engine: Engine, version: str) -> None:
    """Make a version the champion."""
    with transaction(engine) as connection:
        registry.promote(connection, version, now=datetime.now(UTC), by="test", reason="test")


def eventually(check: object, *, within_s: float = 10.0) -> None:
    """Wait until a check holds."""
    deadline = time.monotonic() + within_s
    while not check():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def version_of(service: httpx.Client) -> str:
    """Return the version that serves."""
    version: str = service.get("/v1/model").json()["version"]
    return version


def spooled(service: httpx.Client) -> int:
    """Return how many predictions a service has in its spool."""
    lines = service.get("/metrics").text.splitlines()
    return int(float(next(x for x in lines if x.startswith("weakspot_spool_pred")).split()[1]))


def end_all_connections(engine: Engine) -> None:
    """End every connection to the database of an engine but its own."""
    with engine.connect() as connection:
        connection.execute(
            sa.text("""
                SELECT pg_terminate_backend(pid)
                  FROM pg_stat_activity
                 WHERE datname = current_database()
                   AND pid <> pg_backend_pid()
            """)
        )


@contextmanager
def own_postgres() -> Iterator[tuple[embedded.EmbeddedPostgres, Path]]:
    """Start a server that may be killed without hurting other tests."""
    home = Path(tempfile.mkdtemp(prefix="weakspot-tests-"))
    home.chmod(0o755)
    try:
        with embedded.connect(home / "postgres") as server:
            database.upgrade(server.url)
            yield server, home / "postgres"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def start(url: str, home: Path, **knobs: object) -> subprocess.Popen[str]:
    """Start the service as a process of its own, on a free port.

    Args:
        url: Of its database.
        home: Any folder.
        knobs: Service settings that differ from the defaults.
    """
    environment = os.environ | {
        "WEAKSPOT_HOME": str(home),
        "WEAKSPOT_DATABASE_URL": url,
        "WEAKSPOT_SERVICE_PORT": "0",
        **{f"WEAKSPOT_SERVICE_{name.upper()}": str(value) for name, value in knobs.items()},
    }
    return subprocess.Popen(
        [sys.executable, "-m", "service"], env=environment, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def program(url: str, home: Path, **knobs: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the service as a process of its own; gives it and its address."""
    process = start(url, home, **knobs)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "listening on" in line)
        # Nobody reads on, and a full pipe would stop the service.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.wait(10)
        drain.join(10)
        process.stderr.close()


class Gate:
    """A way to Postgres that can be shut, and can be stopped with everything in it.

    Attributes:
        url: Of the database behind it.
    """

    def __init__(self, url: str) -> None:
        behind = make_url(url)
        self._behind = (behind.host or "127.0.0.1", behind.port or 5432)
        self._port = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.open()
        self.url = behind.set(host="127.0.0.1", port=self._port).render_as_string(False)

    def open(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """End every connection and refuse new ones."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()
        self._flowing.set()

    def freeze(self) -> None:
        """Let nothing pass from now on, without a word to either side."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything pass again."""
        self._flowing.set()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._behind)
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                self._flowing.wait()
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def gate(url: str) -> Iterator[Gate]:
    """Build a gate before a database, and take it away when the block ends."""
    built = Gate(url)
    try:
        yield built
    finally:
        built.shut()
