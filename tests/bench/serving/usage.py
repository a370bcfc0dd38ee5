"""What a server costs, read from /proc: memory and processor time of a process and its children."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """Of one server, Postgres apart.

    Attributes:
        rss_mb: Resident memory of all its processes; what they share counts in each.
        pss_mb: The same with shared pages counted once.
        postgres_mb: Proportional memory of its Postgres.
        cpu_s: Processor time so far, Postgres included.
    """

    rss_mb: float
    pss_mb: float
    postgres_mb: float
    cpu_s: float


def usage_of(pid: int) -> Usage:
    """Return what a process and all that it started use now."""
    rss = pss = postgres = cpu = 0.0
    for each in _tree(pid):
        try:
            name, fields = _stat(each)
            share = _pss_mb(each)
        except (OSError, ValueError):  # it just ended
            continue
        cpu += sum(map(int, fields[11:15])) / _TICKS  # its own time and its dead children's
        if name.startswith("postgres"):
            postgres += share
        else:
            rss += int(fields[21]) * _PAGE / 1e6
            pss += share
    return Usage(rss, pss, postgres, cpu)


def _tree(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                _, fields = _stat(int(entry.name))
            except (OSError, ValueError):
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        yield (each := waiting.pop())
        waiting += children.get(each, [])


def _stat(pid: int) -> tuple[str, list[str]]:
    """Return a process's name, and the fields of its stat from the state on."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1e3
    return 0.0
