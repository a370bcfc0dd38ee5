"""The embedded Postgres found in every unhappy state."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from core.errors import StoreError
from core.store import embedded
from core.store.postgres_account import Account
from core.store.postgres_folder import DataFolder
from tests.embedded_postgres import (
    connected,
    copied,
    kept_value,
    wait_until,
)

pytestmark = pytest.mark.postgres


class TestFolder:
    """F29: the states in which a data folder may be found."""

    def test_f29_reused_pid(self, folder: Path):
        """After a restart the pid in postmaster.pid may be any program's, for ever running."""
        with subprocess.Popen(["sleep", "60"], user=folder.stat().st_uid) as sleeper:
            _write_pid_file(folder, f"{sleeper.pid}\n{folder}\n1700000000\n5432\n\n127.0.0.1\n")

            with embedded.connect(folder) as server:
                assert kept_value(server.url) == 42
            assert sleeper.poll() is None
            sleeper.kill()

    def test_f29_zombie(self, folder: Path):
        """A server that nobody waited for is dead, though its pid is there."""
        with subprocess.Popen(["true"], user=folder.stat().st_uid) as zombie:
            wait_until(lambda: ") Z " in Path(f"/proc/{zombie.pid}/stat").read_text("ascii"))
            _write_pid_file(folder, f"{zombie.pid}\n{folder}\n1700000000\n5432\n\n127.0.0.1\n")

            with embedded.connect(folder) as server:
                assert kept_value(server.url) == 42

    @pytest.mark.parametrize("text", ["", "nonsense", "0\n"])
    def test_f29_broken_pid_file(self, folder: Path, text: str):
        """A disk that was full, or power that went, may leave a file that Postgres refuses."""
        _write_pid_file(folder, text)

        with embedded.connect(folder) as server:
            assert kept_value(server.url) == 42

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
        copy = copied(folder, home / "copy")
        copy.chmod(0o755)
        with embedded.connect(folder) as original, embedded.connect(copy) as server:
            with connected(original.url) as connection:
                connection.execute("UPDATE kept SET value = 1")

            assert kept_value(server.url) == 42

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


def _write_pid_file(folder: Path, text: str) -> None:
    owner = folder.stat()
    (folder / "postmaster.pid").write_text(text, encoding="ascii")
    os.chown(folder / "postmaster.pid", owner.st_uid, owner.st_gid)


def _provoke_error(url: str) -> None:
    with connected(url) as connection, suppress(psycopg.DataError):
        connection.execute("SELECT 1 / 0")
