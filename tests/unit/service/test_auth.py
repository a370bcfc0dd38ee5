"""The gate and the scopes, on an application of two routes."""

import pytest
import sqlalchemy as sa
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from core.clock import SystemClock
from service import problems
from service.door import auth
from service.door.auth import Caller, Gate, needs
from service.door.keyring import Keyring


def small_app() -> FastAPI:
    """Return an application with a declared, an undeclared and an open route."""
    app = FastAPI(dependencies=[Depends(auth.authorise)])
    problems.install(app)

    @app.get("/declared")
    @needs("read")
    async def declared(request: Request) -> str:
        return auth.caller_of(request)

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    @app.get("/healthz")
    async def healthz() -> str:
        return "alive"

    return app


def called_by(caller: Caller, app: ASGIApp) -> TestClient:
    """Return a client of whom the gate has said who it is."""

    async def behind_the_gate(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["caller"] = caller
        await app(scope, receive, send)

    return TestClient(behind_the_gate)


class TestAuthorise:
    """Scopes at the routes."""

    @pytest.mark.parametrize(
        ("scopes", "path", "status"),
        [
            (("read",), "/declared", 200),
            (("admin",), "/declared", 200),
            (("predict", "label"), "/declared", 403),
            (("predict", "read", "label"), "/forgotten", 403),
            (("admin",), "/forgotten", 200),
            ((), "/healthz", 200),
        ],
    )
    def test_opens_what_was_declared_and_nothing_by_oversight(self, scopes, path, status):
        """S01: a route whose author forgot about scopes is closed, not open."""
        client = called_by(Caller("app", scopes), small_app())

        assert client.get(path).status_code == status

    def test_refuses_whom_no_gate_has_seen(self):
        """An application without its gate is closed."""
        assert TestClient(small_app()).get("/declared").status_code == 403

    def test_names_the_scope_that_lacks(self):
        """Whoever is refused knows what to ask for."""
        answer = called_by(Caller("app", ("predict",)), small_app()).get("/declared")

        assert answer.headers["content-type"] == "application/problem+json"
        assert "scope read" in answer.json()["detail"]


class TestGate:
    """Keys at the door."""

    def test_lets_everybody_in_where_no_keys_are_needed(self):
        """The demonstration on one's own machine."""
        client = TestClient(Gate(small_app(), None))

        assert client.get("/declared").json() == "local"
        assert client.get("/forgotten").status_code == 200

    def test_answers_503_while_the_keys_were_never_read(self):
        """A right key must not be called wrong because Postgres is away."""
        nowhere = sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
        client = TestClient(Gate(small_app(), Keyring(nowhere, clock=SystemClock(), reload_s=1)))

        answer = client.get("/declared", headers={"X-API-Key": "any"})

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/healthz").status_code == 200


class TestDescribe:
    """What the OpenAPI document says."""

    def test_names_scheme_and_scope_of_each_route(self):
        """Clients are generated from it."""
        app = small_app()
        document = app.openapi()

        auth.describe(app, document, keys_needed=True)

        paths = document["paths"]
        assert paths["/declared"]["get"]["security"] == [{"bearer": ["read"]}, {"header": ["read"]}]
        assert paths["/forgotten"]["get"]["security"][0] == {"bearer": ["admin"]}
        assert "security" not in paths["/healthz"]["get"]
        assert {"401", "403", "429"} <= set(paths["/declared"]["get"]["responses"])
