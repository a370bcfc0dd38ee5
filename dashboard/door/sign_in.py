"""Signing in with a key of the service, and out again.

An unknown, an expired and a revoked key get the same answer. Whoever tries too many waits a
minute; a right key is let in even then, since many may share one address.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from flask import Blueprint, make_response, redirect, request

from core.doors import Lockouts, network_of
from core.errors import AuthenticationError, ForbiddenError, RateLimitedError, StoreError
from core.store import audit
from core.store.database import transaction
from dashboard.door import sessions, sign_in_page
from dashboard.door.entrance import (
    SIGN_IN,
    SIGN_OUT,
    Locks,
    cookie_name,
    give_cookie,
    recognise,
    take_cookie,
)
from dashboard.door.keyring import opens

if TYPE_CHECKING:
    from flask import Response
    from sqlalchemy import Engine

    from core.clock import Clock
    from core.store.keys import Key
    from dashboard.door.rules import Rules

_LONGEST = 200
_UNKNOWN = "This API key is not known, was revoked, or has expired."
_STATUS = {AuthenticationError: 401, ForbiddenError: 403, RateLimitedError: 429, StoreError: 503}

_log = logging.getLogger(__name__)


def blueprint(engine: Engine, clock: Clock, locks: Locks, rules: Rules) -> Blueprint:
    """Return the routes `/sign-in` and `/sign-out`."""
    routes = Blueprint("door", __name__)
    desk = _Desk(engine, clock, locks)

    @routes.get(SIGN_IN)
    def ask() -> Response:
        target = sign_in_page.ours(request.args.get("next", "/"))
        if recognise(locks, request.cookies.get(cookie_name(locks, rules), ""), clock):
            return make_response(redirect(target, 303))
        return _page(200, target)

    @routes.post(SIGN_IN)
    def enter() -> Response:
        target = sign_in_page.ours(request.args.get("next", "/"))
        try:
            key = desk.admit(request.form.get("key", "").strip(), request.remote_addr or "unknown")
        except (AuthenticationError, ForbiddenError, RateLimitedError) as error:
            response = _page(_STATUS[type(error)], target, str(error))
            if isinstance(error, RateLimitedError):
                response.headers["Retry-After"] = str(error.retry_after_s)
            return response
        except StoreError as error:
            _log.warning("nobody can sign in just now: %s", error)
            return _page(503, target, "The database does not answer. Try again in a moment.")
        response = make_response(redirect(target, 303))
        give_cookie(response, locks, rules, sessions.begun(key, clock.now()))
        return response

    @routes.post(SIGN_OUT)
    def leave() -> Response:
        response = make_response("", 204)
        take_cookie(response, locks, rules)
        return response

    return routes


class _Desk:
    """Looks at the keys that are shown, and counts the wrong ones."""

    def __init__(self, engine: Engine, clock: Clock, locks: Locks) -> None:
        self._engine = engine
        self._clock = clock
        self._keyring = locks.keyring
        self._lockouts = Lockouts()
        self._counting = threading.Lock()

    def admit(self, text: str, address: str) -> Key:
        """Return the key of a text.

        Raises:
            AuthenticationError: It opens nothing.
            ForbiddenError: It opens other things than the dashboard.
            RateLimitedError: Too many that open nothing came from that address.
            StoreError: Postgres is away.
        """
        network = network_of(address)
        known = 0 < len(text) <= _LONGEST
        key = self._keyring.of_text(text, anew=False) if known else None
        if key is None:
            self._refuse_locked(network)
            key = self._keyring.of_text(text, anew=True) if known else None
        if key is None:
            self._count_wrong(network)
            raise AuthenticationError(_UNKNOWN)
        if not opens(key):
            raise ForbiddenError("This API key does not have the scope read.")
        self._record("sign in", by=f"key:{key.name}", subject=key.name, detail={"id": key.id})
        return key

    def _refuse_locked(self, network: str) -> None:
        with self._counting:
            wait_s = self._lockouts.wait_s(network)
        if wait_s:
            raise RateLimitedError(
                f"Too many wrong API keys came from your address. Try again in {wait_s} s.",
                retry_after_s=wait_s,
            )

    def _count_wrong(self, network: str) -> None:
        with self._counting:
            locked = self._lockouts.wrong(network)
        if locked:
            _log.warning("too many wrong API keys came from %s", network)
            detail = {"reason": "too many wrong API keys"}
            self._record("lock out", by="dashboard", subject=network, detail=detail)

    def _record(self, action: str, *, by: str, subject: str, detail: dict[str, str]) -> None:
        now = self._clock.now()
        with transaction(self._engine) as connection:
            audit.record(connection, now=now, by=by, action=action, subject=subject, detail=detail)


def _page(status: int, target: str, error: str = "") -> Response:
    response = make_response(sign_in_page.page(target=target, error=error), status)
    response.headers["Content-Security-Policy"] = sign_in_page.POLICY
    # With no-referrer, as all other pages have it, a browser would not say whose form it sends.
    response.headers["Referrer-Policy"] = "same-origin"
    return response
