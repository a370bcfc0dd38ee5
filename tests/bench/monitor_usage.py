"""Memory and processor time of a program, its children and its Postgres, watched from within."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class _Usage:
    """Bytes of one moment; and processor time of each process since it began, in ticks."""

    ours: int = 0
    children: int = 0
    postgres: int = 0
    shared: int = 0
    ticks: dict[str, int] = field(default_factory=dict)


class Peak:
    """Watches what we, our children and Postgres hold in memory, five times a second."""

    def __init__(self) -> None:
        self.parts: dict[str, int] = {}
        self.ticks: dict[str, int] = {}
        self._first = _usage().ticks
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def processor_s(self) -> float:
        """Seconds of processor time since the start: what counts on a machine that is shared."""
        spent = sum(ticks - self._first.get(process, 0) for process, ticks in self.ticks.items())
        return spent / os.sysconf("SC_CLK_TCK")

    def _watch(self) -> None:
        most = 0
        while not self._stop.wait(0.2):
            now = _usage()
            self.ticks |= now.ticks
            total = now.ours + now.children + now.postgres + now.shared
            if total > most:
                most = total
                self.parts = {
                    "total": total,
                    "monitor": now.ours,
                    "evidently": now.children,
                    "postgres": now.postgres,
                    "postgres_shared_buffers": now.shared,
                }


def _usage() -> _Usage:
    found = _Usage()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if "RssAnon" not in lines:
            continue
        anonymous = 1024 * int(lines["RssAnon"].split()[0])
        before = found.ours + found.children + found.postgres
        if int(status.parent.name) == os.getpid():
            found.ours += anonymous
        elif int(lines["PPid"]) == os.getpid() and "python" in lines["Name"]:
            found.children += anonymous
        elif lines["Name"].strip() == "postgres" and _is_this_runs(status.parent):
            found.postgres += anonymous
            found.shared = max(found.shared, 1024 * int(lines["RssShmem"].split()[0]))
        if found.ours + found.children + found.postgres > before:
            found.ticks[status.parent.name] = _ticks(status.parent)
    return found


def _ticks(process: Path) -> int:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _is_this_runs(process: Path) -> bool:
    try:
        return "weakspot-bench-" in str((process / "cwd").readlink())
    except OSError:
        return False
