"""The small experiment that comes before the large one: backbones on the same few images.

Each is trained on one frozen snapshot and exported, and nothing is registered. What is told:
accuracy on the validation images (the test images are the gate's), the time of a pass, the
latency of the exported graph on this machine, and the size.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sqlalchemy import Engine

from core.clock import Clock
from core.errors import TrainingError, UsageError, WeakspotError
from core.images.preprocess import Recipe
from trainer.candidates import Sources, frozen, run_name, trained
from trainer.config import RunConfig
from trainer.fitting.fit import Epoch, use_all_cores
from trainer.images.dataset import Progress
from trainer.images.snapshot import Snapshot
from trainer.networks import export
from trainer.networks.architectures import Network
from trainer.run_folder import run_folder

_logger = logging.getLogger(__name__)

_WARM_UP_RUNS = 5
_TIMED_RUNS = 50
_MOST_S = 5.0


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of one backbone.

    Attributes:
        backbone: Its name.
        accuracy: Share of the validation images it got right, after its best pass.
        n: How many those were.
        seconds_per_epoch: Median time of a pass, validation included; where the backbone is
            frozen, of computing its features and fitting the head.
        latency_ms: Median time of the exported graph for one image, on all cores.
        parameters: How many it has, the head included.
        error: Why there is nothing of the above; empty where there is.
    """

    backbone: str
    accuracy: float = 0.0
    n: int = 0
    seconds_per_epoch: float = 0.0
    latency_ms: float = 0.0
    parameters: int = 0
    error: str = ""


def compare(
    engine: Engine,
    config: RunConfig,
    backbones: Sequence[str],
    *,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
) -> list[Compared]:
    """Train each backbone on the same snapshot; one that fails does not end the others.

    Args:
        engine: The database.
        config: How each is trained; its own backbone is not looked at.
        backbones: Hub names or folders.
        runs: Folder of runs.
        clock: Says what "now" is.
        on_progress: Told about stages.

    Raises:
        UsageError: There is no backbone, one is named twice, or there is a revision, which would
            be of one of them.
        TrainingError: The pool gives nothing to train on.
    """
    if not backbones or len(set(backbones)) < len(backbones):
        raise UsageError(f"backbones to compare must be named once each, not {list(backbones)}")
    if config.revision is not None:
        raise UsageError("a revision is of one backbone; leave it out to compare several")
    snapshot = frozen(engine, config, clock.now())
    rows: list[Compared] = []
    for backbone in backbones:

        def tell(stage: str, done: int, total: int, backbone: str = backbone) -> None:
            if on_progress:
                on_progress(f"{backbone}: {stage}", done, total)

        try:
            tried = _tried(replace(config, backbone=backbone), snapshot, runs, tell)
            rows.append(replace(tried, backbone=backbone))
        except WeakspotError as error:
            rows.append(Compared(backbone, error=str(error)))
        except Exception as error:  # A bug or no memory left: the next may fare better.
            _logger.exception("%s failed", backbone)
            rows.append(Compared(backbone, error=f"{type(error).__name__}: {error}".rstrip(": ")))
    return rows


def latency_ms(network: Network, recipe: Recipe) -> float:
    """Return the median time that the network's exported graph takes for one image, in ms."""
    graph = export.served_graph(network, 1.0)
    model = export.to_onnx(graph, height=recipe.height, width=recipe.width)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = use_all_cores()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(
        0, 256, (1, recipe.height, recipe.width, 3), dtype=np.uint8
    )
    taken: list[float] = []
    begun = time.monotonic()
    for number in range(_WARM_UP_RUNS + _TIMED_RUNS):
        started = time.perf_counter()
        session.run(None, {"image": image})
        if number >= _WARM_UP_RUNS:
            taken.append(time.perf_counter() - started)
        if taken and time.monotonic() - begun > _MOST_S:
            break
    return 1000 * float(np.median(taken))


def _tried(config: RunConfig, snapshot: Snapshot, runs: Path, tell: Progress) -> Compared:
    use_all_cores()
    torch.manual_seed(config.seed)
    seconds: list[float] = []

    def on_epoch(epoch: Epoch) -> None:
        seconds.append(epoch.seconds)

    with run_folder(runs, run_name(snapshot, config)) as folder:
        # Features kept by other runs would make one backbone's time less than another's.
        candidate, report = trained(config, Sources(snapshot, folder, folder, {}), tell, on_epoch)
        tell("exporting and timing", 0, 1)
        took_ms = latency_ms(candidate.network, candidate.recipe)
        tell("exporting and timing", 1, 1)
    if not np.isfinite(candidate.val_logits).all():
        raise TrainingError("its answers are no numbers")
    return Compared(
        config.backbone,
        accuracy=report.val_accuracy,
        n=len(candidate.val),
        seconds_per_epoch=float(np.median(seconds or [report.seconds])),
        latency_ms=took_ms,
        parameters=sum(each.numel() for each in candidate.network.parameters()),
    )
