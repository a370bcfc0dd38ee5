"""The dashboard as a program of its own, as an operator starts it.

with showing(engine, tmp_path, now=night_after(11).now()) as board:
    httpx.get(board.url)

It takes seconds to start, in which its rows can be written:

with starting(engine, tmp_path, now=night_after(11).now()) as ready:
    story.tell(engine, tmp_path)
    httpx.get(ready().url)
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

ROOT = Path(__file__).resolve().parents[1]

_READY_S = 60


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard that is running: where, as which process, and what it has logged."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def showing(
    engine: Engine, home: Path, *, now: datetime | None = None, **knobs: str
) -> Iterator[Board]:
    """Run the dashboard on a free port until the block ends.

    Args:
        engine: Its database.
        home: Any folder.
        now: What time it is for it; the machine's time when None.
        knobs: `refresh_s="1"`: settings that differ from the defaults.
    """
    with starting(engine, home, now=now, **knobs) as ready:
        yield ready()


@contextmanager
def starting(
    engine: Engine, home: Path, *, now: datetime | None = None, **knobs: str
) -> Iterator[Callable[[], Board]]:
    """Start the dashboard as `showing` does; gives what waits until it answers.

    What it looks for when it starts must be there: the keys, where it requires any.
    """
    process, log = start(engine, home, now=now, **knobs)
    try:
        yield lambda: Board(_address(process, log), process, log)
    finally:
        process.terminate()
        process.wait(20)


def start(
    engine: Engine, home: Path, *, now: datetime | None = None, **knobs: str
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the dashboard, and return its process and the file that it logs to."""
    log = home / "dashboard.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard"],
            cwd=home,
            env=_environment(engine, home, now, knobs),
            stderr=file,
        )
    return process, log


def _environment(
    engine: Engine, home: Path, now: datetime | None, knobs: dict[str, str]
) -> dict[str, str]:
    shift = home / "shift"
    moved = (now - datetime.now(UTC)).total_seconds() if now else 0
    shift.write_text(str(round(moved)), encoding="ascii")
    chosen = {"port": "0"} | knobs
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "WEAKSPOT_HOME": str(home),
        "WEAKSPOT_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "WEAKSPOT_CLOCK_FILE": str(shift),
        **{f"WEAKSPOT_DASHBOARD_{name.upper()}": value for name, value in chosen.items()},
    }


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address that the program announces."""
    until = time.monotonic() + _READY_S
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"listening on (\S+)", log.read_text(encoding="utf-8"))
        if found:
            return found.group(1)
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the dashboard did not start:\n{log.read_text(encoding='utf-8')}")
