"""Nobody in who does not belong: every route of a running service, with every kind of key."""

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import Engine

from core.clock import ShiftedClock, SystemClock
from core.errors import ConflictError, NotFoundError, UsageError
from core.settings import ServiceSettings
from core.store import audit, keys
from core.store.database import transaction
from core.store.keys import SCOPES, Grant
from service.app import create_app
from service.door.auth import is_open, scope_of
from tests.pool import register
from tests.serving import jpeg_of, serving

NOW = datetime.now(UTC)
_ADDRESSES = itertools.count(1)


def make(engine: Engine, name: str, *scopes: str, **grant: object) -> str:
    """Return the text of a new key."""
    with transaction(engine) as connection:
        opens = Grant(scopes, **grant)
        return keys.create(connection, name, opens, by="test", now=NOW)[1]


def bearer(key: str) -> dict[str, str]:
    """Return the header that a caller sends."""
    return {"Authorization": f"Bearer {key}"}


def elsewhere(service: httpx.Client) -> httpx.Client:
    """Return a client of the same service that calls from an address of its own."""
    number = next(_ADDRESSES)
    transport = httpx.HTTPTransport(local_address=f"127.1.{number // 250}.{number % 250 + 1}")
    return httpx.Client(transport=transport, base_url=service.base_url, timeout=20)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what takes seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def app_routes() -> list[tuple[str, str, str]]:
    """Every route that the program has and that is not open: method, path, scope needed."""
    nowhere = sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    app = create_app(ServiceSettings(), engine=nowhere, clock=SystemClock())
    return [
        (method, context.path_format or "", scope_of(context.endpoint))
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
        if not is_open(context.path_format or "")
    ]


@pytest.fixture(scope="module")
def guarded(
    module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service that asks for keys, with a model."""
    home = tmp_path_factory.mktemp("home")
    register(module_engine, home / "bundles")
    with serving(module_engine, home, require_keys=True) as client:
        yield client


@pytest.fixture(scope="module")
def bad_keys(module_engine: Engine, guarded: httpx.Client) -> dict[str, dict[str, str | bytes]]:
    """Headers that open nothing."""
    revoked = make(module_engine, "revoked", "admin")
    with transaction(module_engine) as connection:
        keys.revoke(connection, "revoked", by="test", now=NOW)
    with transaction(module_engine) as connection:
        made = NOW - timedelta(days=2)
        grant = Grant(("admin",), expires_at=NOW - timedelta(days=1))
        expired = keys.create(connection, "expired", grant, by="test", now=made)[1]
    known = make(module_engine, "known", "admin")
    time.sleep(1)  # the service has read them all
    return {
        "none": {},
        "empty": {"X-API-Key": ""},
        "not our scheme": {"Authorization": "Basic " + known},
        "wrong": bearer(known[:-1] + ("A" if known[-1] != "A" else "B")),
        "id alone": bearer(known.rsplit("_", 1)[0]),
        "junk": {"X-API-Key": b"\xe9' OR 1=1"},
        "expired": bearer(expired),
        "revoked": bearer(revoked),
    }


def address(path: str) -> str:
    """Return a path with its parameters filled in."""
    filled = path.replace("{id}", str(uuid4())).replace("{model}", "classifier")
    return filled.replace("{version}", "v1")


class TestEveryRoute:
    """S01, S17: asked of the program, not of a list."""

    def test_has_declared_the_scope_it_needs(self, app_routes):
        """A new route says who may use it; one that says nothing takes admin, and stands here."""
        takes_admin = {(method, path) for method, path, scope in app_routes if scope == "admin"}
        assert takes_admin == {
            ("POST", "/v1/retrain"),
            ("POST", "/v1/jobs/{id}/cancel"),
            ("POST", "/v1/jobs/{id}/retry"),
            ("POST", "/v1/models/{version}/promote"),
            ("POST", "/v1/models/rollback"),
        }
        assert len(app_routes) > 15

    def test_is_one_that_scopes_reach(self):
        """Only the docs page's own scripts are served past the routes' checks."""
        nowhere = sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
        app = create_app(ServiceSettings(), engine=nowhere, clock=SystemClock())

        others = [
            each.path
            for each in iter_route_contexts(app.routes)
            if not isinstance(each.original_route, APIRoute)
        ]

        assert others == ["/docs-files"]

    @pytest.mark.parametrize(
        "kind",
        ["none", "empty", "not our scheme", "wrong", "id alone", "junk", "expired", "revoked"],
    )
    def test_refuses_every_bad_key(self, guarded: httpx.Client, bad_keys, app_routes, kind: str):
        """Before anything of the request is read; and never says which kind of bad it was."""
        details = set()
        for method, path, _ in app_routes:
            with elsewhere(guarded) as caller:
                answer = caller.request(method, address(path), headers=bad_keys[kind], content=b"{")
            assert (answer.status_code, path) == (401, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"] == "Bearer"
            details.add(answer.json()["detail"])

        none = kind in {"none", "empty", "not our scheme"}
        (detail,) = details
        assert detail.startswith("this needs an API key" if none else "this API key is not known")

    def test_refuses_too_low_a_scope(self, guarded: httpx.Client, module_engine, app_routes):
        """Even a key with all of the others."""
        texts = {
            scope: make(module_engine, f"all-but-{scope}", *({*SCOPES[:3]} - {scope}))
            for scope in SCOPES
        }
        time.sleep(1)

        for method, path, scope in app_routes:
            answer = guarded.request(method, address(path), headers=bearer(texts[scope]))
            assert (answer.status_code, path) == (403, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert f"scope {scope}" in answer.json()["detail"]

    def test_opens_to_its_scope_and_to_admin(self, guarded, module_engine, app_routes):
        """What was granted works: by either header."""
        texts = {scope: make(module_engine, f"only-{scope}", scope) for scope in SCOPES}
        time.sleep(1)

        for method, path, scope in app_routes:
            for headers in (bearer(texts[scope]), {"X-API-Key": texts["admin"]}):
                answer = guarded.request(method, address(path), headers=headers)
                assert answer.status_code not in {401, 403, 429, 500}, (method, path)

    def test_is_in_the_document_with_its_scope(self, guarded, module_engine, app_routes):
        """Clients are generated from it."""
        headers = bearer(make(module_engine, "reader", "read"))
        until(lambda: guarded.get("/openapi.json", headers=headers).status_code == 200)

        document = guarded.get("/openapi.json", headers=headers).json()

        assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                said = operation.get("security")
                needed = {scope for m, p, scope in app_routes if (m.lower(), p) == (method, path)}
                assert said == (
                    [{name: [*needed]} for name in ("bearer", "header")] if needed else None
                )

    def test_is_open_only_where_balancers_ask(self, guarded: httpx.Client):
        """And says no more than they need: details name versions, disks and migrations."""
        assert guarded.get("/healthz").status_code == 200
        assert guarded.get("/v2/health/live").status_code == 200
        assert (
            guarded.get("/nowhere").status_code == guarded.get("/docs-files/x").status_code == 401
        )
        ready = guarded.get("/readyz").json()
        assert {name: set(check) for name, check in ready["checks"].items()} == {
            name: {"ok"} for name in ready["checks"]
        }


class TestAKey:
    """The life of a key."""

    def test_is_known_by_name_wherever_it_did_something(self, guarded, module_engine):
        """A label says who gave it; a key with details sees them."""
        headers = bearer(make(module_engine, "annotator", "admin"))
        until(lambda: guarded.get("/v1/model", headers=headers).status_code == 200)
        answer = guarded.post("/v1/predict", content=jpeg_of("Dog"), headers=headers).json()

        where = f"/v1/predictions/{answer['id']}/label"
        row = guarded.put(where, json={"label": "Cat"}, headers=headers).json()

        assert row["labelled_by"] == "key:annotator"
        assert "detail" in guarded.get("/readyz", headers=headers).json()["checks"]["model"]

    def test_opens_nothing_seconds_after_it_was_revoked(self, guarded, module_engine):
        """A key that leaked must not work until the next restart."""
        headers = bearer(make(module_engine, "leaked", "read"))
        until(lambda: guarded.get("/v1/models", headers=headers).status_code == 200)

        with transaction(module_engine) as connection:
            keys.revoke(connection, "leaked", by="test", now=NOW)

        until(lambda: guarded.get("/v1/models", headers=headers).status_code == 401, 3)

    def test_ends_by_the_services_clock(self, engine: Engine, tmp_path: Path):
        """No query, no restart: the moment alone."""
        shift = tmp_path / "clock"
        headers = bearer(make(engine, "guest", "read", expires_at=NOW + timedelta(hours=1)))
        with serving(engine, tmp_path, clock=ShiftedClock(shift), require_keys=True) as service:
            before = service.get("/v1/models", headers=headers).status_code
            shift.write_text("7200")
            after = service.get("/v1/models", headers=headers).status_code

        assert (before, after) == (200, 401)

    def test_may_ask_so_often_and_is_told(self, guarded, module_engine):
        """S16: per key, whatever address it says it comes from."""
        headers = bearer(make(module_engine, "slow", "read", per_minute=3))
        until(lambda: guarded.get("/readyz", headers=headers).headers.get("ratelimit") is not None)

        answers = [
            guarded.get("/v1/models", headers=headers | {"X-Forwarded-For": f"192.0.2.{i}"})
            for i in range(4)
        ]

        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert answers[-1].json()["code"] == "too_many_requests"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
        assert answers[-1].headers["ratelimit"].startswith('"default";r=0;t=')

    def test_is_nowhere_to_be_read(self, guarded, module_engine, caplog):
        """S13: not in a log, an error, the document, the metrics or any table."""
        caplog.set_level("DEBUG")
        text = make(module_engine, "secretive", "admin")
        # Not the last underscore: there may be some in the secret itself.
        secret, wrong = text.split("_", 2)[2], "ws_deadbeef_" + "w" * 43
        until(lambda: guarded.get("/v1/model", headers=bearer(text)).status_code == 200)
        said = [
            guarded.request(method, path, headers=headers, content=b"{").text
            for headers in (bearer(text), bearer(wrong), {"X-API-Key": text})
            for method, path in [
                ("GET", "/openapi.json"), ("GET", "/metrics"), ("POST", "/v1/predict"),
                ("PUT", "/v1/predictions/x/label"), ("GET", "/nowhere"),
                ("POST", "/v2/models/classifier/infer"), ("GET", "/readyz"),
            ]
        ]  # fmt: skip

        written = "\n".join([*said, *everything_in(module_engine), caplog.text])

        assert secret not in written
        assert "w" * 43 not in written


class TestGuessing:
    """S21."""

    def test_locks_an_address_out_and_leaves_a_trace(self, guarded, module_engine):
        """After 20 wrong keys, 429 for a minute; a right key is answered all the same."""
        good = bearer(make(module_engine, "neighbour", "read"))
        until(lambda: guarded.get("/v1/models", headers=good).status_code == 200)
        with elsewhere(guarded) as guesser:
            answers = [
                guesser.get(
                    "/v1/models", headers=bearer(f"guess-{i}") | {"X-Forwarded-For": str(i)}
                )
                for i in range(25)
            ]
            behind_the_same_proxy = guesser.get("/v1/models", headers=good)

        assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 5
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert behind_the_same_proxy.status_code == 200
        with elsewhere(guarded) as stranger:
            assert stranger.get("/v1/models", headers=bearer("x")).status_code == 401
        until(lambda: len(lockouts_in(module_engine)) > 0)
        assert len(lockouts_in(module_engine)) == 1


class TestStore:
    """core.store.keys."""

    def test_leaves_a_trace_of_making_and_taking_back(self, engine: Engine):
        """S21: who let whom in."""
        make(engine, "app", "read", "predict", per_minute=5)
        with transaction(engine) as connection:
            keys.revoke(connection, "app", by="owner", now=NOW)
            taken, made = audit.latest(connection)

        assert (taken.action, taken.by, taken.subject) == ("revoke key", "owner", "app")
        assert made.detail["scopes"] == ["predict", "read"]

    def test_gives_no_name_twice(self, engine: Engine):
        """Else nobody could tell later whose label it was."""
        make(engine, "app", "read")

        with pytest.raises(ConflictError, match="choose another"):
            make(engine, "app", "read")

    @pytest.mark.parametrize("name", ["", "local", "deadbeef", "a b", "ä", "x" * 65, "-x", "a\n"])
    def test_refuses_odd_names(self, engine: Engine, name: str):
        """A name stands in logs, tables and terminals."""
        with pytest.raises(UsageError, match="cannot be called"):
            make(engine, name, "read")

    @pytest.mark.parametrize(
        "grant",
        [
            Grant(()),
            Grant(("root",)),
            Grant(("read",), per_minute=0),
            Grant(("read",), expires_at=NOW - timedelta(seconds=1)),
            Grant(("read",), expires_at=NOW + timedelta(days=36_500)),
        ],
    )
    def test_refuses_grants_without_sense(self, engine: Engine, grant: Grant):
        """A key that opens nothing, or what does not exist."""
        with transaction(engine) as connection, pytest.raises(UsageError):
            keys.create(connection, "app", grant, by="test", now=NOW)

    def test_revokes_by_name_or_id_and_once(self, engine: Engine):
        """The second time somebody should know that it was done before."""
        make(engine, "app", "read")
        with transaction(engine) as connection:
            (key,) = keys.all_keys(connection)
            keys.revoke(connection, key.id, by="test", now=NOW)
            with pytest.raises(ConflictError):
                keys.revoke(connection, "app", by="test", now=NOW)
            with pytest.raises(NotFoundError):
                keys.revoke(connection, "other", by="test", now=NOW)

    def test_remembers_the_latest_use(self, engine: Engine):
        """Services report late and in any order."""
        make(engine, "app", "read")
        with transaction(engine) as connection:
            (key,) = keys.all_keys(connection)
            keys.touch(connection, {key.id: NOW, "unknown": NOW})
            keys.touch(connection, {key.id: NOW - timedelta(hours=1)})
            (key,) = keys.all_keys(connection)

        assert key.last_used_at == NOW


def everything_in(engine: Engine) -> Iterator[str]:
    """Return every row of every table as text."""
    with transaction(engine) as connection:
        for table in sa.inspect(connection).get_table_names():
            quoted = f'"{table}"'
            for row in connection.execute(sa.text(f"SELECT t::text FROM {quoted} t")):  # noqa: S608
                yield str(row[0])


def lockouts_in(engine: Engine) -> list[audit.Deed]:
    """Return the lockouts that the audit trail names, but for those of the other tests' client."""
    with transaction(engine) as connection:
        deeds = audit.latest(connection)
    return [deed for deed in deeds if deed.action == "lock out" and deed.subject != "127.0.0.1"]
