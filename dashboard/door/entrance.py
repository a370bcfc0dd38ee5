"""The door of the dashboard: every request passes it before anything else is done with it.

On this machine alone and without keys, whoever calls is its owner. With keys, a request needs the
session of somebody who signed in; a page is led to the sign-in, and everything else is refused
with 401, whether its address exists or not. What is open to everybody stands in `OPEN`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import g, make_response, redirect, request

from core.errors import AuthenticationError
from dashboard import problems
from dashboard.door import provenance, sign_in_page
from dashboard.door.caller import OWNER, Caller
from dashboard.door.keyring import opens
from dashboard.door.sessions import IDLE, prolonged

if TYPE_CHECKING:
    from flask import Flask, Response

    from core.clock import Clock
    from dashboard.door.keyring import Keyring
    from dashboard.door.rules import Rules
    from dashboard.door.sessions import Session, Signer

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"

# What the sign-in page shows, and who asks whether the process lives.
OPEN = frozenset(
    {
        "/healthz",
        SIGN_IN,
        SIGN_OUT,
        "/assets/dashboard.css",
        "/assets/door.css",
        "/assets/favicon.svg",
        "/assets/scheme.js",
    }
)


@dataclass(frozen=True, slots=True)
class Locks:
    """What the door of a dashboard with keys is locked with."""

    keyring: Keyring
    signer: Signer


def install(server: Flask, rules: Rules, locks: Locks | None, clock: Clock) -> None:
    """Let every request of `server` pass the door.

    Args:
        server: The Flask application.
        rules: How the door is kept.
        locks: What opens it; None where no keys are needed.
        clock: Says which sessions are over.
    """

    def enter() -> Response | None:
        if request.path != "/healthz":
            provenance.check_name(request, rules)
        cookie = request.cookies.get(cookie_name(locks, rules), "") if locks else ""
        provenance.check_sender(request, rules, has_session=bool(cookie))
        if not provenance.is_of_good_type(request, form=request.path == SIGN_IN):
            return problems.answer(415, "send this as application/json, or as a picture")
        if locks is None:
            g.caller = OWNER
            return None
        session = recognise(locks, cookie, clock)
        return None if session or request.path in OPEN else _refuse()

    # Before anything that Dash does at its first request.
    server.before_request_funcs.setdefault(None, []).insert(0, enter)

    @server.after_request
    def leave(response: Response) -> Response:
        session: Session | None = g.get("session")
        longer = prolonged(session, clock.now()) if session and request.path not in OPEN else None
        if locks and longer:
            give_cookie(response, locks, rules, longer)
        return response


def recognise(locks: Locks, cookie: str, clock: Clock) -> Session | None:
    """Return the session of a cookie, and let its owner be the caller; None where it has none."""
    session = locks.signer.session_of(cookie, clock.now()) if cookie else None
    key = locks.keyring.of_id(session.key) if session else None
    if session is None or key is None or not opens(key):
        return None
    g.caller = Caller(f"key:{key.name}", frozenset(key.scopes))
    g.session = session
    return session


def cookie_name(locks: Locks, rules: Rules) -> str:
    """Return the name of the cookie; by https one that no other host can set."""
    name = f"weakspot-{locks.signer.mark}"
    return f"__Host-{name}" if rules.https else name


def give_cookie(response: Response, locks: Locks, rules: Rules, session: Session) -> None:
    """Let the browser keep a session."""
    response.set_cookie(
        cookie_name(locks, rules),
        locks.signer.text_of(session),
        max_age=IDLE,  # By the browser's clock; ours, which counts, may be another in a story.
        path="/",
        secure=rules.https,
        httponly=True,
        samesite="Strict",
    )


def take_cookie(response: Response, locks: Locks, rules: Rules) -> None:
    """Let the browser forget its session."""
    name = cookie_name(locks, rules)
    response.delete_cookie(name, path="/", secure=rules.https, httponly=True, samesite="Strict")


def _refuse() -> Response:
    if not _is_for_a_page():
        raise AuthenticationError("nobody is signed in here, or the session is over; sign in")
    here = request.full_path.removesuffix("?")
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # Who follows a link in a mail sends no session along. From a page of ours, the browser
        # goes on to the same address with it.
        return make_response(sign_in_page.onwards(here))
    return make_response(redirect(f"{SIGN_IN}?{sign_in_page.leading_to(here)}", 303))


def _is_for_a_page() -> bool:
    return (
        request.method == "GET"
        and "text/html" in request.accept_mimetypes.values()
        and not request.path.startswith("/_")
    )
