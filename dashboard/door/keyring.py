"""The API keys that open the dashboard, held in memory for a moment.

They are read anew when a request comes and they are older than two seconds: that is how long a
revocation takes. While Postgres is away the keys known last go on counting, so that whoever is
signed in is told that Postgres is away; expiry needs no Postgres, only a clock.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from typing import TYPE_CHECKING

from core.errors import StoreError, UsageError
from core.store import keys
from core.store.database import transaction

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from core.clock import Clock
    from core.store.keys import Key

NEEDED = "read"

_TOUCH_S = 60.0

_log = logging.getLogger(__name__)


class Keyring:
    """All keys that open anything.

    Args:
        engine: Where they are.
        clock: Says which of them have expired.

    Attributes:
        fresh_s: For how long they are believed.
    """

    fresh_s = 2.0

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._keys: dict[str, Key] | None = None
        self._stale_at = 0.0
        self._reading = threading.Lock()
        self._used: dict[str, datetime] = {}
        self._touch_at = time.monotonic() + _TOUCH_S

    def of_id(self, id_: str) -> Key | None:
        """Return the key of that id; None when it is unknown, revoked or expired.

        Raises:
            StoreError: Postgres is away, and no keys were ever read.
        """
        now = self._clock.now()
        key = self._known().get(id_)
        if key is None or not key.is_active(now):
            return None
        self._used[key.id] = now
        return key

    def of_text(self, text: str, *, anew: bool) -> Key | None:
        """Return the key of that text; None when it is unknown, revoked or expired.

        Every key is compared in constant time, and all of them whichever it is.

        Args:
            text: What somebody typed.
            anew: Whether to read the keys first, as one may just have been made.

        Raises:
            StoreError: Postgres is away, and no keys were ever read.
        """
        if anew:
            self._stale_at = 0.0
        digest = keys.digest(text)
        same = [key for key in self._known().values() if hmac.compare_digest(key.sha256, digest)]
        return self.of_id(same[0].id) if same else None

    def _known(self) -> dict[str, Key]:
        known = self._keys
        if known is not None and time.monotonic() < self._stale_at:
            return known
        # Who finds somebody else reading goes on with what was known, if anything was.
        if self._reading.acquire(blocking=known is None):
            try:
                self._refresh()
            finally:
                self._reading.release()
        return self._keys or {}

    def _refresh(self) -> None:
        """Read the keys, and write down which were used.

        Raises:
            StoreError: Postgres is away, and no keys were ever read.
        """
        if self._keys is not None and time.monotonic() < self._stale_at:
            return
        try:
            with transaction(self._engine) as connection:
                if time.monotonic() >= self._touch_at:
                    used, self._used = self._used, {}
                    self._touch_at = time.monotonic() + _TOUCH_S
                    keys.touch(connection, used)
                self._keys = {key.id: key for key in keys.unrevoked(connection)}
        except StoreError as error:
            if self._keys is None:
                raise
            _log.warning("the API keys cannot be read just now: %s", error)
        finally:
            self._stale_at = time.monotonic() + self.fresh_s


def opens(key: Key) -> bool:
    """Say whether a key opens the dashboard at all."""
    return NEEDED in key.scopes or "admin" in key.scopes


def require_some_key(engine: Engine, *, host: str, now: datetime) -> None:
    """Refuse to go on while there is no key that opens the dashboard.

    Raises:
        UsageError: There is none; the message names the command that makes one.
        StoreError: Postgres is away.
    """
    with transaction(engine) as connection:
        if any(opens(key) for key in keys.active(connection, now)):
            return
    raise UsageError(
        f"callers of the dashboard on {host} need API keys, and there is no active one that may "
        "read; run: weakspot keys create NAME --scopes read,label"
    )
