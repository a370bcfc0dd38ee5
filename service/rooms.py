"""What the service is made of, put together once and handed to every route."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from core.clock import Clock
from core.errors import StoreAwayError
from service.door.bodies import BodyBudget
from service.door.keyring import Keyring
from service.log.idempotency import Idempotency
from service.log.keeping import Keeper
from service.log.log_store import LogStore
from service.log.prediction_log import PredictionLog
from service.log.replayer import Replayer
from service.log.spool import Spool
from service.model.batcher import AnyBatcher
from service.model.model_slot import ModelSlot
from service.model.predictor import Limits, Predictor
from service.model.reloader import Reloader
from service.self_check import SelfCheck
from service.shadow.shadow import Shadow
from service.telemetry import Metrics
from service.upkeep import Upkeep
from service.workers.engine_link import EngineLink


@dataclass(frozen=True, slots=True)
class Rooms:
    """The parts of one running service.

    Attributes:
        engine: The database.
        clock: The time.
        limits: What one request may ask for.
        bodies: Counts what all of them hold.
        max_images: Images in one batch request.
        folders: Where there must be room on the disk.
        slot: Holds the version that serves.
        batcher: Runs it.
        store: The log's way to Postgres.
        spool: Holds what the log cannot bring there; None where there is none.
        replayer: Brings it there later.
        log: Keeps what it said.
        idempotency: Answers a key once.
        keyring: Knows the callers; None where they need no keys.
        predictor: Takes an image through all of them.
        reloader: Follows the champion; None in a front, whose engine process does.
        upkeep: Looks after the log's partitions; likewise.
        self_check: Asks the version about its frozen images; likewise.
        shadow: Lets a challenger that waits answer a share of the traffic, too; None where the
            share is 0, and in all fronts but the first.
        keeper: Keeps pictures for people to label; None where none are kept.
        metrics: This process' own numbers.
        link: The way to the engine process; None where this process is everything.
    """

    engine: Engine
    clock: Clock
    limits: Limits
    bodies: BodyBudget
    max_images: int
    folders: tuple[Path, ...]
    slot: ModelSlot
    batcher: AnyBatcher
    store: LogStore
    spool: Spool | None
    replayer: Replayer
    log: PredictionLog
    idempotency: Idempotency
    keyring: Keyring | None
    predictor: Predictor
    reloader: Reloader | None
    upkeep: Upkeep | None
    self_check: SelfCheck | None
    shadow: Shadow | None
    keeper: Keeper | None
    metrics: Metrics
    link: EngineLink | None = None

    def require_store(self) -> None:
        """Refuse what needs Postgres while it is known to be away.

        It is not waited for: every waiting request holds a thread.

        Raises:
            StoreAwayError: It is.
        """
        if self.store.away:
            raise StoreAwayError(self.store.away)

    def open(self) -> None:
        """Start every thread; what serves is loaded before this returns, if it can be."""
        if self.keyring:
            self.keyring.start()
        self.batcher.start()
        self.store.start()
        if self.spool:
            found = (entry.kept for entry in self.spool.look_through() if entry.kept)
            self.idempotency.hear(found, "pinned")
        self.log.start()
        self.replayer.start()
        if self.reloader:
            self.reloader.look()
            self.reloader.start()
        if self.upkeep:
            self.upkeep.start()
        if self.self_check:
            self.self_check.start()
        if self.shadow:
            self.shadow.start()
        if self.keeper:
            self.keeper.start()

    def close(self) -> None:
        """End every thread, after what was accepted is answered and written."""
        if self.keeper:
            self.keeper.stop()
        if self.shadow:
            self.shadow.stop()
        if self.reloader:
            self.reloader.stop()
        if self.upkeep:
            self.upkeep.stop()
        if self.self_check:
            self.self_check.stop()
        self.predictor.stop()
        self.batcher.stop()
        self.log.stop()
        if self.keyring:
            self.keyring.stop()
        self.replayer.stop()
        if self.spool:
            self.spool.seal()
        self.store.stop()
