"""Ends a conversation with Postgres that takes too long, whatever keeps it.

Postgres' own timeouts hold while it runs. A server that is stopped or swapped out, or a network
that swallows packets, sends nothing at all, and the driver would wait for ever: then the
connection is cut from this side, and whoever waits on it gets the error of a lost connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Generator
from typing import Any

import psycopg
from sqlalchemy import Connection

_LOOK_S = 0.25


class Guard:
    """One conversation that is looked after; `attach` says on which connection it is held."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def attach(self, connection: Connection) -> None:
        """Look after this connection from now on."""
        raw: psycopg.Connection[Any] | None = connection.connection.driver_connection
        if raw is None or raw.closed:
            return
        # A copy of the handle: the driver may close its own, and the number be given anew.
        self._socket = socket.socket(fileno=os.dup(raw.fileno()))

    def cut(self) -> None:
        """End the connection for both sides."""
        with self._lock, contextlib.suppress(OSError):
            if self._socket:
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._socket:
                self._socket.close()
                self._socket = None


class Watchdog:
    """A thread that cuts the connections of conversations that are late.

    Args:
        patience_s: How long one conversation may take.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    @contextlib.contextmanager
    def guard(self) -> Generator[Guard]:
        """Look after a conversation until the block ends.

        Put it around the whole transaction, so that the commit is looked after too.
        """
        guard = Guard(time.monotonic() + self._patience_s)
        with self._lock:
            self._guards.add(guard)
        try:
            yield guard
        finally:
            with self._lock:
                self._guards.discard(guard)
            guard.close()

    def _work(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            now = time.monotonic()
            with self._lock:
                late = [guard for guard in self._guards if guard.deadline <= now]
            for guard in late:
                guard.cut()
