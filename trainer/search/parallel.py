"""A search in many processes at once, on a Ray cluster: each of them makes trials until it is over.

Nothing passes between them here: they meet in the search's rows in Postgres, as processes started
by hand do (trainer.search.tune). Ray finds them room, on this machine or on others, and ends them
with this process. A trial that was under way then is tried again by whoever goes on.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import Clock
from core.errors import TrainingError, UsageError, WeakspotError
from core.store.database import create_engine
from core.store.trials import Study
from trainer import cluster, ranks
from trainer.cluster import Size, Teller
from trainer.config import RunConfig
from trainer.images.dataset import Progress
from trainer.search import tune
from trainer.search.search_space import Space
from trainer.search.studies import Plan

if TYPE_CHECKING:
    from sqlalchemy import Engine

_LOOK_S = 1.0
_ROOM_S = 600
_OVER = ("COMPLETE", "PRUNED")


@dataclass(frozen=True, slots=True)
class _Share:
    """What each process of a search does, and where."""

    url: str
    base: RunConfig
    space: Space
    plan: Plan
    runs: Path
    clock: Clock
    cwd: Path
    tell: Teller


def search(  # noqa: PLR0913 - each is named by its caller
    engine: Engine,
    base: RunConfig,
    space: Space,
    plan: Plan,
    *,
    processes: int,
    runs: Path,
    clock: Clock,
    on_progress: Progress | None = None,
) -> Study:
    """Carry out trials, so many at once, until there are as many as planned; return the search.

    Args:
        engine: The database; all machines of the cluster must reach it at its address.
        base: What the options that are not searched are.
        space: What is searched.
        plan: How; no process begins a trial after its `timeout_s`.
        processes: How many trials at once.
        runs: Folder of runs; each machine may have its own.
        clock: Says what "now" is, when the images are frozen.
        on_progress: Told about stages, from another thread.

    Raises:
        UsageError: As trainer.search.tune; or Ray is not installed, or the cluster has no room.
        TrainingError: Likewise; or processes died before there were enough trials.
    """

    def look() -> Study:
        # Without time no trial is begun: what it would refuse is refused, and what is there told.
        return tune.search(engine, base, space, replace(plan, timeout_s=0), runs=runs, clock=clock)

    def hear(_what: str, news: tuple[Any, ...]) -> None:
        if on_progress is not None:
            on_progress(*news)

    left = plan.trials - _made(look())
    if left <= 0:
        return look()
    processes = min(processes, left)
    url = engine.url.render_as_string(hide_password=False)
    with cluster.joined(processes) as size, cluster.listening(hear) as tell:
        share = _Share(url, base, space, plan, runs, clock, Path.cwd(), tell)
        failures = _carry_out(share, processes, _room(base, processes, size))
    found = look()
    if failures and _made(found) < plan.trials:
        raise failures[0]
    return found


def _made(study: Study) -> int:
    return sum(each.state in _OVER for each in study.trials)


def _room(base: RunConfig, processes: int, size: Size) -> dict[str, float]:
    """Return what each process takes of the cluster: a core, and a GPU or a share of one.

    Raises:
        UsageError: There is not so much.
    """
    if sum(size.cpus) < processes:
        raise UsageError(
            f"{processes} trials at once take as many cores, and the Ray cluster has "
            f"{sum(size.cpus)}; give a smaller --parallel"
        )
    if base.device == "cuda" and not size.gpus:
        raise UsageError("the Ray cluster has no GPU; set WEAKSPOT_TRAINER_DEVICE=cpu")
    if base.device == "cpu" or not size.gpus:
        return {"CPU": 1}
    return {"CPU": 1, "GPU": 1 / -(-processes // size.gpus)}


def _carry_out(share: _Share, processes: int, room: dict[str, float]) -> list[WeakspotError]:
    """Let the processes search until all of them have ended; return what went wrong."""
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    remote: Any = ray.remote
    with _held(room, processes) as (group, neighbours):
        tasks = [
            remote(_search_here)
            .options(
                num_cpus=room["CPU"],
                num_gpus=room.get("GPU", 0),
                max_retries=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, number),
            )
            .remote(share, neighbours[number])
            for number in range(processes)
        ]
        try:
            return _ended(tasks)
        except BaseException:
            for task in tasks:
                with suppress(Exception):
                    ray.cancel(task, force=True)
            raise


def _ended(tasks: Sequence[Any]) -> list[WeakspotError]:
    """Wait for all of them, and return the failures of those that had one."""
    import ray
    from ray.exceptions import RayError

    numbers = {task: number for number, task in enumerate(tasks)}
    waiting, failures = list(tasks), list[WeakspotError]()
    while waiting:
        done, waiting = ray.wait(waiting, timeout=_LOOK_S)
        for task in done:
            try:
                failure = ray.get(task)
            except RayError as error:
                failure = TrainingError(
                    f"process {numbers[task]} of the search, counted from 0, ended before its time "
                    f"({cluster.said(error)}); the same words once more go on with the search"
                )
            failures += [failure] if failure else []
    return failures


@contextmanager
def _held(room: dict[str, float], processes: int) -> Generator[tuple[Any, list[int]]]:
    """Hold room for all processes, and say for each how many will share its machine.

    Raises:
        TrainingError: Others hold the room and do not leave.
    """
    from ray.util import placement_group, placement_group_table, remove_placement_group

    group = placement_group([room] * processes, strategy="SPREAD")
    try:
        if not group.wait(_ROOM_S):
            raise TrainingError(
                f"the Ray cluster had no room for {processes} trials at once in {_ROOM_S} s: other "
                "work holds it; give a smaller --parallel, or wait for that"
            )
        places: dict[Any, str] = placement_group_table(group)["bundles_to_node_id"]
        crowd = Counter(places.values())
        yield group, [crowd[places[number]] for number in range(processes)]
    finally:
        remove_placement_group(group)


def _search_here(share: _Share, neighbours: int) -> WeakspotError | None:
    """Search as one process of several; called by Ray in a process of its own."""
    with suppress(OSError):  # another machine need not have the folder
        os.chdir(share.cwd)
    ranks.share_machine(neighbours)
    report: Callable[..., None] = cluster.Reports(share.tell)
    engine = create_engine(share.url)
    try:
        tune.search(
            engine,
            share.base,
            share.space,
            share.plan,
            runs=share.runs,
            clock=share.clock,
            on_progress=report,
        )
    except WeakspotError as error:
        return cluster.portable(error)
    finally:
        engine.dispose()
    return None
