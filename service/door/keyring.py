"""The API keys of the service, held in memory, so that a request costs no query.

A thread of its own reads them anew every few seconds: that is how long a revocation takes. While
Postgres is away the keys known last go on counting; expiry needs no Postgres, only a clock.

A key is found by the SHA-256 of what was sent, in a dictionary. How long that takes depends on
digests, which a caller cannot steer towards one that is known without inverting SHA-256, so
nothing about a key can be learnt from the time an answer takes, and no comparison needs to be of
constant time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine

from core import doors
from core.clock import Clock
from core.errors import StoreError, UsageError
from core.store import audit, keys
from core.store.database import transaction
from core.store.keys import Key

_log = logging.getLogger(__name__)

_TOUCH_S = 60.0
_MOST_LOCKOUTS = 100  # kept for the audit trail while Postgres is away


class Keyring:
    """All keys that open anything, and the thread that keeps them fresh.

    Args:
        engine: Where the keys are.
        clock: Says which of them have expired.
        reload_s: Seconds between two readings.
    """

    def __init__(self, engine: Engine, *, clock: Clock, reload_s: float) -> None:
        self._engine = engine
        self._clock = clock
        self._reload_s = reload_s
        self._keys: dict[bytes, Key] | None = None
        self._used: dict[str, datetime] = {}
        self._lockouts: deque[tuple[datetime, str]] = deque(maxlen=_MOST_LOCKOUTS)
        self._lock = threading.Lock()
        self._touch_at = time.monotonic() + _TOUCH_S
        self._away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="keyring", daemon=True)

    def start(self) -> None:
        """Read the keys, then start the thread."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and write down what it still knows."""
        self._stopping.set()
        self._thread.join()
        self._attempt(self._write)

    @property
    def is_known(self) -> bool:
        """Whether the keys have been read at all."""
        return self._keys is not None

    def find(self, sent: bytes) -> Key | None:
        """Return the key whose text was sent; None when it is unknown, revoked or expired."""
        now = self._clock.now()
        key = (self._keys or {}).get(keys.digest(sent))
        if key is None or not key.is_active(now):
            return None
        with self._lock:
            self._used[key.id] = now
        return key

    def locked_out(self, address: str) -> None:
        """Note for the audit trail that an address has sent too many wrong keys."""
        _log.warning("too many wrong API keys came from %s", address)
        with self._lock:
            self._lockouts.append((self._clock.now(), address))

    def refresh(self) -> None:
        """Read the keys, and write down what is due; never raises."""
        self._attempt(self._read)
        if self._lockouts or time.monotonic() >= self._touch_at:
            self._attempt(self._write)

    def _work(self) -> None:
        while not self._stopping.wait(self._reload_s):
            self.refresh()

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StoreError as error:
            if not self._away:
                _log.warning("the API keys cannot be read or written just now: %s", error)
            self._away = True
        except Exception:
            # A thread that ends here would let revoked keys open the service for ever.
            _log.exception("looking after the API keys failed")
        else:
            self._away = False

    def _read(self) -> None:
        with transaction(self._engine) as connection:
            found = keys.unrevoked(connection)
        self._keys = {key.sha256: key for key in found}

    def _write(self) -> None:
        with self._lock:
            used, self._used = self._used, {}
            lockouts, self._lockouts = self._lockouts, deque(maxlen=_MOST_LOCKOUTS)
        try:
            with transaction(self._engine) as connection:
                keys.touch(connection, used)
                for at, address in lockouts:
                    _record_lockout(connection, at, address)
        except StoreError:
            with self._lock:
                self._used = used | self._used
                self._lockouts.extendleft(reversed(lockouts))
            raise
        self._touch_at = time.monotonic() + _TOUCH_S


def keys_are_needed(host: str, wanted: bool | None) -> bool:
    """Say whether callers of a service that listens on `host` need API keys.

    Args:
        host: Name or address; only `localhost` and loopback addresses are this machine alone.
        wanted: What the owner says; None leaves it to the address.

    Raises:
        UsageError: The owner wants none on an address that other machines reach.
    """
    return doors.keys_are_needed(host, wanted, setting="WEAKSPOT_SERVICE_REQUIRE_KEYS")


def require_some_key(engine: Engine, *, host: str, now: datetime) -> None:
    """Refuse to go on while there is no key that opens anything.

    Raises:
        UsageError: There is none; the message names the command that makes one.
        StoreError: Postgres is away.
    """
    with transaction(engine) as connection:
        if keys.active(connection, now):
            return
    raise UsageError(
        f"callers of the service on {host} need API keys, and there is no active one; "
        "run: weakspot keys create NAME --scopes predict,read"
    )


def _record_lockout(connection: Connection, at: datetime, address: str) -> None:
    detail = {"reason": "too many wrong API keys"}
    audit.record(
        connection, now=at, by="service", action="lock out", subject=address, detail=detail
    )
