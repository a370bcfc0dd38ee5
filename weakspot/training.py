"""What `weakspot train` does with the runs it was asked for, and how it tells of them.

One run, a group of runs one after another or left to workers, or a comparison of backbones that
registers nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from core.errors import UsageError, WeakspotError
from core.settings import HomeSettings, TrainerSettings
from core.store import jobs, registry
from core.store.database import transaction
from weakspot import front, training_log, training_text

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trainer.config import RunConfig
    from trainer.pipeline import TrainResult

_logger = logging.getLogger(__name__)


def one(run: RunConfig, *, as_json: bool) -> None:
    """Carry out one run and tell what came of it; on many devices the first one tells.

    Raises:
        Exit: With code 1, when the version is there and a form that was asked for is not.
    """
    from trainer.ranks import this_rank

    with front.open_store() as engine, training_log.told(as_json=as_json) as on_progress:
        result = carry_out(engine, run, on_progress)
        with transaction(engine) as connection:
            champion = registry.champion(connection)
    if not this_rank().is_first:
        return
    is_champion = champion is not None and champion.version == result.version
    text = training_text.report(result, is_champion=is_champion)
    front.emit(_told(result), as_json=as_json, text=text)
    if "error" in result.also:
        raise typer.Exit(front.FAILED)


def group(runs: Sequence[RunConfig], *, as_json: bool) -> None:
    """Carry out one run after the other; one that fails does not keep the others from theirs.

    Raises:
        Exit: With code 1, when one failed.
    """
    from trainer.run_file import differing

    _require_one_process(runs)
    names = differing(runs)
    rows: list[dict[str, Any]] = []
    with front.open_store() as engine:
        for number, run in enumerate(runs):
            with training_log.told(as_json=True) as on_progress:
                on_progress("runs", number, len(runs))
                varied = {name: getattr(run, name) for name in names}
                try:
                    told = _told(carry_out(engine, run, on_progress))
                except WeakspotError as error:
                    told = {"error": str(error)}
                except Exception as error:  # A bug or no memory left: the next may fare better.
                    _logger.exception("run %d of %d failed", number + 1, len(runs))
                    told = {"error": f"{type(error).__name__}: {error}".rstrip(": ")}
            rows.append({"options": varied} | told)
    front.emit({"runs": rows}, as_json=as_json, text=training_text.group_table(names, rows))
    if any("error" in row or "error" in row["also"] for row in rows):
        raise typer.Exit(front.FAILED)


def queue(runs: Sequence[RunConfig], *, as_json: bool) -> None:
    """Ask for the runs as a group of jobs, which workers carry out."""
    _require_one_process(runs)
    with front.open_store() as engine, transaction(engine) as connection:
        made = jobs.enqueue_group(
            connection,
            configs=[asdict(run) for run in runs],
            reason="asked for by hand",
            requested_by=front.user(),
            now=front.clock().now(),
        )
    numbers = [job.id for job in made]
    text = (
        f"queued: {', '.join(map(str, numbers))}; see: weakspot jobs list --group {numbers[0]}; "
        "run: weakspot worker"
    )
    front.emit({"jobs": numbers}, as_json=as_json, text=text)


def compare(runs: Sequence[RunConfig], backbones: Sequence[str], *, as_json: bool) -> None:
    """Train each backbone on the same few images, and print what to expect of it.

    Raises:
        UsageError: There is more than one configuration to compare them under.
        Exit: With code 1, when a backbone gave nothing.
    """
    from trainer.search import compare as comparison

    _require_one_process(runs)
    if len(runs) != 1:
        raise UsageError(f"--compare takes one configuration, not a group of {len(runs)}")
    home = front.settings()
    with front.open_store(home) as engine, training_log.told(as_json=as_json) as on_progress:
        rows = comparison.compare(
            engine,
            runs[0],
            backbones,
            runs=home.runs,
            clock=front.clock(),
            on_progress=on_progress,
        )
    table = training_text.comparison_table(rows)
    front.emit({"backbones": [asdict(row) for row in rows]}, as_json=as_json, text=table)
    if any(row.error for row in rows):
        raise typer.Exit(front.FAILED)


def _require_one_process(runs: Sequence[RunConfig]) -> None:
    from trainer.ranks import RAY

    if any(run.devices * run.nodes > 1 or run.strategy == RAY for run in runs):
        raise UsageError(
            "groups, queued runs and comparisons take one device; leave --devices, --nodes and "
            "--strategy out"
        )


def listed(words: str) -> list[str]:
    """Return the parts of a list with commas."""
    return [part.strip() for part in words.split(",") if part.strip()]


def from_settings() -> dict[str, Any]:
    """Return the options of a run that stand in the settings, for where nobody says otherwise."""
    settings = front.read(TrainerSettings)
    return {name: getattr(settings, name) for name in ("device", "variants", "also")}


def carry_out(engine: Engine, run: RunConfig, on_progress: front.OnProgress) -> TrainResult:
    """Train a version and register it, with a TensorBoard log where the settings want one."""
    from trainer import pipeline, ranks
    from trainer.tracking import tensorboard_log

    if run.strategy == ranks.RAY:
        from trainer.ray_ranks import train
    else:
        train = pipeline.train

    home, clock = front.settings(), front.clock()
    wanted = front.read(TrainerSettings).tensorboard and ranks.this_rank().is_first
    folder = _log_folder(engine, run, home, clock.now()) if wanted else None
    with tensorboard_log.logged(folder) if folder else nullcontext() as log:
        result = train(
            engine,
            run,
            bundles=home.bundles,
            runs=home.runs,
            clock=clock,
            on_progress=on_progress,
            on_epoch=tensorboard_log.both(training_log.on_epoch, log.on_epoch if log else None),
        )
        if log:
            log.finish(home.bundles / result.version)
    return result


def _log_folder(engine: Engine, run: RunConfig, home: HomeSettings, now: datetime) -> Path:
    """Return where a run's TensorBoard log is: a run that is gone on with goes on with its log."""
    from trainer.candidates import frozen, run_name
    from trainer.tracking import tensorboard_log

    folder = home.runs / run_name(frozen(engine, run, now), run)
    return tensorboard_log.folder_of(home.tensorboard, run.name, folder, now)


def _told(result: TrainResult) -> dict[str, Any]:
    return {
        "version": result.version,
        "seconds": round(result.seconds, 1),
        "metrics": result.metrics,
        "digest": result.digest,
        "resumed_after": result.resumed_after,
        "left_out": dict(result.left_out),
        "also": dict(result.also),
    }
