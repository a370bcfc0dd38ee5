"""Locks between the programs that use one embedded Postgres, and waiting for them.

They are flock(2) on open files, so the kernel lets go of those of a killed program. A
forked child shares its parent's open files and with them the locks; it drops
them at once, since it neither starts nor stops servers.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

from core.errors import StoreError

Report = Callable[[str], None]

_locks: set[int] = set()


def _drop_locks() -> None:
    # A forked child has all our open files; holding on to locks would outlive our letting go.
    for file in _locks:
        os.close(file)
    _locks.clear()


os.register_at_fork(after_in_child=_drop_locks)


class Patience:
    """Waits in small steps, says once a second what for, and can be called off."""

    def __init__(self, report: Report, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._report = report
        self._cancelled = cancelled
        self._since = time.monotonic()
        self._told_s = 0

    def wait(self, what: str) -> None:
        """Sleep a moment; report `what` when another whole second has gone by.

        Raises:
            StoreError: Whoever waits has been told to stop.
        """
        if self._cancelled():
            raise StoreError(f"gave up on {what}, since this program leaves Postgres")
        elapsed_s = time.monotonic() - self._since
        if elapsed_s >= self._told_s + 1:
            self._told_s = int(elapsed_s)
            self._report(f"{what}, {self._told_s} s")
        time.sleep(min(0.03 + elapsed_s / 20, 0.3))


def remember_lock(file: int) -> None:
    """Count an open file among the locks that a forked child drops."""
    _locks.add(file)


def try_lock(file: int) -> bool:
    """Take the exclusive lock of an open file without waiting; whether that worked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def close_lock(file: int) -> None:
    """Close a lock's file; a program that inherited it goes on holding the lock."""
    _locks.discard(file)
    os.close(file)


def release_lock(file: int) -> None:
    """Give a lock back, whoever inherited its file, and close it."""
    fcntl.flock(file, fcntl.LOCK_UN)
    close_lock(file)


def wait_for_lock(file: int, patience: Patience) -> None:
    """Take the exclusive lock of an open file, however long another program holds it."""
    while not try_lock(file):
        patience.wait("waiting for another program that is starting or stopping Postgres")
