"""The embedded Postgres: made, shared, killed, and found in every unhappy state."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from core.errors import StoreError
from core.store import embedded
from core.store.postgres_account import Account, find_programs
from core.store.postgres_folder import DataFolder
from core.store.postgres_process import find_processes

pytestmark = pytest.mark.postgres

_ROOT = Path(__file__).resolve().parents[2]
_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
_PROGRAM = """
import sys
from pathlib import Path
from core.store import embedded
with embedded.connect(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.readline()
"""

_BLIND_PROGRAM = """
import sys
from pathlib import Path
from core.store import embedded
from core.store.postgres_process import find_processes
folder = Path(sys.argv[1])
with embedded.connect(folder):
    pid = find_processes(folder)[0]
    try:
        Path(f"/proc/{pid}/cwd").readlink()
    except PermissionError:
        pass
    else:
        sys.exit("this test needs to be blind")
    embedded.stop(folder)
    assert find_processes(folder) == []
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the user who runs Postgres can enter; nothing runs in it afterwards."""
    home = Path(tempfile.mkdtemp(prefix="weakspot-embedded-")).resolve()
    home.chmod(0o755)
    yield home
    for version in home.rglob("PG_VERSION"):
        if version.parent.parent.name != "base":
            with suppress(StoreError):
                embedded.stop(version.parent)
            for pid in find_processes(version.parent):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def stopped() -> Iterator[Path]:
    """A database made once, to be copied: cheaper than making one for every test."""
    home = Path(tempfile.mkdtemp(prefix="weakspot-embedded-")).resolve()
    home.chmod(0o755)
    with embedded.connect(home / "postgres") as server, _connection(server.url) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    yield home / "postgres"
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def looked_at(stopped: Path) -> Iterator[Path]:
    """The folder of a server that runs for all the tests that only look."""
    folder = _copy(stopped, stopped.with_name("looked_at"))
    with embedded.connect(folder):
        yield folder


@pytest.fixture
def url(looked_at: Path) -> Iterator[str]:
    """The address of that server."""
    with embedded.connect(looked_at) as server:
        yield server.url


@pytest.fixture
def folder(home: Path, stopped: Path) -> Path:
    """A data folder of a stopped server, with 42 in its table `kept`."""
    return _copy(stopped, home / "postgres")


@pytest.fixture
def program() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts other programs that use a folder until they are told to leave."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", _PROGRAM, str(folder)]
        started.append(subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


class TestConnect:
    """Making, starting and joining."""

    def test_makes_a_database_that_knows_vectors(self, home: Path):
        """A machine without a Postgres gets a real one."""
        with (
            embedded.connect(home / "new" / "postgres") as server,
            _connection(server.url) as connection,
        ):
            connection.execute("CREATE EXTENSION vector")
            row = connection.execute("SELECT '[1,2]'::halfvec <-> '[1,5]'::halfvec").fetchone()

        assert row == (3.0,)

    def test_sorts_alike_on_every_machine(self, url: str):
        """Postgres' own C.UTF-8 does not change with the C library, and breaks no index."""
        with _connection(url) as connection:
            row = connection.execute(
                "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database "
                "WHERE datname = current_database()"
            ).fetchone()

        assert row == ("b", "C.UTF-8", "UTF8")

    def test_keeps_others_on_the_machine_out(self, url: str, looked_at: Path):
        """The folder and the password are the owner's alone; there is no socket without one."""
        with _connection(url) as connection:
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
            _connection(url.replace(password, "guess"))

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
        before = _postmaster(folder)
        other.kill()
        other.wait()

        with embedded.connect(folder):
            assert _postmaster(folder) == before
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
            assert _value(server.url) == 42

    def test_outlives_the_terminals_interrupt(self, looked_at: Path):
        """Ctrl-C goes to a session; the server has one of its own, and dies after its clients."""
        assert os.getsid(_postmaster(looked_at)) == _postmaster(looked_at)

    def test_f29_long_path(self, home: Path, stopped: Path):
        """Socket paths end at 107 characters; there is no socket."""
        deep = home / ("a" * 200) / ("b" * 200)
        deep.mkdir(parents=True)

        with embedded.connect(_copy(stopped, deep / "postgres")) as server:
            assert _value(server.url) == 42

    def test_f29_path_too_long_for_postgres(self, home: Path):
        """Postgres cuts paths at 1,023 bytes; better a word than a strange file."""
        with pytest.raises(StoreError, match="longer than 900 bytes"):
            embedded.connect(home.joinpath(*["a" * 200] * 5))


class TestKeeper:
    """What happens to a server that others need."""

    def test_f01_comes_back_on_the_same_address(self, folder: Path):
        """Kill -9 loses nothing that was committed, though a busy child outlives its parent."""
        with embedded.connect(folder) as server, _busy(server.url):
            os.kill(_postmaster(folder), signal.SIGKILL)
            killed = time.monotonic()

            assert _when_back(server.url) == 42
            assert time.monotonic() - killed < 5

    def test_lets_postgres_mend_itself(self, folder: Path):
        """One child killed makes Postgres recover in place; nobody may start it a second time."""
        with embedded.connect(folder) as server, _connection(server.url) as doomed:
            before = _postmaster(folder)
            os.kill(doomed.info.backend_pid, signal.SIGKILL)
            _wait_until(lambda: _is_refused(doomed))

            assert _when_back(server.url) == 42
            assert _postmaster(folder) == before

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
            os.kill(_postmaster(folder), signal.SIGKILL)
            _when_back(url)
            log = (folder / "postgres.log").read_text(encoding="utf-8")

            assert log.count("was interrupted") == 1
            assert "already in use" not in log

    def test_survives_a_polite_request_to_end(self, folder: Path):
        """SIGTERM makes Postgres wait for its clients, who would wait for it, for ever."""
        with embedded.connect(folder) as server, _connection(server.url):
            before = _postmaster(folder)
            os.kill(before, signal.SIGTERM)

            _wait_until(lambda: _postmaster(folder) != before)
            assert _when_back(server.url) == 42

    def test_leaves_a_server_down_that_was_stopped(self, folder: Path):
        """`stop` is meant, until somebody connects again."""
        with embedded.connect(folder) as server:
            embedded.stop(folder)
            time.sleep(1)
            assert not embedded.is_running(folder)

            with embedded.connect(folder) as again:
                assert again.url == server.url


class TestFolder:
    """F29: the states in which a data folder may be found."""

    def test_f29_reused_pid(self, folder: Path):
        """After a restart the pid in postmaster.pid may be any program's, for ever running."""
        with subprocess.Popen(["sleep", "60"], user=folder.stat().st_uid) as sleeper:
            _write_pid_file(folder, f"{sleeper.pid}\n{folder}\n1700000000\n5432\n\n127.0.0.1\n")

            with embedded.connect(folder) as server:
                assert _value(server.url) == 42
            assert sleeper.poll() is None
            sleeper.kill()

    def test_f29_zombie(self, folder: Path):
        """A server that nobody waited for is dead, though its pid is there."""
        with subprocess.Popen(["true"], user=folder.stat().st_uid) as zombie:
            _wait_until(lambda: ") Z " in Path(f"/proc/{zombie.pid}/stat").read_text("ascii"))
            _write_pid_file(folder, f"{zombie.pid}\n{folder}\n1700000000\n5432\n\n127.0.0.1\n")

            with embedded.connect(folder) as server:
                assert _value(server.url) == 42

    @pytest.mark.parametrize("text", ["", "nonsense", "0\n"])
    def test_f29_broken_pid_file(self, folder: Path, text: str):
        """A disk that was full, or power that went, may leave a file that Postgres refuses."""
        _write_pid_file(folder, text)

        with embedded.connect(folder) as server:
            assert _value(server.url) == 42

    def test_f29_half_made(self, home: Path):
        """A maker killed in the middle leaves a folder beside; it is cleared away."""
        (home / "postgres.tmp-1" / "data").mkdir(parents=True)
        (home / "postgres").mkdir()

        with embedded.connect(home / "postgres"):
            assert [entry.name for entry in home.iterdir()] == ["postgres"]

    def test_f29_something_else(self, home: Path):
        """What is not ours is neither used nor removed."""
        (home / "postgres").mkdir()
        (home / "postgres" / "thesis.txt").touch()

        with pytest.raises(StoreError, match=r"thesis\.txt.*no Postgres database"):
            embedded.connect(home / "postgres")
        assert (home / "postgres" / "thesis.txt").exists()

    def test_f29_copied_from_another_host(self, home: Path, folder: Path):
        """A copy has its original's port and password, and must not be taken for it."""
        copy = _copy(folder, home / "copy")
        copy.chmod(0o755)
        with embedded.connect(folder) as original, embedded.connect(copy) as server:
            with _connection(original.url) as connection:
                connection.execute("UPDATE kept SET value = 1")

            assert _value(server.url) == 42

    def test_another_major_version(self, folder: Path):
        """Postgres 18 cannot read the files of 16; the way out is named."""
        (folder / "PG_VERSION").write_text("16\n", encoding="ascii")

        with pytest.raises(StoreError, match=r"data of Postgres 16, this is Postgres 18.*pg_dump"):
            embedded.connect(folder)
        (folder / "PG_VERSION").write_text("18\n", encoding="ascii")

    def test_copied_without_its_password(self, folder: Path):
        """Better said at once than a login that fails for ever."""
        (folder / "weakspot.password").unlink()

        with pytest.raises(StoreError, match=r"weakspot\.password is missing"):
            embedded.connect(folder)

    def test_log_stays_bounded(self, url: str, looked_at: Path):
        """The log of a server that runs for a year must not fill the disk."""
        data = DataFolder(looked_at, Account())
        written = data.log_size()

        data.bound_log(limit_bytes=100)
        _provoke_error(url)

        assert (looked_at / "postgres.log.1").stat().st_size == written
        assert data.log_since(0).startswith("20")
        assert data.log_since(0).count("ERROR") == 1

    def test_says_what_postgres_said(self, folder: Path):
        """Why it does not start stands in its log; nobody should have to look for it."""
        with (folder / "postgresql.conf").open("a", encoding="ascii") as settings:
            settings.write("shared_buffers = many\n")

        with pytest.raises(StoreError, match='invalid value for parameter "shared_buffers"'):
            embedded.connect(folder)


@_AS_ROOT
class TestRoot:
    """S19: root hands Postgres to somebody who may less."""

    def test_runs_postgres_as_somebody_else(self, looked_at: Path):
        """Postgres refuses root, and it is right."""
        assert Path(f"/proc/{_postmaster(looked_at)}").stat().st_uid != 0

    def test_leaves_no_doors_open_above(self, home: Path):
        """Making a database changes the mode of no folder above it."""
        before = [parent.stat().st_mode for parent in (home, *home.parents)]

        with embedded.connect(home / "postgres"):
            assert [parent.stat().st_mode for parent in (home, *home.parents)] == before

    def test_names_the_parent_that_is_closed(self, home: Path):
        """Parents are never opened up; the message says which one, and what to do."""
        closed = home / "closed"
        closed.mkdir(mode=0o700)

        with pytest.raises(StoreError, match=rf"cannot enter {closed}, .*WEAKSPOT_HOME"):
            embedded.connect(closed / "deeper" / "postgres")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_refuses_a_folder_of_root(self, folder: Path):
        """A copy made by root belongs to root; changing owners is left to the owner."""
        os.chown(folder, 0, 0)

        with pytest.raises(StoreError, match="chown -R"):
            embedded.connect(folder)

    def test_copies_programs_that_are_out_of_reach(
        self, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """A virtual environment under /root is common, and closed to everybody else."""
        closed = home / "closed"
        closed.mkdir(mode=0o700)
        package = find_programs(Account(), folder).parents[1]
        for name in (package.name, f"{package.name}.libs"):
            (closed / name).symlink_to(package.with_name(name))
        monkeypatch.syspath_prepend(closed)

        with embedded.connect(folder) as server:
            assert _value(server.url) == 42
            running = Path(f"/proc/{_postmaster(folder)}/exe").readlink()

        assert running.is_relative_to(home)
        assert running.relative_to(home).parts[0].startswith("postgres.bin-")

    def test_tells_processes_without_the_right_to_trace(self, folder: Path):
        """In most containers root cannot see where another user's process works."""
        command = ["setpriv", "--bounding-set=-sys_ptrace", sys.executable, "-c", _BLIND_PROGRAM]

        subprocess.run([*command, str(folder)], cwd=_ROOT, check=True)


def _connection(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True, connect_timeout=5)


def _value(url: str) -> int:
    with _connection(url) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
    assert row is not None
    return row[0]


def _is_refused(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return True
    return False


def _when_back(url: str) -> int:
    values: list[int] = []

    def answered() -> bool:
        with suppress(psycopg.OperationalError):
            values.append(_value(url))
        return bool(values)

    _wait_until(answered)
    return values[0]


def _wait_until(condition: Callable[[], bool], *, limit_s: float = 10) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def _postmaster(folder: Path) -> int | None:
    return DataFolder(folder, Account()).recorded_pid()


def _copy(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", source, target], check=True)
    return target


def _write_pid_file(folder: Path, text: str) -> None:
    owner = folder.stat()
    (folder / "postmaster.pid").write_text(text, encoding="ascii")
    os.chown(folder / "postmaster.pid", owner.st_uid, owner.st_gid)


def _provoke_error(url: str) -> None:
    with _connection(url) as connection, suppress(psycopg.DataError):
        connection.execute("SELECT 1 / 0")


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
        self._connection = _connection(url)
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
