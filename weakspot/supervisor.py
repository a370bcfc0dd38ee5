"""Starts the programs of one machine, restarts what dies, and stops all of them together.

Every program is a child process in a session of its own, so that Ctrl-C reaches this
process alone and the children are asked to stop in order. A child whose supervisor is
killed is told by the kernel to stop as well (Linux; elsewhere it goes on).
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core.errors import WeakspotError

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LONGEST_PAUSE_S = 30.0
_CALM_S = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """One program to be kept running.

    Attributes:
        name: What people call it.
        arguments: What follows `weakspot` on the command line.
        announces: Whether it prints `{"url": ...}` once it listens.
    """

    name: str
    arguments: Sequence[str]
    announces: bool = False


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[str]
    started: float
    url: str | None = None
    listening: threading.Event = field(default_factory=threading.Event)
    reader: threading.Thread | None = None


class Supervisor:
    """Keeps programs running until told to stop.

    Use it as a context manager: leaving the block stops every child, whatever happened in it.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        logs: Path | None = None,
        stop_s: float = 30.0,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            environment: Environment of every child.
            logs: Folder for one log file a program; None leaves stderr as it is.
            stop_s: After so long a child that was asked to stop is killed.
        """
        self._environment = dict(environment)
        self._logs = logs
        self._stop_s = stop_s
        self._children: dict[str, _Child] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Supervisor:
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, program: Program, *, wait_s: float = 60.0) -> str | None:
        """Start one program, and return its URL once it listens (None when it announces none).

        Raises:
            WeakspotError: It ended, or did not listen within `wait_s` seconds.
        """
        with self._lock:
            child = self._children[program.name] = self._spawn(program)
        if not program.announces:
            return None
        deadline = time.monotonic() + wait_s
        while not child.listening.wait(0.1):
            if child.process.poll() is not None:
                raise WeakspotError(
                    f"{program.name} ended with exit code {child.process.returncode} before it "
                    f"listened; its log says why{self._log_hint(program)}"
                )
            if time.monotonic() > deadline:
                raise WeakspotError(f"{program.name} did not listen within {wait_s:.0f} s")
        return child.url

    def pid(self, name: str) -> int:
        """Return the process id of a running program."""
        with self._lock:
            return self._children[name].process.pid

    def stop(self) -> None:
        """Ask every child to stop, last started first, and kill what does not."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join(timeout=5)
        with self._lock:
            children = list(reversed(self._children.values()))
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + self._stop_s
        for child in children:
            try:
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("%s did not stop in time; killed", child.program.name)
                child.process.kill()
                child.process.wait()
            if child.reader is not None:
                child.reader.join(timeout=5)

    def _spawn(self, program: Program) -> _Child:
        log: IO[str] | None = None
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
            log = (self._logs / f"{program.name}.log").open("a", encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "weakspot", *program.arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program.announces else log,
            stderr=log,
            text=True,
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - only async-signal-safe prctl is called
        )
        if log is not None:
            log.close()
        child = _Child(program, process, time.monotonic())
        if program.announces:
            child.reader = threading.Thread(target=_read_url, args=(child,), daemon=True)
            child.reader.start()
        return child

    def _watch(self) -> None:
        pauses: dict[str, float] = {}
        while not self._stopping.wait(0.5):
            with self._lock:
                dead = [c for c in self._children.values() if c.process.poll() is not None]
            for child in dead:
                name = child.program.name
                calm = time.monotonic() - child.started > _CALM_S
                pauses[name] = pause = (
                    1.0 if calm else min(2 * pauses.get(name, 0.5), _LONGEST_PAUSE_S)
                )
                logger.warning(
                    "%s ended with exit code %s; started again in %.0f s",
                    name,
                    child.process.returncode,
                    pause,
                )
                if self._stopping.wait(pause):
                    return
                with self._lock:
                    self._children[name] = self._spawn(_at_same_port(child))

    def _log_hint(self, program: Program) -> str:
        return f": {self._logs / program.name}.log" if self._logs else ""


def run_until_signal(on_stop: Callable[[], None] | None = None) -> None:
    """Wait for Ctrl-C or SIGTERM, then call `on_stop`."""
    stop = threading.Event()
    previous = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        while not stop.wait(0.5):
            pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if on_stop is not None:
        on_stop()


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with `changes`, for children that must not phone home."""
    return {**os.environ, "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **changes}


def _read_url(child: _Child) -> None:
    assert child.process.stdout is not None  # noqa: S101 - opened with PIPE just above
    with child.process.stdout as lines:
        for line in lines:
            if child.url is None and line.startswith("{"):
                child.url = str(json.loads(line).get("url"))
                child.listening.set()


def _at_same_port(child: _Child) -> Program:
    # Whoever was told the address must find the restarted program there.
    if child.url is None or "--port" not in child.program.arguments:
        return child.program
    arguments = list(child.program.arguments)
    arguments[arguments.index("--port") + 1] = child.url.rsplit(":", 1)[1].strip("/")
    return Program(child.program.name, arguments, child.program.announces)


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
