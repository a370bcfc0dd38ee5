"""The Postgres that comes with us, for machines that have none of their own.

`connect` makes and starts it when needed, or joins the one that another program
runs in the same folder. While anybody is connected it is kept alive on its
address; the last one out stops it. The database is a real Postgres with
pgvector on 127.0.0.1, behind a password; nothing else on the machine is
touched. Linux, and local disks, are what it is made for.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import secrets
import select
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from core.errors import StoreError
from core.store.postgres_account import ELSEWHERE, account_for, find_programs, refuse_unreachable
from core.store.postgres_folder import ROLE, USERS_LOCK, DataFolder, make, refuse_unusable
from core.store.postgres_lock import Patience, Report, release_lock, try_lock
from core.store.postgres_server import Server, is_full

_DATABASE = "weakspot"
_LOOK_MS = 3000
_LONGEST_PAUSE_S = 5.0

_log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One program's use of the embedded server; leaving it may stop the server."""

    def __init__(self, server: Server, port: int, users_lock: int, report: Report) -> None:
        self.url = f"postgresql+psycopg://{ROLE}:{server.password}@127.0.0.1:{port}/{_DATABASE}"
        self._server = server
        self._users_lock = users_lock
        self._process = os.getpid()
        self._open = True
        self._keeper = _Keeper(server, port, report)
        self._keeper.start()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave; the last user out stops the server. A forked child's call does nothing."""
        if not self._open or os.getpid() != self._process:
            return
        self._open = False
        atexit.unregister(self.close)
        self._keeper.end()
        try:
            with self._server.folder.supervising(Patience(_log.info)):
                if try_lock(self._users_lock):
                    self._server.stop()
        except FileNotFoundError:
            _log.warning("%s was removed; its server ends by itself", self._server.folder.path)
        finally:
            release_lock(self._users_lock)


def connect(folder: Path, *, on_progress: Report | None = None) -> EmbeddedPostgres:
    """Return a running Postgres whose data is in `folder`, made and started when needed.

    Args:
        folder: Data folder; made with its parents when missing.
        on_progress: Told what is waited for, once a second; also later, when the server
            died and is being started again. By default that goes to the log.

    Raises:
        StoreError: It cannot be had; the message says why and what to do.
    """
    report = on_progress or _log.info
    with _speaking_of(folder):
        path = folder.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        data = DataFolder(path, account_for(path))
        refuse_unreachable(data.account, path)
        programs = find_programs(data.account, path)
        make(data, programs, secrets.token_urlsafe(24), report)
        return _join(_open_server(data, programs), report)


def stop(folder: Path) -> None:
    """Stop the server of `folder`, whoever uses it; it stays down until the next `connect`."""
    with _speaking_of(folder):
        server = _find_server(folder.resolve())
        if server is not None:
            with server.folder.supervising(Patience(_log.info)):
                server.folder.mark_stopped(stopped=True)
                server.stop()


def is_running(folder: Path) -> bool:
    """Whether the server of `folder` answers a query."""
    with _speaking_of(folder):
        server = _find_server(folder.resolve())
        return server is not None and server.running_port() is not None


def _find_server(path: Path) -> Server | None:
    data = DataFolder(path, account_for(path))
    return _open_server(data, find_programs(data.account, path)) if data.is_made else None


def _open_server(data: DataFolder, programs: Path) -> Server:
    refuse_unusable(data)
    return Server(data, programs, data.password())


def _join(server: Server, report: Report) -> EmbeddedPostgres:
    patience = Patience(report)
    with server.folder.supervising(patience):
        users_lock = server.folder.open_lock(USERS_LOCK)
        alone = try_lock(users_lock)
        try:
            fcntl.flock(users_lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            server.folder.mark_stopped(stopped=False)
            fixed_port = None if alone else server.folder.port()
            port = _serve(server, patience, fixed_port)
            return EmbeddedPostgres(server, port, users_lock, report)
        except BaseException:
            if alone:
                with contextlib.suppress(StoreError):
                    server.stop()
            release_lock(users_lock)
            raise


def _serve(server: Server, patience: Patience, fixed_port: int | None) -> int:
    # A server that dies between two statements is as good as one that was not there.
    for _ in range(2):
        with contextlib.suppress(psycopg.OperationalError):
            port = server.ensure_running(patience, fixed_port=fixed_port)
            _ensure_database(server, port)
            return port
    port = server.ensure_running(patience, fixed_port=fixed_port)
    _ensure_database(server, port)
    return port


def _ensure_database(server: Server, port: int) -> None:
    with server.open_connection(port) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE])
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {_DATABASE}")


@contextlib.contextmanager
def _speaking_of(folder: Path) -> Generator[None]:
    try:
        yield
    except (OSError, psycopg.Error) as error:
        raise StoreError(
            f"the embedded Postgres in {folder} cannot be used: {error}; {ELSEWHERE}"
        ) from error


class _Keeper(threading.Thread):
    """Notices within moments that the server died, and starts it on the same port.

    An open connection breaks at once when the server dies; a fresh one, every few
    seconds, shows that it still lets others in.
    """

    def __init__(self, server: Server, port: int, report: Report) -> None:
        super().__init__(name="postgres-keeper", daemon=True)
        self._server = server
        self._port = port
        self._report = report
        self._ended = threading.Event()
        self._bell, self._button = os.pipe()

    def end(self) -> None:
        """Make the thread end, and wait for it."""
        self._ended.set()
        os.write(self._button, b".")
        self.join(timeout=10)
        if not self.is_alive():
            os.close(self._bell)
            os.close(self._button)

    def run(self) -> None:
        """Watch the server, and revive it, until told to end."""
        pause_s = 0.0
        while not self._ended.wait(pause_s):
            try:
                self._watch()
            except (psycopg.Error, OSError) as error:
                _log.debug("lost sight of Postgres: %s", error)
            if self._ended.is_set():
                return
            try:
                self._revive()
                pause_s = 0.3
            except (StoreError, psycopg.Error, OSError) as error:
                if not self._ended.is_set():
                    _log.error("Postgres cannot be started again yet: %s", error)
                pause_s = min(2 * pause_s + 0.1, _LONGEST_PAUSE_S)

    def _watch(self) -> None:
        """Return when told to end; raise psycopg.Error when the server is lost."""
        with self._server.open_connection(self._port) as connection:
            events = select.poll()
            events.register(connection.fileno(), select.POLLIN)
            events.register(self._bell, select.POLLIN)
            while not self._ended.is_set():
                events.poll(_LOOK_MS)
                connection.execute("SELECT 1")
                self._knock()
                self._server.folder.bound_log()

    def _knock(self) -> None:
        try:
            self._server.ask(self._port)
        except psycopg.Error as error:
            if not is_full(str(error)):
                raise

    def _revive(self) -> None:
        since = time.monotonic()
        patience = Patience(self._report, self._ended.is_set)
        with self._server.folder.supervising(patience):
            if self._server.folder.is_stopped:
                return
            self._server.ensure_running(patience, fixed_port=self._port)
        lost_s = time.monotonic() - since
        _log.warning("the connection to Postgres was lost; it answers again after %.1f s", lost_s)
