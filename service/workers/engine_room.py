"""Where the model is: what follows the champion, what runs it, and what keeps the log's days.

There is one in a service, whatever the number of its processes: in the process that is everything,
or in the engine process behind its fronts.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.model.batcher import Batcher
from service.model.model_slot import ModelSlot
from service.model.reloader import Reloader
from service.self_check import SelfCheck
from service.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class EngineRoom:
    """The parts.

    Attributes:
        slot: Holds the version that serves.
        batcher: Runs it.
        reloader: Follows the champion.
        upkeep: Looks after the log's partitions.
        self_check: Asks the version about its frozen images every day.
    """

    slot: ModelSlot
    batcher: Batcher
    reloader: Reloader
    upkeep: Upkeep
    self_check: SelfCheck
