"""One training on many devices: who takes which share, and what all of them agree on.

Under `torchrun` a training is started once for every device, and each of those processes, a
rank, runs the same program; so does each worker of Ray Train (trainer.ray_ranks). Rank 0 alone
reads the images, writes checkpoints and makes the version; the others fit beside it and wait for
it. The folder of runs must be one that all of them see. Without either there is one rank, and
nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, distributed

from core.errors import TrainingError, UsageError
from trainer.run_folder import run_folder

RAY = "ray"
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", RAY)

_LONGEST_WAIT = timedelta(hours=12)  # for rank 0 to read the images, and to export

_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True)
class Rank:
    """This process among those of one training.

    Attributes:
        number: Which one, counted from 0.
        of: How many there are.
        here: How many of them are on this machine.
    """

    number: int = 0
    of: int = 1
    here: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.number == 0


_neighbours = 1


def share_machine(processes: int) -> None:
    """Let this process take its share of the cores, among so many that compute side by side."""
    global _neighbours  # noqa: PLW0603 - it is a fact of the process, as its rank is
    _neighbours = processes


def this_rank() -> Rank:
    """Return what torchrun or Ray says of this process; the only one without them."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Rank(here=_neighbours)
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    return Rank(*(int(os.environ[name]) for name in names))


@contextmanager
def together(devices: int, nodes: int) -> Generator[Rank]:
    """Let the ranks of a training find each other, for as long as the block lasts.

    Raises:
        UsageError: Another number of processes was started than are asked for.
    """
    rank = this_rank()
    if rank.of != devices * nodes:
        raise UsageError(
            f"{devices} devices on {nodes} nodes are {devices * nodes} processes, and there are "
            f"{rank.of}; run: torchrun --nnodes {nodes} --nproc-per-node {devices} -m weakspot "
            f"train --devices {devices} --nodes {nodes} ..., or add --strategy {RAY}"
        )
    if rank.of == 1 or distributed.is_initialized():
        yield rank
        return
    with met("env://"):
        yield rank


@contextmanager
def met(place: str) -> Generator[None]:
    """Join the ranks of a training, which find each other at the place, for as long as the block.

    Args:
        place: As torch wants it: `env://`, or `file://` and a path that all of them see and that
            nothing is at yet.
    """
    rank = this_rank()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(
        backend, init_method=place, rank=rank.number, world_size=rank.of, timeout=_LONGEST_WAIT
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def agreed(value: _Any) -> _Any:
    """Return the first rank's value on every rank."""
    if not _is_shared():
        return value
    told: list[Any] = [value]
    distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    return told[0]


def by_first(task: Callable[[], _Any]) -> _Any:
    """Carry the task out on the first rank, and return on every rank what came of it."""
    return agreed(task() if this_rank().is_first else cast("_Any", None))


@contextmanager
def first_alone() -> Generator[None]:
    """Let the first rank go through the block before the others, which then find its files."""
    if _is_shared() and not this_rank().is_first:
        agreed(None)
    yield
    if _is_shared() and this_rank().is_first:
        agreed(None)


@contextmanager
def shared_folder(runs: Path, name: str) -> Generator[Path]:
    """Give all ranks the folder that the first one holds: see trainer.run_folder.

    Raises:
        TrainingError: This rank does not see the folder.
    """
    if this_rank().is_first:
        with run_folder(runs, name) as folder:
            yield agreed(folder)
        return
    folder = agreed(runs)
    if not folder.exists():
        raise TrainingError(
            f"{folder} is not there for rank {this_rank().number}; all machines of a training must "
            "share WEAKSPOT_HOME, or train on one of them"
        )
    yield folder


def mean(value: float) -> float:
    """Return the mean of what the ranks have."""
    if not _is_shared():
        return value
    total = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(total)
    return float(total) / this_rank().of


def interleaved(mine: Tensor) -> Tensor:
    """Return the rows of all ranks in order, where rank r of w has rows r, r + w, r + 2w ..."""
    if not _is_shared():
        return mine
    shares: list[Any] = [None] * this_rank().of
    distributed.all_gather_object(shares, mine.cpu())
    whole = torch.empty((sum(map(len, shares)), *mine.shape[1:]), dtype=mine.dtype)
    for number, share in enumerate(shares):
        whole[number :: len(shares)] = share
    return whole


class OneSetOfStatistics(Callback):
    """Gives every rank the first one's running statistics before they are judged by."""

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Send them round."""
        if _is_shared():
            for buffer in pl_module.buffers():
                distributed.broadcast(buffer, src=0)


def _is_shared() -> bool:
    return distributed.is_initialized() and distributed.get_world_size() > 1
