"""A Ray cluster: the one that RAY_ADDRESS names, or one on this machine for as long as it is used.

One that is started here listens on loopback addresses alone, asks whoever comes for a secret, has
no dashboard, tells nobody of its use, and ends with this process, whatever ends that. What runs on
the cluster tells this process how far it is through a mailbox: see `listening`.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from core.errors import TrainingError, UsageError, WeakspotError

Hear = Callable[..., None]

_ADDRESS = "RAY_ADDRESS"
_OBJECT_STORE_BYTES = 100 * 2**20  # next to nothing is kept there, and Ray takes no less than 75
_SECRET = secrets.token_hex(32)  # one a process, for Ray reads it once
_ANSWER_S = 5.0
_END_S = 30.0
_LOOK_S = 0.2
_QUIET_S = 0.2  # between two reports of how far a stage is


@dataclass(frozen=True, slots=True)
class Size:
    """What a cluster has, whoever uses it just now.

    Attributes:
        cpus: Of each machine, the largest first.
        gpus: Of all machines together.
    """

    cpus: tuple[int, ...]
    gpus: int


@contextmanager
def joined(processes: int) -> Generator[Size]:
    """Give a cluster: the one already joined, the one of RAY_ADDRESS, or one started here.

    Args:
        processes: How many shall find room on one that is started here, however many cores it has.

    Raises:
        UsageError: Ray is not installed, or nothing answers at RAY_ADDRESS.
        TrainingError: Ray could not be started.
    """
    address = os.environ.get(_ADDRESS, "").removeprefix("local")
    with _environment(_JOINING if address else _ALONE):
        _require_ray()
        _require_answer(address)
        import ray

        if ray.is_initialized():
            yield _size(ray)
            return
        with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
            here = {} if address else _started_here(processes, folder)
            _init(ray, address, here)
            started = _processes(ray)
            try:
                yield _size(ray)
            finally:
                ray.shutdown()
                for process in started:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_END_S)


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells the process that listens; it may be sent anywhere on the cluster."""

    mailbox: Any

    def __call__(self, *news: Any) -> None:
        """Send the news off, and wait for nobody."""
        self.mailbox.put.remote(news)


@contextmanager
def listening(hear: Hear) -> Generator[Teller]:
    """Call `hear` with all that is told on the cluster, from a thread, for as long as the block.

    Raises:
        BaseException: What `hear` raised, at the block's end, where nothing else went wrong.
    """
    import ray

    remote: Any = ray.remote
    mailbox = remote(num_cpus=0)(_Mailbox).remote()
    over, failures = threading.Event(), list[BaseException]()

    def listen() -> None:
        while True:
            is_last = over.wait(_LOOK_S)
            try:
                for news in ray.get(mailbox.take.remote()):
                    hear(*news)
            except BaseException as error:  # a thread has nobody to raise it to
                failures.append(error)
                return
            if is_last:
                return

    thread = threading.Thread(target=listen, name="ray-listener", daemon=True)
    thread.start()
    try:
        yield Teller(mailbox)
    except BaseException:
        over.set()
        raise
    over.set()
    thread.join()
    if failures:
        raise failures[0]


@dataclass(slots=True)
class Reports:
    """Tells how far each stage is, a few times a second at most."""

    tell: Teller
    last: dict[str, float] = field(default_factory=dict)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell it, unless the same stage was told of a moment ago."""
        now = time.monotonic()
        if 0 < done < total and now - self.last.get(stage, 0.0) < _QUIET_S:
            return
        self.last[stage] = now
        self.tell("progress", (stage, done, total))


def portable(error: WeakspotError) -> WeakspotError:
    """Return the error, or its sentence alone where it is made of more and would not arrive."""
    takes_more = type(error).__init__ is not WeakspotError.__init__
    return TrainingError(str(error)) if takes_more else error


def said(error: BaseException) -> str:
    """Return what Ray says of a failure, without the page of trace that comes with it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class _Mailbox:
    """What was told and not heard yet."""

    def __init__(self) -> None:
        self._news: list[tuple[Any, ...]] = []

    def put(self, news: tuple[Any, ...]) -> None:
        self._news.append(news)

    def take(self) -> list[tuple[Any, ...]]:
        taken, self._news = self._news, []
        return taken


_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_JOINING = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    # On a machine that is busy its own processes take long, and so do torch and its kin.
    "RAY_NUM_REDIS_GET_RETRIES": "120",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
}
_ALONE = _JOINING | {
    # By this switch, which is named after where it is the rule, Ray keeps to loopback addresses.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": _SECRET,
    "GLOO_SOCKET_IFNAME": _LOOPBACK,
}


def _require_ray() -> None:
    try:
        import ray
        import ray.train  # noqa: F401 - it is in the extra as well
    except ImportError as error:
        raise UsageError("Ray needs packages more: pip install 'weakspot[ray]'") from error


def _require_answer(address: str) -> None:
    """Ask first whether anything answers there: Ray itself would ask for many minutes.

    Raises:
        UsageError: Nothing does.
    """
    if not address or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise UsageError(f"{_ADDRESS}={address} is no address such as 10.0.0.1:6379, nor auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, why: Exception) -> UsageError:
    return UsageError(
        f"no Ray cluster answers at {_ADDRESS}={address} ({said(why)}); start one with: "
        "ray start --head, or take the variable away, and one is started here"
    )


def _started_here(processes: int, folder: str) -> dict[str, Any]:
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return {
        "num_cpus": max(cores, processes),
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "_temp_dir": folder,
    }


def _init(ray: Any, address: str, here: dict[str, Any]) -> None:
    # Whoever imported Ray before us has fixed this; the variable reaches the processes it starts.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = bool(address)
    try:
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **here
        )
    except ConnectionError as error:
        raise _no_cluster(address, error) from error
    except Exception as error:  # Ray has no error of its own for this
        raise TrainingError(f"Ray could not be started: {said(error)}") from error


def _processes(ray: Any) -> list[subprocess.Popen[bytes]]:
    """Return the processes of a cluster that was started here; Ray waits a second for their end."""
    node = getattr(ray._private.worker, "_global_node", None)
    kinds: dict[str, list[Any]] = getattr(node, "all_processes", {})
    return [each.process for some in kinds.values() for each in some]


def _size(ray: Any) -> Size:
    machines = [each["Resources"] for each in ray.nodes() if each["Alive"]]
    cpus = sorted((int(each.get("CPU", 0)) for each in machines), reverse=True)
    return Size(tuple(cpus), int(sum(each.get("GPU", 0) for each in machines)))


@contextmanager
def _environment(wanted: dict[str, str]) -> Generator[None]:
    """Set variables for as long as the block; Ray's processes inherit them."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
