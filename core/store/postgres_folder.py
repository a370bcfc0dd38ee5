"""The data folder of the embedded Postgres: what lies in it, its locks, and its making.

Beside Postgres' own files there are our password, our port, the log and three
lock files. All locks are flock(2) on files, so the kernel lets go of those of a
killed process, on local disks only; a network file system is not supported.

.supervisor.lock  held while starting, stopping, joining or leaving
.users.lock       shared by every program that uses the server
.server.lock      inherited by all processes of the server: held = something of it still lives
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import StoreError
from core.store.postgres_account import ELSEWHERE, Account
from core.store.postgres_lock import (
    Patience,
    Report,
    release_lock,
    remember_lock,
    try_lock,
    wait_for_lock,
)

MAJOR = "18"
ROLE = "weakspot"
SUPERVISOR_LOCK = ".supervisor.lock"
USERS_LOCK = ".users.lock"
SERVER_LOCK = ".server.lock"
LOG = "postgres.log"
_PASSWORD = "weakspot.password"  # noqa: S105 - the name of a file
_PORT = "weakspot.port"
_STOPPED = "weakspot.stopped"
_LONGEST_PATH = 900  # Postgres takes 1023 bytes, names of its own files included.


@dataclass(frozen=True, slots=True)
class DataFolder:
    """One data folder and the user who owns it; the path is absolute and without links."""

    path: Path
    account: Account

    @property
    def is_made(self) -> bool:
        """Whether a database has been made here."""
        return (self.path / "PG_VERSION").exists()

    def open_file(self, name: str, *, truncate: bool = False) -> int:
        """Open a file of ours for reading and appending, made when missing, for its owner only."""
        # No link is followed: root must not be led astray by the unprivileged owner.
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            file = os.open(self.path / name, flags | os.O_CREAT | os.O_EXCL, 0o600)
            self.account.own(file)
        except FileExistsError:
            file = os.open(self.path / name, flags | (os.O_TRUNC if truncate else 0))
        return file

    def open_lock(self, name: str) -> int:
        """Open one of the lock files; forked children close their copy at once."""
        file = self.open_file(name)
        remember_lock(file)
        return file

    @contextmanager
    def supervising(self, patience: Patience) -> Generator[None]:
        """Hold the right to start and stop this server; others wait meanwhile."""
        file = self.open_lock(SUPERVISOR_LOCK)
        try:
            wait_for_lock(file, patience)
            yield
        finally:
            release_lock(file)

    def password(self) -> str:
        """Return the password of the role `weakspot`."""
        try:
            return (self.path / _PASSWORD).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise StoreError(
                f"{self.path / _PASSWORD} is missing: copy it from where this folder came from; "
                "without it nobody can log in"
            ) from None

    def keep_password(self, password: str) -> None:
        """Write the password where `password` finds it."""
        self._write(_PASSWORD, password)

    def port(self) -> int | None:
        """Return the port this server was last given; None when there is no usable record."""
        try:
            return int((self.path / _PORT).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def keep_port(self, port: int) -> None:
        """Record the port, so that the address outlives the server."""
        if port != self.port():
            self._write(_PORT, f"{port}\n")

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked for the server to be down, so that no keeper revives it."""
        return (self.path / _STOPPED).exists()

    def mark_stopped(self, *, stopped: bool) -> None:
        """Record that the server is to be down, or that it is wanted again."""
        if stopped:
            self._write(_STOPPED, "")
        else:
            (self.path / _STOPPED).unlink(missing_ok=True)

    def recorded_pid(self) -> int | None:
        """Return the pid in postmaster.pid, whoever that is by now; None without a usable one."""
        pid = self._pid_file_number(line=0)
        return abs(pid) if pid else None  # Negative is Postgres' sign for a single-user session.

    def recorded_port(self) -> int | None:
        """Return the port in postmaster.pid; None without a usable one."""
        return self._pid_file_number(line=3)

    def mend_pid_file(self) -> None:
        """Put our pid into an empty or broken postmaster.pid, which Postgres would refuse.

        Postgres takes a file naming its parent for its own stale one, and replaces it. The
        caller holds the locks; the file is never removed.
        """
        if (self.path / "postmaster.pid").exists() and not self.recorded_pid():
            self._write("postmaster.pid", f"{os.getpid()}\n")

    def log_size(self) -> int:
        """Return the length of the server's log in bytes."""
        try:
            return (self.path / LOG).stat().st_size
        except FileNotFoundError:
            return 0

    def log_since(self, position: int) -> str:
        """Return what the log has gained past `position`, the newest 10 kB of it."""
        if self.log_size() == position:
            return ""
        with os.fdopen(self.open_file(LOG), "rb") as log:
            log.seek(max(position, self.log_size() - 10_000))
            return log.read().decode("utf-8", errors="replace")

    def bound_log(self, *, limit_bytes: int = 10_000_000) -> None:
        """Move a log past the limit to `postgres.log.1` and let the server go on at its start."""
        if self.log_size() <= limit_bytes:
            return
        with (
            os.fdopen(self.open_file(LOG), "rb+") as log,
            os.fdopen(self.open_file(f"{LOG}.1"), "rb+") as old,
        ):
            # Several keepers come by; one of them moves it.
            if try_lock(log.fileno()) and self.log_size() > limit_bytes:
                old.truncate(0)
                shutil.copyfileobj(log, old)
                log.truncate(0)

    def _pid_file_number(self, *, line: int) -> int | None:
        try:
            text = (self.path / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
            return int(text.split("\n")[line])
        except (FileNotFoundError, ValueError, IndexError):
            return None

    def _write(self, name: str, text: str) -> None:
        with os.fdopen(self.open_file(name, truncate=True), "rb+") as file:
            file.write(text.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())


def make(folder: DataFolder, programs: Path, password: str, report: Report) -> None:
    """Make a database in `folder`, whole or not at all; nothing happens when there is one.

    Two makers at once are told apart by a lock on the parent folder. What a killed maker
    left is removed.

    Raises:
        StoreError: The folder holds something else, or initdb refused.
    """
    if len(os.fsencode(folder.path)) > _LONGEST_PATH:
        raise StoreError(f"{folder.path} is longer than {_LONGEST_PATH} bytes: {ELSEWHERE}")
    if folder.is_made:
        return
    parent = os.open(folder.path.parent, os.O_RDONLY | os.O_CLOEXEC)
    remember_lock(parent)
    try:
        wait_for_lock(parent, Patience(report))
        if not folder.is_made:
            _refuse_foreign(folder.path)
            _clear_half_made(folder.path)
            report(f"making a Postgres database in {folder.path}")
            _initialise(folder, programs, password)
            os.fsync(parent)
    finally:
        release_lock(parent)


def refuse_unusable(folder: DataFolder) -> None:
    """Refuse a database of another Postgres; close a folder that a copy left open to others.

    Raises:
        StoreError: The folder was made by another major version.
    """
    version = (folder.path / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != MAJOR:
        raise StoreError(
            f"{folder.path} holds data of Postgres {version}, this is Postgres {MAJOR}: save it "
            f"with pg_dump of Postgres {version}, move the folder away, start again and restore"
        )
    for private, mode in ((folder.path, 0o700), (folder.path / _PASSWORD, 0o600)):
        if private.exists() and private.stat().st_mode & 0o077:
            private.chmod(mode)


def _refuse_foreign(path: Path) -> None:
    held = sorted(entry.name for entry in path.iterdir())[:3] if path.exists() else []
    if held:
        raise StoreError(
            f"{path} is not empty ({', '.join(held)}) and no Postgres database, as it has no "
            f"PG_VERSION: move it away, or {ELSEWHERE}"
        )


def _clear_half_made(path: Path) -> None:
    for left in path.parent.iterdir():
        if left.name.startswith(f"{path.name}.tmp-"):
            shutil.rmtree(left, ignore_errors=True)


def _initialise(folder: DataFolder, programs: Path, password: str) -> None:
    work = folder.path.with_name(f"{folder.path.name}.tmp-{os.getpid()}")
    new = DataFolder(work / "data", folder.account)
    try:
        for made in (work, new.path):
            made.mkdir(0o700)
            folder.account.own(made)
        DataFolder(work, folder.account).keep_password(password)
        answer = folder.account.run(_initdb(programs, new.path, work / _PASSWORD))
        if answer.returncode:
            raise StoreError(f"initdb made no database in {folder.path}: {answer.stderr.strip()}")
        (work / _PASSWORD).rename(new.path / _PASSWORD)
        new.path.rename(folder.path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _initdb(programs: Path, data: Path, password: Path) -> list[str | Path]:
    settings = (
        "max_connections=100",
        "shared_buffers=128MB",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_checkpoints=off",
    )
    return [
        programs / "initdb",
        f"--pgdata={data}",
        f"--username={ROLE}",
        "--auth=scram-sha-256",
        f"--pwfile={password}",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        *(f"--set={setting}" for setting in settings),
    ]
