"""Which processes are Postgres at work in one data folder.

A pid proves nothing: it may have been given to another program since, or be a
zombie. /proc says which program a process runs and where it works. On systems
without /proc nothing can be told; the lock that a server holds stands in there.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_PROC = Path("/proc")


def can_tell_processes() -> bool:
    """Whether this system shows what its processes do; macOS does not."""
    return (_PROC / "self").exists()


def cluster_name(folder: Path) -> str:
    """Return the name that every process of the folder's server bears in its title."""
    return f"weakspot-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


def find_processes(folder: Path) -> list[int]:
    """Return the pids of all living Postgres processes of the folder."""
    if not can_tell_processes():
        return []
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if belongs_to(pid, folder)]


def belongs_to(pid: int, folder: Path) -> bool:
    """Whether this is a living Postgres process of the folder; a zombie has no exe any more."""
    entry = _PROC / str(pid)
    try:
        program, place = (entry / "exe").readlink(), (entry / "cwd").readlink()
    except PermissionError:
        # Root without the right to trace, as in most containers: the command line must do.
        return _says_so(entry, folder)
    except OSError:
        return False
    return program.name.startswith("postgres") and place == folder


def _says_so(entry: Path, folder: Path) -> bool:
    try:
        line = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    name = cluster_name(folder).encode()
    return line.startswith(b"postgres: " + name) or b"\0cluster_name=" + name + b"\0" in line
