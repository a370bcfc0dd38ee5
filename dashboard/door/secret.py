"""The secret that sessions are signed with: made once, and kept in a file that its owner reads.

All dashboards of one WEAKSPOT_HOME share it, and it outlives them, so that a restart signs nobody
out. To sign everybody out, delete the file and start again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "dashboard.secret"

_BYTES = 32


def kept_secret(home: Path) -> bytes:
    """Return the secret of a home, made at the first call.

    Raises:
        UsageError: It cannot be kept there, or others can read it.
    """
    file = home / NAME
    try:
        if not file.exists():
            _make(file)
        return _read(file)
    except OSError as error:
        raise UsageError(
            f"the secret of the dashboard's sessions cannot be kept in {file}: {error.strerror}; "
            "WEAKSPOT_HOME must be a folder that this account may write to"
        ) from error


def _make(file: Path) -> None:
    """Put a new secret there, whole or not at all; another program's is left as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{NAME}.{secrets.token_hex(8)}.tmp")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as written:
            written.write(secrets.token_hex(_BYTES).encode())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)


def _read(file: Path) -> bytes:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise UsageError(f"others can read {file}, which signs sessions; run: chmod 600 {file}")
    secret = file.read_bytes().strip()
    if len(secret) < 2 * _BYTES:
        raise UsageError(
            f"{file} is no secret of {2 * _BYTES} characters; delete it, and start again"
        )
    return secret
