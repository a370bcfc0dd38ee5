"""Asks the version that serves about its frozen images: when it is loaded, and once a day.

The monitor examines by an engine of its own; what callers get is computed by this service's. When
that gives other bits than on the day the version was first loaded here, something under it has
changed, and an alert says so. The service raises it; that it is over is the monitor's to say.

Answers come first. Each image is a call of its own, made by a thread of the lowest priority, and
none is begun while images of callers wait.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import suppress
from datetime import date

from sqlalchemy import Engine

from core import frozen_set, telling
from core.bundle.runner import Runner
from core.clock import Clock
from core.errors import WeakspotError
from core.frozen_set import Asked, Who
from core.store.database import transaction
from core.store.sentinel_checks import Check
from core.telling import News
from service.model.batcher import Batcher
from service.model.model_slot import ModelSlot

_log = logging.getLogger(__name__)

_LOOK_S = 1.0
_AGAIN_S = 60.0  # after a failure
_TURN_S = 0.02  # between two looks at the queue
# A service that is never idle is asked nevertheless, an image now and then.
_LONGEST_TURN_S = 5.0
_LOWEST_PRIORITY = 19


class SelfCheck:
    """The thread that asks.

    Args:
        engine: Where answers are written down.
        slot: Holds what serves.
        batcher: Whose images come first.
        clock: Says which day it is.
        host: Name of this machine, where checks are told apart by it.

    Attributes:
        last: What was found last; None before.
    """

    def __init__(
        self, engine: Engine, slot: ModelSlot, batcher: Batcher, *, clock: Clock, host: str
    ) -> None:
        self._engine = engine
        self._slot = slot
        self._batcher = batcher
        self._clock = clock
        self._name = f"service on {host}"
        self.last: Check | None = None
        self._done: tuple[str, date] | None = None
        self._unwritten: dict[tuple[str, date], Asked] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="self-check", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the image that it is at."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> Check | None:
        """Ask what serves, unless it was asked today; None then, and when it was replaced.

        Raises:
            StoreError: Postgres is away.
        """
        serving = self._slot.peek()
        now = self._clock.now()
        if serving is None or self._done == (serving.digest, now.date()):
            return None
        runner, due = serving.runner, (serving.digest, now.date())
        # Only a front serves without a runner of its own, and fronts check nothing.
        assert isinstance(runner, Runner)  # noqa: S101
        if due not in self._unwritten:
            asked = self._ask(runner, Who(self._name, now.date(), now))
            # Kept until it is written, so that nothing is asked twice while Postgres is away.
            self._unwritten = {due: asked} if asked else {}
        if due not in self._unwritten:
            return None
        with transaction(self._engine) as connection:
            check = frozen_set.settle(connection, self._unwritten[due])
            raised = frozen_set.raise_alerts(connection, check.version, now=now)
            for alert in raised:
                telling.tell(connection, [News("opened", alert)], now=now)
        self._done, self._unwritten, self.last = due, {}, check
        if not check.is_sound:
            _log.error("%s: %s", check.version, check.detail)
        for alert in raised:
            _log.error("alert %d: %s", alert.id, alert.title)
        return check

    def _ask(self, runner: Runner, who: Who) -> Asked | None:
        """Return what a version gives; None where it was replaced or the service stops."""
        try:
            return frozen_set.ask(
                runner, who, one_by_one=True, before_each=lambda: self._give_way(runner)
            )
        except _GivenUpError:
            return None

    def _give_way(self, runner: Runner) -> None:
        until = time.monotonic() + _LONGEST_TURN_S
        while len(self._batcher) and time.monotonic() < until:
            if self._stopping.wait(_TURN_S):
                break
        serving = self._slot.peek()
        if self._stopping.is_set() or serving is None or serving.runner is not runner:
            raise _GivenUpError

    def _work(self) -> None:
        _take_the_lowest_priority()
        while not self._stopping.wait(_LOOK_S):
            try:
                self.look()
            except WeakspotError as error:
                _log.warning("the frozen images could not be asked about: %s", error)
                self._stopping.wait(_AGAIN_S)
            except Exception:
                _log.exception("the frozen images could not be asked about")
                self._stopping.wait(_AGAIN_S)


class _GivenUpError(Exception):
    """The version was replaced, or the service stops."""


def _take_the_lowest_priority() -> None:
    """Let every other thread compute first, where threads have priorities of their own."""
    # Elsewhere than on Linux this would slow down the whole process.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
