"""The embedded Postgres: made, shared, killed, and back again."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from core.errors import StoreError
from core.store import embedded
from core.store.postgres_account import Account
from core.store.postgres_folder import DataFolder
from core.store.postgres_process import find_processes
from tests.embedded_postgres import (
    connected,
    copied,
    is_refused,
    kept_value,
    postmaster,
    wait_until,
    when_back,
)

pytestmark = pytest.mark.postgres


class TestConnect:
    """Making, starting and joining."""

    def test_makes_a_database_that_knows_vectors(self, home: Path):
        """A machine without a Postgres gets a real one."""
        with (
            embedded.connect(home / "new" / "postgres") as server,
            connected(server.url) as connection,
        ):
            connection.execute("CREATE EXTENSION vector")
            row = connection.execute("SELECT '[1,2]'::halfvec <-> '[1,5]'::halfvec").fetchone()

        assert row == (3.0,)

    def test_sorts_alike_on_every_machine(self, url: str):
        """Postgres' own C.UTF-8 does not change with the C library, and breaks no index."""
        with connected(url) as connection:
            row = connection.execute(
                "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database "
                "WHERE datname = current_database()"
            ).fetchone()

        assert row == ("b", "C.UTF-8", "UTF8")

    def test_keeps_others_on_the_machine_out(self, url: str, looked_at: Path):
        """The folder and the password are the owner's alone; there is no socket without one."""
        with connected(url) as connection:
            ways = connection.execute(
                "SELECT current_setting('listen_addresses'), "
                "current_setting('unix_socket_directories')"
            ).fetchone()

        assert ways == ("127.0.0.1", "")
        assert stat.S_IMODE(looked_at.stat().st_mode) == 0o700
        assert stat.S_IMODE((looked_at / "weakspot.password").stat().st_mode) == 0o600

    def test_refuses_a_wrong_password(self, url: str, looked_at: Path):
        """Trust is given to nobody, this machine's users included."""
        password = DataFolder(looked_at, Account()).password()

        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connected(url.replace(password, "guess"))

    def test_last_program_out_stops_the_server(self, folder: Path, program):
        """Two programs of one home share a server, and leave none behind."""
        other = program(folder)
        url = other.stdout.readline().strip()
        with embedded.connect(folder) as server:
            assert server.url == url

            other.communicate("leave\n")
            assert embedded.is_running(folder)

        assert not embedded.is_running(folder)
        assert find_processes(folder) == []

    def test_joins_what_a_killed_program_left(self, folder: Path, program):
        """Kill -9 takes no farewell: the server goes on, and is not counted as in use."""
        other = program(folder)
        other.stdout.readline()
        before = postmaster(folder)
        other.kill()
        other.wait()

        with embedded.connect(folder):
            assert postmaster(folder) == before
        assert not embedded.is_running(folder)

    def test_f29_two_starters_make_one_server(self, home: Path, program):
        """Both begin with nothing: one makes and starts it, the other joins."""
        folder = home / "postgres"
        starters = [program(folder), program(folder)]

        urls = {starter.stdout.readline().strip() for starter in starters}

        assert len(urls) == 1
        assert [entry.name for entry in home.iterdir()] == ["postgres"]
        for starter in starters:
            starter.communicate("leave\n")
        assert not embedded.is_running(folder)

    def test_takes_another_port_when_its_own_is_taken(self, folder: Path):
        """Ports are nobody's property; a home must start beside any other program."""
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        DataFolder(folder, Account()).keep_port(port)

        with closing(taken), embedded.connect(folder) as server:
            assert f":{port}/" not in server.url
            assert kept_value(server.url) == 42

    def test_outlives_the_terminals_interrupt(self, looked_at: Path):
        """Ctrl-C goes to a session; the server has one of its own, and dies after its clients."""
        assert os.getsid(postmaster(looked_at)) == postmaster(looked_at)

    def test_f29_long_path(self, home: Path, stopped: Path):
        """Socket paths end at 107 characters; there is no socket."""
        deep = home / ("a" * 200) / ("b" * 200)
        deep.mkdir(parents=True)

        with embedded.connect(copied(stopped, deep / "postgres")) as server:
            assert kept_value(server.url) == 42

    def test_f29_path_too_long_for_postgres(self, home: Path):
        """Postgres cuts paths at 1,023 bytes; better a word than a strange file."""
        with pytest.raises(StoreError, match="longer than 900 bytes"):
            embedded.connect(home.joinpath(*["a" * 200] * 5))


class TestKeeper:
    """What happens to a server that others need."""

    def test_f01_comes_back_on_the_same_address(self, folder: Path):
        """Kill -9 loses nothing that was committed, though a busy child outlives its parent."""
        with embedded.connect(folder) as server, _busy(server.url):
            os.kill(postmaster(folder), signal.SIGKILL)
            killed = time.monotonic()

            assert when_back(server.url) == 42
            assert time.monotonic() - killed < 5

    def test_lets_postgres_mend_itself(self, folder: Path):
        """One child killed makes Postgres recover in place; nobody may start it a second time."""
        with embedded.connect(folder) as server, connected(server.url) as doomed:
            before = postmaster(folder)
            os.kill(doomed.info.backend_pid, signal.SIGKILL)
            wait_until(lambda: is_refused(doomed))

            assert when_back(server.url) == 42
            assert postmaster(folder) == before

    def test_forked_children_hold_nothing_back(self, folder: Path):
        """Data loaders fork and live on; their copies of our files must not count as users."""
        server = embedded.connect(folder)

        with _forked_child():
            server.close()
            with embedded.connect(folder):
                pass

            assert not embedded.is_running(folder)

    def test_two_keepers_start_one_server(self, folder: Path, program):
        """Every program notices; one acts."""
        other = program(folder)
        url = other.stdout.readline().strip()
        with embedded.connect(folder):
            os.kill(postmaster(folder), signal.SIGKILL)
            when_back(url)
            log = (folder / "postgres.log").read_text(encoding="utf-8")

            assert log.count("was interrupted") == 1
            assert "already in use" not in log

    def test_survives_a_polite_request_to_end(self, folder: Path):
        """SIGTERM makes Postgres wait for its clients, who would wait for it, for ever."""
        with embedded.connect(folder) as server, connected(server.url):
            before = postmaster(folder)
            os.kill(before, signal.SIGTERM)

            wait_until(lambda: postmaster(folder) != before)
            assert when_back(server.url) == 42

    def test_leaves_a_server_down_that_was_stopped(self, folder: Path):
        """`stop` is meant, until somebody connects again."""
        with embedded.connect(folder) as server:
            embedded.stop(folder)
            time.sleep(1)
            assert not embedded.is_running(folder)

            with embedded.connect(folder) as again:
                assert again.url == server.url


@contextmanager
def _forked_child() -> Iterator[None]:
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


class _busy:  # noqa: N801 - used like a function
    """Keeps one session computing, so that it does not notice when its postmaster dies."""

    def __init__(self, url: str) -> None:
        self._connection = connected(url)
        self._thread = threading.Thread(target=self._compute)

    def _compute(self) -> None:
        with suppress(psycopg.Error):
            self._connection.execute("SELECT count(*) FROM generate_series(1, 100000000000)")

    def __enter__(self) -> None:
        self._thread.start()
        time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._connection.close()
