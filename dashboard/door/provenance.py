"""Where a request comes from: called by a name of ours, and sent by a page of ours.

A page of a stranger can let a browser send requests here. What changes something is therefore
taken only from our own pages: browsers say where a request comes from (Origin, Sec-Fetch-Site),
and a page cannot make them lie. As a second lock, nothing that a form can send is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.errors import ForbiddenError

if TYPE_CHECKING:
    from flask import Request

    from dashboard.door.rules import Rules

_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS = {"http": 80, "https": 443}


def check_name(request: Request, rules: Rules) -> None:
    """Go on only where the dashboard was called by a name it answers to.

    Raises:
        ForbiddenError: It was not.
    """
    if not rules.answers_to(request.headers.get("Host", "")):
        raise ForbiddenError(
            "this dashboard does not answer to the name it was called by; its owner can name "
            "more in WEAKSPOT_DASHBOARD_HOSTS"
        )


def check_sender(request: Request, rules: Rules, *, has_session: bool) -> None:
    """Go on only where a request changes nothing, or comes from a page of ours.

    A program says neither header, and is let through where no session is involved: there is
    nothing a stranger could make use of.

    Raises:
        ForbiddenError: A page of somebody else sent it, or nobody knows which.
    """
    if request.method in _HARMLESS:
        return
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    ours = (
        (origin is None or _is_ours(origin, request, rules))
        and (site is None or site == "same-origin")
        and not (origin is None and site is None and has_session)
    )
    if not ours:
        raise ForbiddenError(
            "this request was not sent by a page of this dashboard; behind a proxy, hand on the "
            "header Host, and set WEAKSPOT_DASHBOARD_HTTPS where browsers use https"
        )


def is_of_good_type(request: Request, *, form: bool) -> bool:
    """Say whether a request changes nothing, or is of a type that no form can send.

    Args:
        request: The request.
        form: Whether its address is the one that takes a form, and nothing else.
    """
    if request.method in _HARMLESS:
        return True
    named = (request.content_type or "").partition(";")[0].strip().lower()
    if form:
        return named == "application/x-www-form-urlencoded"
    return named in {"application/json", "application/octet-stream"} or named.startswith("image/")


def _is_ours(origin: str, request: Request, rules: Rules) -> bool:
    scheme = "https" if rules.https else request.scheme
    return _place(origin) == _place(f"{scheme}://{request.headers.get('Host', '')}") is not None


def _place(origin: str) -> tuple[str, str, int] | None:
    """Return scheme, name and port; None where it makes no sense, as in `null`."""
    try:
        parts = urlsplit(origin)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if port is None or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port
