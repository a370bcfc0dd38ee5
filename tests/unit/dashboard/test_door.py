"""The parts of the dashboard's door that need no database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask, request

from core.errors import ForbiddenError, UsageError
from core.store.keys import Key
from dashboard.door import provenance
from dashboard.door.rules import Rules, rules_for
from dashboard.door.secret import NAME, kept_secret
from dashboard.door.sessions import IDLE, LONGEST, Signer, begun, prolonged
from dashboard.door.sign_in_page import ours, page

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Key("0123abcd", "ann", b"", ("read",), None, NOW, "test", None, None, None)
ANYWHERE = "0.0.0.0"  # noqa: S104


def rules(host: str = "127.0.0.1", keys: bool | None = None, hosts: str = "") -> Rules:
    """Return the rules of a dashboard on a host."""
    return rules_for(host, require_keys=keys, hosts=hosts, https=False)


class TestRules:
    """How the door is kept."""

    def test_this_machine_alone_needs_no_keys_unless_its_owner_says_so(self):
        """As the service decides."""
        assert not rules("127.0.0.1").keys
        assert rules("::1", keys=True).keys
        assert rules(ANYWHERE).keys

    def test_no_keys_where_others_come_is_refused(self):
        """The message names the setting."""
        with pytest.raises(UsageError, match="WEAKSPOT_DASHBOARD_REQUIRE_KEYS"):
            rules(ANYWHERE, keys=False)

    @pytest.mark.parametrize("host", ["localhost:8050", "127.0.0.1", "[::1]:8050", "LOCALHOST"])
    def test_answers_to_the_names_of_this_machine(self, host: str):
        """Whatever the port."""
        assert rules().answers_to(host)

    @pytest.mark.parametrize(
        "host", ["", "evil.example", "localhost.evil.example:8050", "192.0.2.1", "127.0.0.1.nip.io"]
    )
    def test_answers_to_no_other_name(self, host: str):
        """S16: a page whose name is made to lead to this machine (DNS rebinding)."""
        assert not rules().answers_to(host)
        assert rules(keys=True).answers_to(host)

    def test_answers_to_names_its_owner_adds(self):
        """Then to these alone, with keys too."""
        named = rules(ANYWHERE, hosts="weakspot.example.com, 192.0.2.1")

        assert named.answers_to("Weakspot.example.com:443")
        assert named.answers_to("192.0.2.1")
        assert not named.answers_to("evil.example")

    @pytest.mark.parametrize("hosts", ["https://weakspot.example", "a:80", "*.example", "a/b"])
    def test_refuses_what_is_no_name(self, hosts: str):
        """A pattern that is taken for a name lets nobody in, and nobody knows why."""
        with pytest.raises(UsageError, match="WEAKSPOT_DASHBOARD_HOSTS"):
            rules(hosts=hosts)


class TestSender:
    """S14: who may change something."""

    @staticmethod
    def send(headers: dict[str, str], *, has_session: bool = True, https: bool = False) -> None:
        """Send a POST to localhost:8050."""
        kept = Rules(keys=True, https=https)
        with Flask("test").test_request_context(
            "/x", method="POST", headers={"Host": "localhost:8050"} | headers
        ):
            provenance.check_sender(request, kept, has_session=has_session)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://localhost:8050"},
            {"Origin": "http://localhost:8050", "Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "same-origin"},
        ],
    )
    def test_a_page_of_ours(self, headers: dict[str, str]):
        """What browsers say of it."""
        self.send(headers)

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": "null"},
            {"Origin": ""},
            {"Origin": "http://localhost:9000"},
            {"Origin": "https://localhost:8050"},
            {"Origin": "http://localhost:8050.evil.example"},
            {"Origin": "http://localhost:8050@evil.example"},
            {"Origin": "http://localhost:x"},
            {"Origin": "http://localhost:8050", "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
        ],
    )
    def test_nobody_else(self, headers: dict[str, str]):
        """Another port of the same machine is another program, and somebody else's."""
        with pytest.raises(ForbiddenError, match="not sent by a page of this dashboard"):
            self.send(headers)

    def test_a_program_without_a_session(self):
        """It has nothing that a stranger could make use of."""
        self.send({}, has_session=False)

    def test_behind_a_proxy_with_https(self):
        """The proxy speaks http to us; the browser does not."""
        self.send({"Origin": "https://localhost:8050"}, https=True)
        with pytest.raises(ForbiddenError):
            self.send({"Origin": "http://localhost:8050"}, https=True)


class TestSecret:
    """What sessions are signed with."""

    def test_is_made_once_and_for_its_owner_alone(self, tmp_path: Path):
        """A restart signs nobody out."""
        first = kept_secret(tmp_path / "home")

        assert kept_secret(tmp_path / "home") == first
        assert (tmp_path / "home" / NAME).stat().st_mode & 0o777 == 0o600
        assert [each.name for each in (tmp_path / "home").iterdir()] == [NAME]

    def test_that_others_can_read_is_none(self, tmp_path: Path):
        """The message names the command that mends it."""
        kept_secret(tmp_path)
        (tmp_path / NAME).chmod(0o644)

        with pytest.raises(UsageError, match="chmod 600"):
            kept_secret(tmp_path)

    def test_that_was_cut_off_is_none(self, tmp_path: Path):
        """An empty file would let anybody sign."""
        (tmp_path / NAME).touch(0o600)

        with pytest.raises(UsageError, match="delete it"):
            kept_secret(tmp_path)

    def test_that_cannot_be_kept_is_said(self, tmp_path: Path):
        """Not a traceback."""
        (tmp_path / "file").touch()

        with pytest.raises(UsageError, match="WEAKSPOT_HOME"):
            kept_secret(tmp_path / "file")


class TestSessions:
    """What stands in the cookie."""

    signer = Signer(b"a" * 64)

    def test_come_back_as_they_were(self):
        """Nothing is kept here."""
        session = begun(KEY, NOW)

        assert self.signer.session_of(self.signer.text_of(session), NOW) == session

    def test_do_not_hold_the_key_and_fit_its_id_alone(self):
        """Who reads a cookie has no key."""
        assert begun(KEY, NOW).key == "0123abcd"

    @pytest.mark.parametrize("text", ["", "x", "W10.x", "a" * 10_000, '["0123abcd",0,9999999999]'])
    def test_what_was_not_signed_is_none(self, text: str):
        """S09: and it is JSON, never a pickle."""
        assert self.signer.session_of(text, NOW) is None

    def test_signed_with_another_secret_is_none(self):
        """Another dashboard's session is not ours."""
        foreign = Signer(b"b" * 64)

        assert self.signer.session_of(foreign.text_of(begun(KEY, NOW)), NOW) is None
        assert foreign.mark != self.signer.mark

    def test_end_when_nobody_comes_back(self):
        """Twelve hours."""
        text = self.signer.text_of(begun(KEY, NOW))

        assert self.signer.session_of(text, NOW + IDLE - timedelta(seconds=1)) is not None
        assert self.signer.session_of(text, NOW + IDLE) is None

    def test_go_on_while_somebody_looks_but_not_for_ever(self):
        """A screen on the wall for a week; a cookie that was stolen no longer."""
        session, now = begun(KEY, NOW), NOW
        while now < session.until:
            session = prolonged(session, now) or session
            now += timedelta(minutes=20)

        assert session.until == NOW + LONGEST

    def test_are_written_anew_once_an_hour_at_most(self):
        """Not with each of the page's requests."""
        session = begun(KEY, NOW)

        assert prolonged(session, NOW + timedelta(minutes=59)) is None
        assert prolonged(session, NOW + timedelta(minutes=61)) is not None


class TestSignInPage:
    """Where the sign-in leads."""

    @pytest.mark.parametrize("address", ["/", "/class/Dog?days=7", "/class/%2F%2Fx", "/a?next=//b"])
    def test_leads_back_to_an_address_of_ours(self, address: str):
        """A pasted link shows what it names."""
        assert ours(address) == address

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil.example",
            "///evil.example",
            "/" + "a" * 3000,
            "/sign-in?next=/",
            "/sign-out",
        ],
    )
    def test_leads_nowhere_else(self, address: str):
        """An open redirect makes our own name a bait."""
        assert ours(address) == "/"

    def test_shows_what_it_is_told_as_text(self):
        """S04: the address is anybody's."""
        shown = page(target='/"><script>alert(1)</script>', error="<b>no</b>")

        assert "<script>alert" not in shown
        assert "&lt;b&gt;no&lt;/b&gt;" in shown
        assert "javascript" not in shown
