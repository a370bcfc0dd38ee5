"""Who may come in: API keys at the door of the service, and scopes at each of its routes.

The gate stands in front of the whole application, so that nothing of a request is read, parsed
or looked up before its key is known: not a body, and not whether its address exists. Every path
needs a key but those of `is_open`. Which scope a route needs is written at the route:

    @router.get("/v1/model")
    @needs("read")
    def get_model() -> ServingModel: ...

A route that says nothing needs `admin`. Where callers need no keys, everybody is `local` and may
do everything. Whom a proxy claims to speak for (X-Forwarded-For) is not believed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.doors import network_of
from core.errors import (
    AuthenticationError,
    ForbiddenError,
    RateLimitedError,
    StoreError,
    WeakspotError,
)
from core.store.keys import Key
from service import problems
from service.door.keyring import Keyring
from service.door.rates import Allowance, LocalTally, Tally

Needed = Literal["predict", "read", "label", "admin"]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_NEEDED = "__weakspot_scope__"
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_OPEN_BELOW = "/v2/health/"

_NO_KEY = "this needs an API key; send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
_BAD_KEY = "this API key is not known, was revoked, or has expired"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    Attributes:
        name: Name of the key; `local` where no keys are needed, `nobody` without one.
        scopes: What it may do.
    """

    name: str
    scopes: tuple[str, ...]

    def may(self, scope: str) -> bool:
        """Say whether this caller has a scope."""
        return scope in self.scopes or "admin" in self.scopes


_LOCAL = Caller("local", ("admin",))
_NOBODY = Caller("nobody", ())


def needs(scope: Needed) -> Callable[[Endpoint], Endpoint]:
    """Declare the scope that the route of a function needs."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _NEEDED, scope)
        return endpoint

    return declare


def scope_of(endpoint: object) -> str:
    """Return the scope that an endpoint needs: the declared one, or `admin`."""
    return getattr(endpoint, _NEEDED, "admin")


def is_open(path: str) -> bool:
    """Say whether a path is answered to everybody: what a balancer asks before it has a key."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_BELOW)


def caller_of(request: Request) -> str:
    """Return the name of the key that a request came with; `local` where none is needed."""
    return _caller(request.scope).name


def signature_of(request: Request) -> str:
    """Return under which name a deed asked for by a request is put down."""
    caller = caller_of(request)
    return "http" if caller == "local" else f"key:{caller}"


def is_trusted(request: Request) -> bool:
    """Say whether a request came with a key, or needed none: it may be told details."""
    return _caller(request.scope) is not _NOBODY


async def authorise(request: Request) -> None:
    """Refuse a request whose key does not open its route; a dependency of the application.

    Raises:
        ForbiddenError: The route needs a scope that the key does not have.
    """
    needed = scope_of(request.scope.get("endpoint"))
    if is_open(request.scope["path"]) or _caller(request.scope).may(needed):
        return
    raise ForbiddenError(f"this needs an API key with the scope {needed}; yours does not have it")


class Gate:
    """Lets requests in whose key is good, and counts how often each asks.

    Args:
        app: What is behind the gate.
        keyring: The keys; None where none are needed.
        tally: Counts requests of a key, and wrong keys of an address.
    """

    def __init__(self, app: ASGIApp, keyring: Keyring | None, tally: Tally | None = None) -> None:
        self._app = app
        self._keyring = keyring
        self._tally = tally or LocalTally()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if self._keyring is None:
            state["caller"] = _LOCAL
            await self._app(scope, receive, send)
            return
        try:
            key = await self._recognise(self._keyring, scope)
            allowance = await self._count(key)
        except WeakspotError as error:
            await _refuse(error, scope, receive, send)
            return
        state["caller"] = Caller(key.name, key.scopes) if key else _NOBODY
        if allowance is None:
            await self._app(scope, receive, send)
            return
        send = _with(allowance, send)
        if allowance.granted:
            await self._app(scope, receive, send)
        else:
            await _refuse(_too_often(allowance), scope, receive, send)

    async def _recognise(self, keyring: Keyring, scope: Scope) -> Key | None:
        """Return the key of a request; None for a stranger at an open path.

        A known key counts from a locked address, too: behind one proxy or one container network
        all callers have one address, and a key of 256 bits is not guessed by trying.
        """
        sent, may_pass = _sent_key(scope), is_open(scope["path"])
        key = keyring.find(sent) if sent else None
        if key is not None:
            return key
        if not keyring.is_known and not may_pass:
            raise StoreError("the API keys have not been read yet")
        if sent and keyring.is_known:
            await self._suspect(keyring, scope, may_pass=may_pass)
        if may_pass:
            return None
        raise AuthenticationError(_BAD_KEY if sent else _NO_KEY)

    async def _suspect(self, keyring: Keyring, scope: Scope, *, may_pass: bool) -> None:
        client = scope.get("client")
        address = network_of(client[0]) if client else "unknown"
        wait_s, locked = await self._tally.guess(address)
        if locked:
            keyring.locked_out(address)
        if wait_s and not may_pass:
            raise RateLimitedError(
                f"too many wrong API keys came from your address; try again in {wait_s} s",
                retry_after_s=wait_s,
            )

    async def _count(self, key: Key | None) -> Allowance | None:
        if key is None or key.per_minute is None:
            return None
        return await self._tally.take(key.id, key.per_minute)


def describe(app: FastAPI, document: dict[str, Any], *, keys_needed: bool) -> None:
    """Write into an OpenAPI document how callers show their keys, and which scope each route needs.

    Args:
        app: Whose routes they are.
        document: To be changed in place.
        keys_needed: Whether this service asks for keys; where it does not, no route says so.
    """
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer", "description": "An API key."}
    schemes["header"] = {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same, for callers behind a proxy that uses Authorization itself.",
    }
    if not keys_needed:
        return
    refusals = {str(status): each for status, each in problems.responses(401, 403, 429).items()}
    for operation, needed in _protected(app, document):
        operation["security"] = [{"bearer": [needed]}, {"header": [needed]}]
        operation["responses"] = refusals | operation.get("responses", {})


def _protected(app: FastAPI, document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for route in iter_route_contexts(app.routes):
        path = route.path_format
        if path is None or path not in document.get("paths", {}) or is_open(path):
            continue
        for method in route.methods or ():
            operation = document["paths"][path].get(method.lower())
            if operation is not None:
                yield operation, scope_of(route.endpoint)


def _caller(scope: Scope) -> Caller:
    return scope.get("state", {}).get("caller", _NOBODY)


def _sent_key(scope: Scope) -> bytes | None:
    """Return what a request came with as its key; X-API-Key first, as a proxy leaves it alone."""
    bearer = None
    for name, value in scope["headers"]:
        if name == b"x-api-key" and value:
            return value.strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip()
    return bearer


def _too_often(allowance: Allowance) -> RateLimitedError:
    return RateLimitedError(
        f"this API key may ask {allowance.quota} times a minute; try again in {allowance.wait_s} s",
        retry_after_s=allowance.wait_s,
    )


async def _refuse(error: WeakspotError, scope: Scope, receive: Receive, send: Send) -> None:
    headers: dict[str, str] = {}
    if isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimitedError):
        headers["Retry-After"] = str(error.retry_after_s)
    request_id = str(scope["state"].get("request_id", ""))
    answer = problems.refuse(error, request_id, scope["path"], headers)
    await answer(scope, receive, send)


def _with(allowance: Allowance, send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *allowance.headers()]
        await send(message)

    return send_on
