"""Ports on 127.0.0.1 for the embedded Postgres."""

from __future__ import annotations

import secrets
import socket

from core.errors import StoreError

# Below the range from which Linux draws ports for outgoing connections, any of which
# could otherwise sit on the server's port when it is to be started again.
_FIRST_PORT, _PORTS = 20_000, 12_000


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As Postgres does: connections of a former server that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port nobody listens on; somebody may before its user does.

    Raises:
        StoreError: None was found in 100 tries.
    """
    for _ in range(100):
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        if is_free(port):
            return port
    raise StoreError("no port for Postgres is free on 127.0.0.1 among 100 tried")
