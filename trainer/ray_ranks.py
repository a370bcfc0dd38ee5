"""One training on many devices by Ray Train: each of its workers is a rank of trainer.ranks.

Ray starts the ranks, watches over them, and ends all of them when one dies; what each of them does
is what it does under torchrun. They find each other by a file in the folder of runs, which all
machines of a training share, so that no port is opened for it. Nothing is tried again by itself:
the same training once more goes on from its last whole pass.
"""

from __future__ import annotations

import functools
import os
import shutil
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.clock import Clock
from core.errors import TrainingError, UsageError, WeakspotError
from core.store.database import create_engine
from trainer import cluster, pipeline, ranks
from trainer.cluster import Size, Teller
from trainer.config import RunConfig
from trainer.fitting.fit import OnEpoch
from trainer.images.dataset import Progress
from trainer.pipeline import TrainResult

if TYPE_CHECKING:
    from sqlalchemy import Engine

_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True)
class _Work:
    """What each rank does, and where."""

    task: Callable[[], Any]
    config: RunConfig
    meeting: Path
    cwd: Path


def train(  # noqa: PLR0913 - each is named by its caller
    engine: Engine,
    config: RunConfig,
    *,
    bundles: Path,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainResult:
    """Train a version as trainer.pipeline does, on a Ray cluster: see trainer.cluster.

    Args:
        engine: The database; all machines of the cluster must reach it at its address.
        config: What to train, on how many devices and machines.
        bundles: Folder of all bundles; the machines share it.
        runs: Folder of runs, likewise.
        clock: Says what "now" is.
        on_progress: Told about stages, from another thread.
        on_epoch: Told about each pass, likewise; it cannot end the run.

    Raises:
        UsageError: Ray is not installed or not there, or has not so many devices.
        TrainingError: The run gives nothing usable, or one of its processes died.
    """
    listeners: dict[str, Callable[..., None] | None] = {"progress": on_progress, "epoch": on_epoch}

    def hear(what: str, news: tuple[Any, ...]) -> None:
        if listener := listeners[what]:
            listener(*news)

    with cluster.joined(config.devices * config.nodes) as size, cluster.listening(hear) as tell:
        url = engine.url.render_as_string(hide_password=False)
        task = functools.partial(_trained, tell, url, config, bundles, runs, clock)
        return on_ranks(task, config, size, runs=runs)


def on_ranks(task: Callable[[], _Any], config: RunConfig, size: Size, *, runs: Path) -> _Any:
    """Carry a task out on every rank of a run, and return what it gave on the first.

    Args:
        task: Called without arguments on each rank, within `trainer.ranks`.
        config: How many ranks there are, and on which devices.
        size: Of the cluster.
        runs: A folder that all machines share; what the ranks need to meet is removed again.

    Raises:
        UsageError: The cluster has not so many devices.
        TrainingError: A rank died. What the task raises of ours is raised as it is.
    """
    from ray.train import TrainingFailedError

    room = _room(config, size)
    folder = runs.absolute() / f"run-ray-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    try:
        work = _Work(task, config, folder / "meeting", Path.cwd())
        trainer = _ray_trainer(work, room, folder)
        return _apart(trainer.fit).return_value
    except TrainingFailedError as error:
        raise _told(error, config.devices * config.nodes) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _room(config: RunConfig, size: Size) -> dict[str, float]:
    """Return what each rank takes of its machine: its share of the cores, and a GPU.

    Raises:
        UsageError: The cluster has not so much.
    """
    processes = config.devices * config.nodes
    has_gpus = config.device == "cuda" or (config.device == "auto" and size.gpus > 0)
    if has_gpus and size.gpus < processes:
        raise UsageError(
            f"{config.devices} devices on {config.nodes} nodes are {processes} GPUs, and the Ray "
            f"cluster has {size.gpus}; ask for fewer, or set WEAKSPOT_TRAINER_DEVICE=cpu"
        )
    cores = size.cpus[config.nodes - 1] if len(size.cpus) >= config.nodes else 0
    if cores < config.devices:
        raise UsageError(
            f"{config.devices} devices on each of {config.nodes} nodes take as many cores, and "
            f"the machines of the Ray cluster have {', '.join(map(str, size.cpus)) or 'none'}"
        )
    room = {"CPU": float(cores // config.devices)}
    return room | {"GPU": 1.0} if has_gpus else room


def _ray_trainer(work: _Work, room: dict[str, float], folder: Path) -> Any:
    from ray import train as ray_train
    from ray.train.torch import TorchTrainer

    from trainer.ray_backend import MeetByOurselves

    return TorchTrainer(
        functools.partial(_as_rank, work),
        torch_config=MeetByOurselves(),
        scaling_config=ray_train.ScalingConfig(
            num_workers=work.config.devices * work.config.nodes,
            use_gpu="GPU" in room,
            resources_per_worker=room,
            placement_strategy="STRICT_PACK" if work.config.nodes == 1 else "SPREAD",
        ),
        run_config=ray_train.RunConfig(
            name=folder.name,
            storage_path=str(folder),
            failure_config=ray_train.FailureConfig(
                max_failures=0, controller_failure_limit=0, max_preemption_failures=0
            ),
        ),
    )


def _as_rank(work: _Work) -> Any:
    """Do the work as one rank of all; called by Ray in a process of its own."""
    with suppress(OSError):  # another machine need not have the folder
        os.chdir(work.cwd)
    # With these torch, Lightning and trainer.ranks take the process for one of torchrun's.
    os.environ["TORCHELASTIC_RUN_ID"] = work.meeting.parent.name
    os.environ["GROUP_RANK"] = os.environ["NODE_RANK"]
    here = ranks.this_rank().here
    try:
        if here != work.config.devices:
            raise UsageError(
                f"Ray has placed {here} processes of the training on one machine, and "
                f"{work.config.devices} were asked for; ask for {here} --devices, or for more"
            )
        with ranks.met(f"file://{work.meeting}"):
            return work.task()
    except WeakspotError as error:
        raise cluster.portable(error) from None


def _trained(
    tell: Teller, url: str, config: RunConfig, bundles: Path, runs: Path, clock: Clock
) -> TrainResult:
    engine = create_engine(url)
    try:
        return pipeline.train(
            engine,
            config,
            bundles=bundles,
            runs=runs,
            clock=clock,
            on_progress=cluster.Reports(tell),
            on_epoch=lambda epoch: tell("epoch", (epoch,)),
        )
    finally:
        engine.dispose()


def _apart(task: Callable[[], Any]) -> Any:
    """Run the task in a thread that nobody waits for once this one is interrupted.

    In the main thread Ray would take SIGINT over, and call an interrupted training a success.
    """
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(task())
        except BaseException as error:  # to be raised in the other thread
            done.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    return done.result()


def _told(error: Any, processes: int) -> WeakspotError:
    """Return what went wrong in words of ours."""
    failures: dict[int, BaseException] = getattr(error, "worker_failures", {})
    for number, failure in sorted(failures.items()):
        raised = getattr(failure, "_base_exc", failure)
        if isinstance(raised, WeakspotError):
            return raised
        if raised is failure:  # It raised nothing: it is gone.
            return _gone(number, processes, failure)
    for number, failure in sorted(failures.items()):
        return _gone(number, processes, getattr(failure, "_base_exc", failure))
    return TrainingError(f"Ray Train gave up: {cluster.said(error)}")


def _gone(number: int, processes: int, why: BaseException) -> TrainingError:
    return TrainingError(
        f"process {number} of the training, counted from 0 to {processes - 1}, ended before its "
        f"time ({cluster.said(why)}); the same words once more go on from the last whole pass"
    )
