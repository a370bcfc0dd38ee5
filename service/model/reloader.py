"""Follows the champion: hears of a promotion, loads the version, and lets it serve.

A notice from Postgres makes it quick; looking every few seconds makes it certain. What cannot
be loaded never replaces what serves: the failure is logged, kept in the `loads` table, told of
(core.refused_loads), and tried again at growing intervals.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, exc

from core import refused_loads
from core.bundle import engines, files
from core.bundle.runner import Runner
from core.bundle.sessions import Threads, buckets
from core.bundle.trial import Measurement, Task, try_out
from core.clock import Clock
from core.errors import BundleError, StoreError, WeakspotError
from core.store import registry
from core.store.database import transaction
from core.store.registry import Load, Version
from service.model.model_slot import ModelSlot, Serving

_log = logging.getLogger(__name__)

_TICK_S = 0.25  # how soon a stop is noticed
_LONGEST_PAUSE_S = 60.0
_TOLD_AGAIN_S = refused_loads.AGAIN.total_seconds()


@dataclass(frozen=True, slots=True)
class Loading:
    """How versions are loaded here.

    Attributes:
        instance: Name of this service in the `loads` table.
        task: How a bundle is tried out before it may serve.
        look_s: Seconds between two looks at the champion.
    """

    instance: str
    task: Task
    look_s: float


class Reloader:
    """Keeps a slot filled with the champion.

    Args:
        engine: Where the champion is named.
        slot: To be filled.
        loading: How versions are loaded here.
        clock: Gives loads their time.
        on_load: Told of every attempt; what serves from now on, or None for a failed one.
    """

    def __init__(
        self,
        engine: Engine,
        slot: ModelSlot,
        *,
        loading: Loading,
        clock: Clock,
        on_load: Callable[[Serving | None], None] | None = None,
    ) -> None:
        self._engine = engine
        self._slot = slot
        self._loading = loading
        self._clock = clock
        self._on_load = on_load
        self._stopping = threading.Event()
        self._failed = _Failure()
        self._away = False
        self._thread = threading.Thread(target=self._work, name="reloader", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Load the champion if it is not what serves; never raises."""
        try:
            with transaction(self._engine) as connection:
                champion = registry.champion(connection)
            self._found_database()
            if champion is None:
                self._slot.explain("there is no model yet; run: weakspot train")
            elif self._is_news(champion):
                self._load(champion)
            elif self._failed.is_of_another(champion.digest):
                self._give_up(champion)
        except StoreError as error:
            self._lost_database(error)
        except Exception:
            # A thread that ends here would leave this service on an old version for ever.
            _log.exception("looking for the champion failed")

    def _is_news(self, champion: Version) -> bool:
        serving = self._slot.peek()
        if serving is not None and serving.digest == champion.digest:
            return False
        return not self._failed.is_resting(champion.digest)

    def _load(self, version: Version) -> None:
        begun = time.monotonic()
        try:
            serving = load(version, loading=self._loading, clock=self._clock)
        except Exception as error:
            # Whatever is wrong with a bundle, the version that serves goes on serving.
            self._refuse(version, error, time.monotonic() - begun)
            return
        seconds = time.monotonic() - begun
        self._slot.swap(serving)
        self._failed = _Failure()
        _log.info(
            "%s serves now, by %s, loaded in %.1f s",
            version.version,
            _describe(serving.trial.chosen),
            seconds,
        )
        for other in serving.trial.measurements:
            if other.passed_over:
                _log.info("passed over: %s, %s", _describe(other), other.passed_over)
        if self._on_load:
            self._on_load(serving)
        self._record(version, ok=True, detail=f"by {serving.runner.engine}", seconds=seconds)

    def _refuse(self, version: Version, error: Exception, seconds: float) -> None:
        known = isinstance(error, WeakspotError)
        serving = self._slot.peek()
        _log.error(
            "champion %s cannot be loaded, %s: %s",
            version.version,
            f"{serving.runner.version} goes on serving" if serving else "so nothing serves",
            error,
            exc_info=None if known else error,
        )
        self._slot.explain(
            f"the champion {version.version} cannot be loaded; see the service's log, or: "
            f"weakspot model verify {version.version}"
        )
        is_to_be_told = self._failed.add(version.digest)
        if self._on_load:
            self._on_load(None)
        if is_to_be_told:
            self._record(version, ok=False, detail=str(error), seconds=seconds)

    def _record(self, version: Version, *, ok: bool, detail: str, seconds: float) -> None:
        now, instance = self._clock.now(), self._loading.instance
        attempt = Load(version.version, instance, now, ok, detail, seconds)
        try:
            with transaction(self._engine) as connection:
                registry.record_load(connection, attempt)
                refused_loads.follow(connection, now=now)
        except StoreError as error:
            _log.warning("the load of %s could not be recorded: %s", version.version, error)

    def _give_up(self, champion: Version) -> None:
        """Forget a version that could not be loaded: what serves is the champion again."""
        with transaction(self._engine) as connection:
            refused_loads.follow(connection, now=self._clock.now())
        self._failed = _Failure()
        _log.info("%s is the champion again, and serves", champion.version)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (exc.DBAPIError, exc.TimeoutError, OSError) as error:
                self._lost_database(error)
                self._stopping.wait(min(self._loading.look_s, 1.0))
            except Exception:
                _log.exception("listening for promotions failed")
                self._stopping.wait(1.0)

    def _listen(self) -> None:
        """Look at once and at every notice, and every `look_s` without one."""
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            # Closed at the end instead of going back to the pool, still listening.
            connection.detach()
            connection.execute(sa.text(f"LISTEN {registry.CHANNEL}"))
            while not self._stopping.is_set():
                self.look()
                self._wait_for_notice(connection)

    def _wait_for_notice(self, connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        deadline = time.monotonic() + self._loading.look_s
        while not self._stopping.is_set() and time.monotonic() < deadline:
            wait_s = min(_TICK_S, self._loading.look_s)
            try:
                if list(raw.notifies(timeout=wait_s, stop_after=1)):
                    return
            except psycopg.Error as error:
                raise OSError(str(error)) from error

    def _lost_database(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            serving = self._slot.peek()
            what = f"{serving.runner.version} goes on serving" if serving else "nothing serves yet"
            _log.warning("the database is away, %s: %s", what, str(error).splitlines()[0])
        self._slot.explain("the database is away and no model is loaded yet; try again")

    def _found_database(self) -> None:
        if self._away:
            self._away = False
            _log.info("the database is back")


class _Failure:
    """A champion that could not be loaded, and when to try it again."""

    def __init__(self) -> None:
        self._digest = ""
        self._times = 0
        self._until = 0.0
        self._told_at = 0.0

    def is_of_another(self, digest: str) -> bool:
        return self._digest not in {"", digest}

    def is_resting(self, digest: str) -> bool:
        return digest == self._digest and time.monotonic() < self._until

    def add(self, digest: str) -> bool:
        """Note a failure; say whether it is this bundle's first, or the first for some minutes."""
        now = time.monotonic()
        self._times = self._times + 1 if digest == self._digest else 1
        self._digest = digest
        self._until = now + min(_LONGEST_PAUSE_S, 2.0**self._times)
        is_to_be_told = self._times == 1 or now - self._told_at >= _TOLD_AGAIN_S
        self._told_at = now if is_to_be_told else self._told_at
        return is_to_be_told


def load(version: Version, *, loading: Loading, clock: Clock) -> Serving:
    """Return a version verified, tried out in a child process, loaded and warm.

    Raises:
        BundleError: It is not what was registered, or cannot be used.
    """
    folder = Path(version.uri)
    digest = files.digest(folder)
    if digest != version.digest:
        raise BundleError(
            f"{folder} is not the bundle registered as {version.version}: its digest begins with "
            f"{digest[:12]}, the registered one with {version.digest[:12]}"
        )
    trial = try_out(folder, loading.task)
    # One thread a call: the batcher makes as many calls at a time as there are cores.
    largest = loading.task.max_batch_size
    threads = Threads(1, loading.task.callers, buckets(largest))
    runner = Runner.open(folder, loading.task.device, threads, engine=trial.engine, tried=True)
    if (runner.version, list(runner.labels)) != (version.version, version.labels):
        raise BundleError(f"{folder} calls itself {runner.version}, not {version.version}")
    shape = (runner.recipe.height, runner.recipe.width, 3)
    # All callers at once, because a call beside others is prepared apart from one alone.
    with ThreadPoolExecutor(threads.callers) as callers:
        for n in engines.batches(runner.engine, largest):
            nothing = np.zeros((n, *shape), dtype=np.uint8)
            list(callers.map(runner.run, [nothing] * threads.callers))
    return Serving(runner, trial, version.name, version.digest, clock.now())


def _describe(found: Measurement) -> str:
    if found.images_per_s is None:
        return found.engine
    return (
        f"{found.engine} ({found.images_per_s:.0f} images/s, logits within {found.deviation:.1g})"
    )
