"""What the service is made of, put together once and handed to every route."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from core.clock import Clock
from service.batcher import Batcher
from service.model_slot import ModelSlot
from service.prediction_log import PredictionLog
from service.predictor import Limits, Predictor
from service.reloader import Reloader
from service.telemetry import Metrics
from service.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Rooms:
    """The parts of one running service.

    Attributes:
        engine: The database.
        clock: The time.
        limits: What one request may ask for.
        max_images: Images in one batch request.
        folders: Where there must be room on the disk.
        slot: Holds the version that serves.
        batcher: Runs it.
        log: Keeps what it said.
        predictor: Takes an image through all of them.
        reloader: Follows the champion.
        upkeep: Looks after the log's partitions.
        metrics: The service's own numbers.
    """

    engine: Engine
    clock: Clock
    limits: Limits
    max_images: int
    folders: tuple[Path, ...]
    slot: ModelSlot
    batcher: Batcher
    log: PredictionLog
    predictor: Predictor
    reloader: Reloader
    upkeep: Upkeep
    metrics: Metrics

    def open(self) -> None:
        """Start every thread; what serves is loaded before this returns, if it can be."""
        self.batcher.start()
        self.log.start()
        self.reloader.look()
        self.reloader.start()
        self.upkeep.start()

    def close(self) -> None:
        """End every thread, after what was accepted is answered and written."""
        self.reloader.stop()
        self.upkeep.stop()
        self.predictor.stop()
        self.batcher.stop()
        self.log.stop()
