"""The keys in memory."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import FixedClock
from core.errors import UsageError
from core.store import audit, keys
from core.store.database import transaction
from core.store.keys import Grant, Key
from service.door.keyring import Keyring, keys_are_needed, require_some_key

ANYWHERE = "0.0.0.0"  # noqa: S104
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def add(engine: Engine, name: str, **grant: object) -> tuple[Key, bytes]:
    """Make a key; return it and what its owner sends."""
    with transaction(engine) as connection:
        opens = Grant(("read",), **grant)
        key, text = keys.create(connection, name, opens, by="test", now=NOW)
    return key, text.encode()


def ring(engine: Engine, now: datetime = NOW) -> Keyring:
    """Return a ring that has read its keys once."""
    found = Keyring(engine, clock=FixedClock(now), reload_s=60)
    found.refresh()
    return found


class TestKeyring:
    """All keys, read every few seconds."""

    def test_finds_a_key_by_what_was_sent(self, engine: Engine):
        """And nothing else by anything else."""
        key, sent = add(engine, "app")

        found = ring(engine)

        assert found.find(sent) == key
        assert found.find(sent[:-1]) is found.find(sent.upper()) is found.find(b"") is None

    def test_holds_no_key_whose_time_is_over(self, engine: Engine):
        """Expiry is a matter of the clock, whenever the keys were read."""
        end = NOW + timedelta(hours=1)
        _, sent = add(engine, "app", expires_at=end)

        assert ring(engine, end - timedelta(seconds=1)).find(sent)
        assert ring(engine, end).find(sent) is None

    def test_forgets_a_key_that_was_revoked(self, engine: Engine):
        """At its next look, which is seconds away."""
        _, sent = add(engine, "app")
        found = ring(engine)

        with transaction(engine) as connection:
            keys.revoke(connection, "app", by="test", now=NOW)
        found.refresh()

        assert found.find(sent) is None

    def test_keeps_its_keys_while_postgres_fails(self, engine: Engine):
        """F02: answers go on when the database does not."""
        _, sent = add(engine, "app")
        found = ring(engine)

        with transaction(engine) as connection:
            connection.execute(sa.text("ALTER TABLE api_keys RENAME TO elsewhere"))
        found.refresh()

        assert found.find(sent)

    def test_writes_last_use_and_lockouts_when_it_stops(self, engine: Engine):
        """S21: the owner sees which keys are in use, and who guessed."""
        _, sent = add(engine, "app")
        found = Keyring(engine, clock=FixedClock(NOW + timedelta(hours=1)), reload_s=60)
        found.start()
        found.find(sent)
        found.locked_out("192.0.2.7")

        found.stop()

        with transaction(engine) as connection:
            (key,) = keys.all_keys(connection)
            deeds = {(deed.action, deed.subject) for deed in audit.latest(connection)}
        assert key.last_used_at == NOW + timedelta(hours=1)
        assert ("lock out", "192.0.2.7") in deeds


class TestKeysAreNeeded:
    """Which addresses ask for keys."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
    def test_not_on_this_machine_alone(self, host: str):
        """Unless its owner says so."""
        assert not keys_are_needed(host, None)
        assert not keys_are_needed(host, False)
        assert keys_are_needed(host, True)

    @pytest.mark.parametrize("host", [ANYWHERE, "::", "", "192.0.2.7", "db.example", "127.0.0.1x"])
    def test_on_every_other_address(self, host: str):
        """Whatever its owner says."""
        assert keys_are_needed(host, None)
        with pytest.raises(UsageError, match="WEAKSPOT_SERVICE_REQUIRE_KEYS"):
            keys_are_needed(host, False)


class TestRequireSomeKey:
    """No service that nobody can use."""

    def test_names_the_command_that_makes_one(self, engine: Engine):
        """An expired key is none."""
        add(engine, "old", expires_at=NOW + timedelta(hours=1))

        require_some_key(engine, host=ANYWHERE, now=NOW)
        with pytest.raises(UsageError, match="weakspot keys create NAME --scopes predict,read"):
            require_some_key(engine, host=ANYWHERE, now=NOW + timedelta(hours=2))
