"""Lets a challenger that waits for gate images answer a share of the traffic, in idle moments.

While the champion serves and a challenger's exam against it goes on, a sampled share of the
answered pictures is kept for a moment, and shown to the challenger once nobody waits. Nothing that
happens here reaches an answer: pictures are taken after the prediction is logged, the buffer drops
what it has no room for, and the challenger computes in a process of the lowest priority.

Whether a picture belongs to the sample is said by its prediction's id; whether it is dropped, by
how busy the service was. Neither looks at an answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from core.bundle import files
from core.errors import BundleError, StoreError
from core.store import challengers, registry
from core.store.challengers import SecondOpinion
from core.store.database import transaction
from service.shadow.challenger import Challenger, GivenUpError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Engine

    from core.store.predictions import Prediction
    from core.store.registry import Version

_log = logging.getLogger(__name__)

Loss = Literal["full", "failed", "replaced"]
LOSSES: Final[tuple[Loss, ...]] = ("full", "failed", "replaced")

_LONGEST_PAUSE_S = 3600.0
_AT_ONCE = 16  # answers in one transaction
# More would say little more: a share that differs is known to a fifth of a point by then.
_ENOUGH = 100_000


@dataclass(frozen=True, slots=True)
class Habits:
    """How the shadow works.

    Attributes:
        share: Of the predictions, that the challenger is to answer, too; above 0.
        buffer: Pictures that wait for an idle moment; one more is dropped.
        rest_s: How long a picture waits at least, so that its answer has left.
        turn_s: Between two looks whether the service is idle, while pictures wait.
        look_s: Between two looks for a challenger.
    """

    share: float
    buffer: int = 32
    rest_s: float = 0.1
    turn_s: float = 0.02
    look_s: float = 10.0


@dataclass(frozen=True, slots=True)
class State:
    """How the shadow fares, in words for an operator."""

    ok: bool
    detail: str


@dataclass(slots=True, eq=False)
class _Match:
    """A challenger at work beside a champion."""

    challenger: Version
    champion: Version
    process: Challenger
    scored: int


@dataclass(frozen=True, slots=True)
class _Offered:
    match: _Match
    prediction: Prediction
    image: NDArray[np.uint8]
    since: float


@dataclass(slots=True)
class _Resting:
    """A challenger that could not be used, and when to try it again."""

    pair: tuple[str, str] = ("", "")
    times: int = 0
    until: float = 0.0

    def add(self, pair: tuple[str, str]) -> None:
        self.times = self.times + 1 if pair == self.pair else 1
        self.pair = pair
        self.until = time.monotonic() + min(_LONGEST_PAUSE_S, 30 * 2.0**self.times)

    def covers(self, pair: tuple[str, str]) -> bool:
        return pair == self.pair and time.monotonic() < self.until


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what the shadow does."""

    scored: Callable[[int], None] = field(default=lambda _: None)
    dropped: Callable[[Loss, int], None] = field(default=lambda _why, _n: None)


class Shadow:
    """The thread that shows pictures to the challenger.

    Args:
        engine: Where challengers are named and their answers kept.
        is_idle: Says whether nobody waits for a model call, and one could be made at once.
        habits: How it works.
        told: Told what was scored and dropped.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        is_idle: Callable[[], bool],
        habits: Habits,
        told: Told | None = None,
    ) -> None:
        self._engine = engine
        self._is_idle = is_idle
        self._habits = habits
        self._told = told or Told()
        self._match: _Match | None = None
        self._resting = _Resting()
        self._waiting: deque[_Offered] = deque()
        self.state = State(True, "no challenger waits")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the challenger's process; what waits is let go."""
        self._stopping.set()
        self._thread.join()

    @property
    def process(self) -> int:
        """Number of the challenger's process; 0 while there is none."""
        match = self._match
        return match.process.pid if match else 0

    @property
    def waiting(self) -> int:
        """How many pictures wait for an idle moment."""
        return len(self._waiting)

    def offer(self, prediction: Prediction, image: NDArray[np.uint8]) -> None:
        """Take a picture that was answered, if it is sampled and there is room; never waits.

        Args:
            prediction: What was answered.
            image: uint8 (H, W, 3), as the model saw it.
        """
        match = self._match
        if match is None or prediction.version != match.champion.version:
            return
        if match.scored >= _ENOUGH or not challengers.is_sampled(prediction.id, self._habits.share):
            return
        if len(self._waiting) >= self._habits.buffer:
            self._told.dropped("full", 1)
            return
        self._waiting.append(_Offered(match, prediction, image, time.monotonic()))

    def look(self) -> None:
        """Take up the challenger that waits, and let go of one that does not any more.

        Raises:
            StoreError: Postgres is away.
            GivenUpError: The service stops.
        """
        with transaction(self._engine) as connection:
            champion = registry.champion(connection)
            found = challengers.waiting(connection, champion.version) if champion else None
        pair = (champion.version, found.version) if champion and found else None
        here = self._match
        if here and pair != (here.champion.version, here.challenger.version):
            self._let_go(here, "replaced")
            _log.info("%s is not scored beside any more", here.challenger.version)
        if champion is None or found is None or pair is None:
            self.state = State(True, "no challenger waits")
        elif self._match is None and not self._resting.covers(pair):
            self._take_up(champion, found)

    def score(self) -> int:
        """Show what waits to the challenger for as long as nobody else waits; return how many.

        Raises:
            StoreError: Postgres refused the answers, or is away.
            GivenUpError: The service stops.
        """
        said: list[SecondOpinion] = []
        while len(said) < _AT_ONCE and (offered := self._next()):
            match = offered.match
            if match is not self._match:  # let go of while a request was still being answered
                self._told.dropped("replaced", 1)
                continue
            try:
                label, probability = match.process.ask(offered.image)
            except BundleError as error:
                self._told.dropped("failed", 1)
                self._give_up(match, error)
                break
            said.append(_opinion(offered, label, probability))
        if said:
            self._keep(said)
        return len(said)

    def _next(self) -> _Offered | None:
        """Return the picture that waits longest, if its time has come and nobody else waits."""
        if not self._waiting or self._stopping.is_set() or not self._is_idle():
            return None
        if time.monotonic() < self._waiting[0].since + self._habits.rest_s:
            return None
        return self._waiting.popleft()

    def _keep(self, said: list[SecondOpinion]) -> None:
        try:
            with transaction(self._engine) as connection:
                challengers.write(connection, said)
        except StoreError:
            self._told.dropped("failed", len(said))
            raise
        self._told.scored(len(said))
        if self._match:
            self._match.scored += len(said)

    def _take_up(self, champion: Version, found: Version) -> None:
        pair = (champion.version, found.version)
        begun = time.monotonic()
        with transaction(self._engine) as connection:
            scored = challengers.count(connection, found.version, champion.version)
        try:
            _require_alike(champion, found)
            process = Challenger(Path(found.uri), found.digest, stopping=self._stopping)
        except BundleError as error:
            self._refuse(pair, error)
            return
        self._resting = _Resting()
        self._match = _Match(found, champion, process, scored)
        self.state = State(True, f"{found.version} is scored beside {champion.version}")
        _log.info(
            "%s waits for gate images and is scored beside %s on %g of the predictions, "
            "loaded in %.1f s",
            found.version,
            champion.version,
            self._habits.share,
            time.monotonic() - begun,
        )

    def _give_up(self, match: _Match, error: BundleError) -> None:
        self._let_go(match, "failed")
        self._refuse((match.champion.version, match.challenger.version), error)

    def _refuse(self, pair: tuple[str, str], error: BundleError) -> None:
        champion, challenger = pair
        self._resting.add(pair)
        self.state = State(False, f"{challenger} cannot be scored beside {champion}: {error}")
        # Said at its first time and then at growing intervals.
        _log.error("%s; %s serves as before", self.state.detail, champion)

    def _let_go(self, match: _Match, why: Loss) -> None:
        self._match = None
        match.process.close()
        # In one go: a request that is answered right now may still offer its picture.
        lost = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if lost:
            self._told.dropped(why, len(lost))

    def _work(self) -> None:
        next_look = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + self._habits.look_s
                    self.look()
                self.score()
            except GivenUpError:
                break
            except StoreError as error:
                _log.warning("no challenger is scored, for want of the database: %s", error)
                self._stopping.wait(self._habits.look_s)
            except Exception:
                _log.exception("the challenger could not be scored")
                self._stopping.wait(self._habits.look_s)
            self._stopping.wait(self._habits.turn_s if self._waiting else self._habits.rest_s)
        if self._match:
            self._let_go(self._match, "replaced")


def _opinion(offered: _Offered, label: str, probability: float) -> SecondOpinion:
    prediction = offered.prediction
    return SecondOpinion(
        version=offered.match.challenger.version,
        prediction=prediction.id,
        at=prediction.at,
        champion=prediction.version,
        answered=prediction.label,
        label=label,
        probability=probability,
    )


def _require_alike(champion: Version, found: Version) -> None:
    """Refuse a challenger that takes other pictures: it could not be shown those of its champion.

    Raises:
        BundleError: It does, or a manifest cannot be read.
    """
    theirs, own = (files.read_manifest(Path(each.uri)).recipe for each in (champion, found))
    if theirs != own:
        raise BundleError(
            f"it takes {own.height} x {own.width} pictures by another recipe than "
            f"{champion.version} ({theirs.height} x {theirs.width}); only the gate compares them"
        )
