"""Nobody in who does not belong: every address of the dashboard, with every kind of session."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dash import Dash
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from core.errors import UsageError
from core.store import audit, keys
from core.store.database import create_engine, transaction
from core.store.keys import Grant
from dashboard.app import _PAGES, create_app
from dashboard.door.entrance import OPEN
from dashboard.door.keyring import Keyring, require_some_key
from dashboard.door.rules import Rules
from dashboard.door.sessions import IDLE
from dashboard.page import House

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}
OURS = {"Origin": "http://localhost"}
# Addresses that take a POST and change nothing, so that `read` is enough for them.
_ASKED_BY_POST = frozenset({"/_dash-update-component", "/sign-in", "/sign-out"})


@dataclass
class Hands:
    """A clock that a test moves."""

    moment: datetime = NOW

    def now(self) -> datetime:
        """Return what it shows."""
        return self.moment


@dataclass
class Building:
    """A dashboard with keys, and how to come to its door."""

    engine: Engine
    home: Path
    clock: Hands
    app: Dash

    def client(self) -> FlaskClient:
        """Return a browser that never was here."""
        return self.app.server.test_client()

    def sign_in(self, client: FlaskClient, key: str, *, address: str = "192.0.2.1") -> TestResponse:
        """Type a key into the form."""
        environ = {"REMOTE_ADDR": address}
        return client.post("/sign-in", data={"key": key}, headers=OURS, environ_base=environ)

    def visitor(self, *scopes: str, name: str, **grant: datetime) -> FlaskClient:
        """Return the browser of somebody who has just signed in with a new key."""
        client = self.client()
        assert self.sign_in(client, self.key(name, *scopes, **grant)).status_code == 303
        return client

    def key(self, name: str, *scopes: str, **grant: datetime) -> str:
        """Return the text of a new key."""
        with transaction(self.engine) as connection:
            opens = Grant(scopes, **grant)
            return keys.create(connection, name, opens, by="test", now=self.clock.now())[1]

    def revoke(self, name: str) -> None:
        """Take a key back."""
        with transaction(self.engine) as connection:
            keys.revoke(connection, name, by="test", now=self.clock.now())


def build(engine: Engine, home: Path) -> Building:
    """Return a dashboard with keys."""
    clock = Hands()
    app = create_app(House(engine, clock, home), Rules(keys=True))
    return Building(engine, home, clock, app)


@pytest.fixture(scope="module")
def _built(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Building:
    return build(module_engine, tmp_path_factory.mktemp("home"))


@pytest.fixture
def building(_built: Building, monkeypatch: pytest.MonkeyPatch) -> Building:
    """The dashboard with keys, at noon, believing no key longer than a moment."""
    monkeypatch.setattr(_built.clock, "moment", NOW)
    monkeypatch.setattr(Keyring, "fresh_s", 0.0)
    return _built


def addresses(app: Dash) -> list[tuple[str, str]]:
    """Return the method and an address of every route of the server that is not open."""
    found = []
    for rule in app.server.url_map.iter_rules():
        path = re.sub(r"<(?:int|float):[^>]+>", "1", rule.rule)
        path = re.sub(r"<[^>]+>", "x", path)
        found += [(method, path) for method in rule.methods or () if path not in OPEN]
    return sorted(set(found))


def ask(client: FlaskClient, method: str, path: str) -> TestResponse:
    """Ask as a page of ours would."""
    sent = {} if method in {"GET", "HEAD", "OPTIONS"} else JSON | OURS
    return client.open(path, method=method, headers=sent, data=b"{}" if sent else None)


def press(client: FlaskClient, action: str) -> str:
    """Press a button, and return what is said of it."""
    button = {"about": "1", "action": action}
    named = json.dumps(button, separators=(",", ":"))
    ids = ("said", "said", "acted")
    outputs = [
        {"id": id_, "property": name}
        for id_, name in zip(ids, ("children", "className", "data"), strict=True)
    ]
    body = {
        "output": "..said.children...said.className...acted.data..",
        "outputs": outputs,
        "inputs": [[{"id": button, "property": "n_clicks", "value": 1}]],
        "changedPropIds": [f"{named}.n_clicks"],
    }
    answer = client.post("/_dash-update-component", json=body, headers=OURS)
    assert answer.status_code == 200, answer.text
    return answer.json["response"]["said"]["children"]


class TestEveryAddress:
    """S01: whatever is added, it is behind the door."""

    @staticmethod
    def strangers(building: Building) -> dict[str, FlaskClient]:
        """Return browsers that nobody is, or is any more, signed in with."""
        expiring = building.visitor("admin", name="expiring", expires_at=NOW + timedelta(hours=1))
        revoked = building.visitor("admin", name="revoked")
        building.revoke("revoked")
        forger = building.client()
        name = f"weakspot-{'0' * 8}"
        forger.set_cookie(name, "W10.forged")
        idle = building.visitor("admin", name="idle")
        building.clock.moment = NOW + IDLE
        return {
            "none": building.client(),
            "expired": expiring,
            "revoked": revoked,
            "forged": forger,
            "idle": idle,
        }

    def test_is_closed_to_who_is_not_signed_in(self, building: Building):
        """Without a session, with a forged one, with one that is over, with a key that is."""
        for kind, client in self.strangers(building).items():
            for method, path in addresses(building.app):
                answer = ask(client, method, path)

                assert answer.status_code == 401, (kind, method, path)
                assert answer.headers["Content-Security-Policy"]

    def test_that_changes_something_is_closed_to_who_may_only_look(self, building: Building):
        """A POST that needs no more than `read` is named in this file, with its reason."""
        client = building.visitor("read", name="looker")

        for method, path in addresses(building.app):
            if method in {"GET", "HEAD", "OPTIONS"} or path in _ASKED_BY_POST:
                continue
            assert ask(client, method, path).status_code == 403, (method, path)

    def test_no_button_works_for_who_may_not_press_it(self, building: Building):
        """Left out of the page is not enough: the request can be written by hand."""
        client = building.visitor("read", name="presser")

        for page in _PAGES:
            for name, action in page.actions.items():
                assert action.scope in {"label", "admin"}, name
                assert "lacks the scope" in press(client, name), name

    def test_is_refused_to_pages_of_others_even_with_a_session(self, building: Building):
        """S14: another tab of the same browser."""
        client = building.visitor("admin", name="surfer")

        for method, path in addresses(building.app):
            if method in {"GET", "HEAD", "OPTIONS"}:
                continue
            for origin in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
                answer = client.open(path, method=method, headers=JSON | origin, data=b"{}")
                assert answer.status_code == 403, (method, path, origin)
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
                sent = OURS | {"Content-Type": kind}
                answer = client.open(path, method=method, headers=sent, data=b"{}")
                assert answer.status_code == 415, (method, path, kind)


class TestSignIn:
    """Who shows a key."""

    def test_a_page_leads_to_the_form_and_back(self, building: Building):
        """A pasted link shows what it names, once somebody is signed in."""
        client = building.client()
        html = {"Accept": "text/html,*/*;q=0.8"}

        led = client.get("/class/Dog?days=7", headers=html)
        form = client.get(led.location)
        answer = client.post(led.location, data={"key": building.key("ann", "read")}, headers=OURS)

        assert led.location == "/sign-in?next=%2Fclass%2FDog%3Fdays%3D7"
        assert (form.status_code, answer.status_code) == (200, 303)
        assert answer.location == "/class/Dog?days=7"
        assert client.get(answer.location, headers=html).status_code == 200
        assert client.get(led.location).location == "/class/Dog?days=7"

    def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(self, building: Building):
        """And it is not the key."""
        key = building.key("cookie", "read")

        cookie = building.sign_in(building.client(), key).headers["Set-Cookie"]

        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert key not in cookie
        assert "Secure" not in cookie

    def test_by_https_the_cookie_is_for_this_host_alone(self, building: Building):
        """The prefix keeps sister domains from setting one."""
        house = House(building.engine, building.clock, building.home)
        client = create_app(house, Rules(keys=True, https=True)).server.test_client()

        answer = client.post(
            "/sign-in",
            data={"key": building.key("tls", "read")},
            headers={"Origin": "https://localhost"},
        )

        assert re.match("__Host-weakspot-[0-9a-f]{8}=", answer.headers["Set-Cookie"])
        assert "; Secure" in answer.headers["Set-Cookie"]

    def test_unknown_expired_and_revoked_keys_get_the_same_answer(
        self, building: Building, caplog: pytest.LogCaptureFixture
    ):
        """S21: nobody learns that a key ever was one; nothing of it is logged."""
        over = building.key("over", "read", expires_at=NOW + timedelta(hours=1))
        gone = building.key("gone", "read")
        building.revoke("gone")
        building.clock.moment += timedelta(hours=2)

        answers = [
            building.sign_in(building.client(), key, address="192.0.2.7")
            for key in ("ws_unknown", over, gone, "", "x" * 5000)
        ]

        assert {(each.status_code, each.text) for each in answers} == {(401, answers[0].text)}
        assert "is not known, was revoked, or has expired" in answers[0].text
        assert "Set-Cookie" not in answers[0].headers
        assert "ws_" not in caplog.text

    def test_a_key_for_other_things_is_told_so(self, building: Building):
        """A program's key shows nobody anything."""
        answer = building.sign_in(building.client(), building.key("program", "predict"))

        assert answer.status_code == 403
        assert "does not have the scope read" in answer.text

    def test_too_many_wrong_keys_lock_their_address_out(self, building: Building):
        """The audit trail names it; a right key is let in even from there."""
        key, client = building.key("patient", "read"), building.client()
        tries = [building.sign_in(client, f"ws_{i}", address="192.0.2.99") for i in range(21)]

        assert [each.status_code for each in tries] == [401] * 20 + [429]
        assert 0 < int(tries[-1].headers["Retry-After"]) <= 60
        assert building.sign_in(client, "ws_other", address="192.0.2.98").status_code == 401
        assert building.sign_in(client, key, address="192.0.2.99").status_code == 303
        with transaction(building.engine) as connection:
            deeds = {(deed.action, deed.subject) for deed in audit.latest(connection)}
        assert {("lock out", "192.0.2.99"), ("sign in", "patient")} <= deeds

    def test_no_page_of_others_signs_anybody_in(self, building: Building):
        """Signed in as somebody else, one's labels would be theirs."""
        key = building.key("login", "read")
        evil = {"Origin": "https://evil.example"}

        answer = building.client().post("/sign-in", data={"key": key}, headers=evil)

        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers

    def test_the_form_sends_its_origin_and_nothing_else_anywhere(self, building: Building):
        """Under no-referrer a browser would say `Origin: null`."""
        headers = building.client().get("/sign-in").headers

        assert headers["Referrer-Policy"] == "same-origin"
        assert "form-action 'self'" in headers["Content-Security-Policy"]
        assert "unsafe-inline" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


class TestSession:
    """What a session is worth, and how long."""

    def test_survives_a_restart(self, building: Building):
        """A new version of the dashboard signs nobody out."""
        client = building.visitor("read", name="loyal")
        again = build(building.engine, building.home).client()
        for cookie in client._cookies.values():
            again.set_cookie(cookie.key, cookie.value)

        assert again.get("/_dash-layout").status_code == 200

    def test_goes_on_while_somebody_looks(self, building: Building):
        """A new cookie comes along with an answer."""
        client = building.visitor("read", name="watcher")

        for _ in range(4):
            building.clock.moment += timedelta(hours=8)
            assert client.get("/_dash-layout").status_code == 200

    def test_is_over_after_signing_out(self, building: Building):
        """The browser has no cookie any more."""
        client = building.visitor("read", name="leaver")

        answer = client.post("/sign-out", headers=JSON | OURS, data=b"{}")

        assert answer.status_code == 204
        assert client.get("/_dash-layout").status_code == 401

    def test_names_who_is_signed_in(self, building: Building):
        """In the header, with a button to sign out."""
        layout = building.visitor("read", name="paula").get("/_dash-layout").text

        assert '"paula"' in layout
        assert '"sign-out"' in layout

    def test_outlives_a_database_that_is_away(self, building: Building):
        """Then one is told so, instead of being asked for a key that nobody can check."""
        engine = create_engine(building.engine.url.set(port=1))
        keyring = Keyring(building.engine, building.clock)
        key = keyring.of_text(building.key("stayer", "read"), anew=True)
        keyring._engine = engine

        assert key is not None
        assert keyring.of_id(key.id) == key


class TestOpenDoor:
    """Without keys, on this machine alone."""

    @pytest.fixture
    def client(self, building: Building) -> FlaskClient:
        """A browser on this machine."""
        house = House(building.engine, building.clock, building.home)
        return create_app(house).server.test_client()

    def test_lets_its_owner_in(self, client: FlaskClient):
        """Nobody signs in, and nobody is named."""
        assert "sign-out" not in client.get("/_dash-layout").text
        assert client.get("/sign-in").headers.get("Set-Cookie") is None

    def test_answers_to_no_strange_name(self, client: FlaskClient):
        """S16: DNS rebinding makes a stranger's page ask as the owner."""
        for path in ("/", "/_dash-layout", "/images/1"):
            assert client.get(path, headers={"Host": "evil.example"}).status_code == 403
        assert client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200

    def test_takes_nothing_from_pages_of_others(self, client: FlaskClient):
        """S14: there is no cookie that would protect it."""
        evil = JSON | {"Origin": "https://evil.example"}

        assert client.post("/_dash-update-component", headers=evil, data=b"{}").status_code == 403

    def test_believes_no_proxy_header(self, client: FlaskClient):
        """S16: anybody can write them."""
        forged = {"Host": "evil.example", "X-Forwarded-Host": "localhost"}

        assert client.get("/", headers=forged).status_code == 403


class TestRequireSomeKey:
    """No dashboard that nobody can open."""

    def test_names_the_command_that_makes_one(self, engine: Engine):
        """A key that opens other things is none."""
        with transaction(engine) as connection:
            keys.create(connection, "app", Grant(["predict"]), by="test", now=NOW)

        with pytest.raises(UsageError, match="weakspot keys create NAME --scopes read"):
            require_some_key(engine, host="192.0.2.1", now=NOW)
