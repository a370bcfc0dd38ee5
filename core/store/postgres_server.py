"""The server of one data folder: started, awaited, stopped.

It runs when it answers a query on its port and names its data folder. What does
not answer but lives is waited for, as long as its log grows; what is dead is
started again, after the children that outlived it are gone.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from core.errors import StoreError
from core.store.postgres_folder import LOG, ROLE, SERVER_LOCK, DataFolder
from core.store.postgres_lock import Patience, close_lock, try_lock
from core.store.postgres_port import free_port, is_free
from core.store.postgres_process import (
    belongs_to,
    can_tell_processes,
    cluster_name,
    find_processes,
)

_ORPHANS_LEAVE_S = 0.5  # Idle orphans go at once when their postmaster has died.
_GIVE_UP_S = 10.0
_SILENCE_S = 60.0
_SMART_SHUTDOWN_S = 2.0


class _PortTakenError(StoreError):
    """Another program listens on the port."""


class _KilledError(StoreError):
    """The server was killed by force while it started."""


class _GoneError(StoreError):
    """The server that was waited for has ended."""


@dataclass(frozen=True, slots=True)
class Server:
    """A data folder, the programs that serve it, and the password of its owner."""

    folder: DataFolder
    programs: Path
    password: str = field(repr=False)

    def open_connection(self, port: int) -> psycopg.Connection:
        """Connect to the maintenance database, which nobody drops, committing at once."""
        return psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=ROLE,
            password=self.password,
            dbname="postgres",
            connect_timeout=3,
            application_name="weakspot keeper",
            autocommit=True,
        )

    def ask(self, port: int) -> bool:
        """Ask whoever answers on `port` for its data folder; whether that is this one.

        Raises:
            psycopg.Error: Nobody answers, or it does not let us in.
        """
        with self.open_connection(port) as connection:
            row = connection.execute("SELECT current_setting('data_directory')").fetchone()
        return row is not None and row[0] == str(self.folder.path)

    def running_port(self) -> int | None:
        """Return the port on which this server answers a query; None when it does not."""
        port = self._port()
        try:
            return port if port is not None and self.ask(port) else None
        except psycopg.Error:
            return None

    def postmaster(self) -> int | None:
        """Return the pid of this folder's living server; None when there is none."""
        pid = self.folder.recorded_pid()
        if pid is None:
            return None
        if not can_tell_processes():
            return pid if self._lock_is_held() else None
        return pid if belongs_to(pid, self.folder.path) else None

    def ensure_running(self, patience: Patience, *, fixed_port: int | None) -> int:
        """Return the port of the running server, started or awaited when necessary.

        The caller holds the supervisor's lock.

        Args:
            patience: Tells what is waited for, and whether to go on.
            fixed_port: The port that others rely on; None when it may change.

        Raises:
            StoreError: It cannot be started; the message ends with Postgres' own words.
        """
        port = fixed_port or self._port()
        if port is None or not (self.running_port() == port or self._await_other(port, patience)):
            port = self._start(port, patience, fixed_port=fixed_port is not None)
        self.folder.keep_port(port)
        return port

    def stop(self) -> None:
        """Stop the server when it runs: sessions are ended, everything committed is kept.

        The caller holds the supervisor's lock.
        """
        if self.postmaster() is None:
            return
        command = [self.programs / "pg_ctl", "stop", "-w", "-D", self.folder.path]
        # Immediate is no less safe: the next start replays the log.
        for way in (["-m", "fast", "-t", "60"], ["-m", "immediate", "-t", "20"]):
            answer = self.folder.account.run([*command, *way])
            if answer.returncode == 0 or self.postmaster() is None:
                break
        else:
            raise StoreError(f"Postgres in {self.folder.path} does not stop: {answer.stderr}")
        give_up = time.monotonic() + _GIVE_UP_S
        while self._lock_is_held() and time.monotonic() < give_up:
            time.sleep(0.01)

    def _start(self, port: int | None, patience: Patience, *, fixed_port: bool) -> int:
        trouble: StoreError | None = None
        for _ in range(5):
            if port is None or not (fixed_port or is_free(port)):
                port = free_port()
            try:
                self._launch(port, patience)
            except _PortTakenError as error:
                if fixed_port:
                    raise
                port, trouble = None, error
            except _KilledError as error:
                trouble = error
            else:
                return port
        raise StoreError(f"gave up after 5 tries: {trouble}")

    def _launch(self, port: int, patience: Patience) -> None:
        lock = self._claim(patience)
        log = self.folder.open_file(LOG)
        try:
            self.folder.bound_log()
            position = self.folder.log_size()
            self.folder.mend_pid_file()
            grandparent = self.folder.recorded_pid() or os.getpid()
            process = self.folder.account.spawn(
                self._command(port), log=log, keep=lock, grandparent=grandparent
            )
        finally:
            os.close(log)
            close_lock(lock)
        # Somebody has to wait for a child, or its corpse stays among the processes.
        threading.Thread(target=process.wait, name="postgres-reaper", daemon=True).start()
        try:
            self._await(port, lambda: process.poll() is None, patience)
        except _GoneError as error:
            words = _told(self.folder.log_since(position))
            if "could not bind" in words:
                raise _PortTakenError(
                    f"port {port} of Postgres in {self.folder.path} is taken by another program"
                ) from error
            kind = _KilledError if process.returncode < 0 else StoreError
            raise kind(
                f"Postgres does not start in {self.folder.path}; its log says:\n{words}"
            ) from error

    def _command(self, port: int) -> list[str | Path]:
        return [
            self.programs / "postgres",
            "-D",
            self.folder.path,
            "-p",
            str(port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            f"cluster_name={cluster_name(self.folder.path)}",
        ]

    def _await_other(self, port: int, patience: Patience) -> bool:
        """Wait for a server that another starter, now gone, has left; False when it ends."""
        if self.postmaster() is None:
            return False
        try:
            self._await(port, lambda: self.postmaster() is not None, patience)
        except _GoneError:
            return False
        return True

    def _await(self, port: int, lives: Callable[[], bool], patience: Patience) -> None:
        """Wait until the server answers, as long as it lives and its log grows."""
        heard, position = time.monotonic(), self.folder.log_size()
        while reason := self._why_silent(port):
            if not lives():
                raise _GoneError(reason)
            if _told(self.folder.log_since(position)):
                heard = time.monotonic()
            position = self.folder.log_size()
            silent_s = time.monotonic() - heard
            # Told to end by somebody else, it waits for its clients, and they for it.
            if silent_s > _SMART_SHUTDOWN_S and "shutting down" in reason:
                self.stop()
            if silent_s > _SILENCE_S:
                raise StoreError(
                    f"Postgres in {self.folder.path} neither answers nor writes to its log "
                    f"for {silent_s:.0f} s: {reason}"
                )
            patience.wait("Postgres is recovering")

    def _why_silent(self, port: int) -> str:
        try:
            return "" if self.ask(port) else f"another server answers on port {port}"
        except psycopg.Error as error:
            reason = str(error).strip()
        if "password authentication failed" in reason:
            raise StoreError(
                f"the server on port {port} refuses the password kept in {self.folder.path}: "
                "another server has taken the port, or the password file was replaced"
            )
        return "" if is_full(reason) else reason

    def _port(self) -> int | None:
        recorded = self.folder.recorded_port() if self.postmaster() is not None else None
        return recorded or self.folder.port()

    def _claim(self, patience: Patience) -> int:
        """Return the open file whose lock all processes of the new server will hold.

        A postmaster killed by force leaves busy children, that keep the shared memory in
        use. They cannot answer anybody any more, and are ended after a moment.
        """
        lock = self.folder.open_lock(SERVER_LOCK)
        since = time.monotonic()
        with contextlib.ExitStack() as undo:
            undo.callback(close_lock, lock)
            while not try_lock(lock) or find_processes(self.folder.path):
                waited_s = time.monotonic() - since
                if waited_s > _ORPHANS_LEAVE_S:
                    self._kill(find_processes(self.folder.path))
                if waited_s > _GIVE_UP_S:
                    raise StoreError(
                        f"{self.folder.path} is in use by a Postgres out of our sight, "
                        "perhaps in another container: stop that one first"
                    )
                patience.wait("waiting for the last processes of a Postgres that died")
            undo.pop_all()
        return lock

    def _kill(self, pids: list[int]) -> None:
        # Asked of their owner, since root in a container may lack the right to signal others.
        if pids:
            self.folder.account.run(["/bin/sh", "-c", 'kill -9 "$@"', "sh", *map(str, pids)])

    def _lock_is_held(self) -> bool:
        lock = self.folder.open_lock(SERVER_LOCK)
        try:
            return not try_lock(lock)
        finally:
            close_lock(lock)


def is_full(reason: str) -> bool:
    """Whether a server turned us away only because all its connections are taken."""
    return "too many clients" in reason or "connection slots are reserved" in reason


def _told(log: str) -> str:
    # Every knock at a closed door is logged as well, ours and other clients'.
    lines = log.splitlines()
    return "\n".join(
        line for line in lines if line and "FATAL:  the database system is" not in line
    )
