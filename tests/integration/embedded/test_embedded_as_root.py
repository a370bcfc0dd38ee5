"""The embedded Postgres of a program that runs as root."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import StoreError
from core.store import embedded
from core.store.postgres_account import Account, find_programs
from tests.embedded_postgres import (
    ROOT,
    kept_value,
    postmaster,
)

pytestmark = pytest.mark.postgres


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
class TestRoot:
    """S19: root hands Postgres to somebody who may less."""

    def test_runs_postgres_as_somebody_else(self, looked_at: Path):
        """Postgres refuses root, and it is right."""
        assert Path(f"/proc/{postmaster(looked_at)}").stat().st_uid != 0

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
            assert kept_value(server.url) == 42
            running = Path(f"/proc/{postmaster(folder)}/exe").readlink()

        assert running.is_relative_to(home)
        assert running.relative_to(home).parts[0].startswith("postgres.bin-")

    def test_tells_processes_without_the_right_to_trace(self, folder: Path):
        """In most containers root cannot see where another user's process works."""
        command = ["setpriv", "--bounding-set=-sys_ptrace", sys.executable, "-c", _BLIND_PROGRAM]

        subprocess.run([*command, str(folder)], cwd=ROOT, check=True)
