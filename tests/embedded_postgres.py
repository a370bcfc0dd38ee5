"""Asking an embedded Postgres from outside: its one table, its processes, its folder.

A database that has been "made" for these tests has 42 in its table `kept`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from core.store.postgres_account import Account
from core.store.postgres_folder import DataFolder

ROOT = Path(__file__).resolve().parents[1]


def connected(url: str) -> psycopg.Connection:
    """Return a connection on which every statement stands alone."""
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True, connect_timeout=5)


def kept_value(url: str) -> int:
    """Return what the table `kept` holds."""
    with connected(url) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
    assert row is not None
    return row[0]


def is_refused(connection: psycopg.Connection) -> bool:
    """Say whether the server has dropped this connection."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return True
    return False


def when_back(url: str) -> int:
    """Wait until the server answers again; return what `kept` holds."""
    values: list[int] = []

    def answered() -> bool:
        with suppress(psycopg.OperationalError):
            values.append(kept_value(url))
        return bool(values)

    wait_until(answered)
    return values[0]


def wait_until(condition: Callable[[], bool], *, limit_s: float = 10) -> None:
    """Wait for the condition, and fail after the limit."""
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def postmaster(folder: Path) -> int | None:
    """Return the process that the folder names as its server."""
    return DataFolder(folder, Account()).recorded_pid()


def copied(source: Path, target: Path) -> Path:
    """Copy a data folder with owners and modes; return the copy."""
    subprocess.run(["cp", "-a", source, target], check=True)
    return target
