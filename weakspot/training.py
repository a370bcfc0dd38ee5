"""What `weakspot train` does with the runs it was asked for, and how it tells of them.

One run, a group of runs one after another or left to workers, or a comparison of backbones that
registers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from core.errors import UsageError, WeakspotError
from core.settings import TrainerSettings
from core.store import jobs, registry
from core.store.database import transaction
from weakspot import front

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trainer.config import RunConfig
    from trainer.pipeline import TrainResult
    from trainer.search.compare import Compared


def one(run: RunConfig, *, as_json: bool) -> None:
    """Carry out one run and tell what came of it; on many devices the first one tells."""
    from trainer.ranks import this_rank

    with front.open_store() as engine, front.progress(as_json) as on_progress:
        result = _train(engine, run, on_progress)
        with transaction(engine) as connection:
            champion = registry.champion(connection)
    if not this_rank().is_first:
        return
    is_champion = champion is not None and champion.version == result.version
    front.emit(_told(result), as_json=as_json, text=_report(result, is_champion=is_champion))


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
            with front.progress(as_json=True) as on_progress:
                on_progress("runs", number, len(runs))
                varied = {name: getattr(run, name) for name in names}
                try:
                    told = _told(_train(engine, run, on_progress))
                except WeakspotError as error:
                    told = {"error": str(error)}
            rows.append({"options": varied} | told)
    front.emit({"runs": rows}, as_json=as_json, text=_group_table(names, rows))
    if any("error" in row for row in rows):
        raise typer.Exit(front.FAILED)


def queue(runs: Sequence[RunConfig], *, as_json: bool) -> None:
    """Ask for the runs as a group of jobs, which workers carry out."""
    _require_one_process(runs)
    with front.open_store() as engine, transaction(engine) as connection:
        made = jobs.enqueue_group(
            connection,
            configs=[_from_anywhere(run) for run in runs],
            reason="asked for by hand",
            requested_by=front.user(),
            now=front.clock().now(),
        )
    numbers = [job.id for job in made]
    text = f"queued: {', '.join(map(str, numbers))}; see: weakspot jobs list; run: weakspot worker"
    front.emit({"jobs": numbers}, as_json=as_json, text=text)


def _from_anywhere(run: RunConfig) -> dict[str, Any]:
    """Return a run as JSON in which a folder is found from any other: a worker has its own."""
    folder = Path(run.backbone)
    backbone = str(folder.resolve()) if folder.is_dir() else run.backbone
    return asdict(run) | {"backbone": backbone}


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
    with front.open_store(home) as engine, front.progress(as_json) as on_progress:
        rows = comparison.compare(
            engine,
            runs[0],
            backbones,
            runs=home.runs,
            clock=front.clock(),
            on_progress=on_progress,
        )
    table = _comparison_table(rows)
    front.emit({"backbones": [asdict(row) for row in rows]}, as_json=as_json, text=table)
    if any(row.error for row in rows):
        raise typer.Exit(front.FAILED)


def _require_one_process(runs: Sequence[RunConfig]) -> None:
    if any(run.devices * run.nodes > 1 for run in runs):
        raise UsageError("groups, queued runs and comparisons take one device; leave --devices out")


def listed(words: str) -> list[str]:
    """Return the parts of a list with commas."""
    return [part.strip() for part in words.split(",") if part.strip()]


def _train(engine: Engine, run: RunConfig, on_progress: front.OnProgress) -> TrainResult:
    from trainer import pipeline, ranks
    from trainer.tracking import tensorboard_log

    home, clock = front.settings(), front.clock()
    wanted = front.read(TrainerSettings).tensorboard and ranks.this_rank().is_first
    folder = home.tensorboard / tensorboard_log.folder_name(run.name, clock.now())
    with tensorboard_log.logged(folder) if wanted else nullcontext() as log:
        result = pipeline.train(
            engine,
            run,
            bundles=home.bundles,
            runs=home.runs,
            clock=clock,
            on_progress=on_progress,
            on_epoch=log.on_epoch if log else None,
        )
        if log:
            log.finish(home.bundles / result.version)
    return result


def _told(result: TrainResult) -> dict[str, Any]:
    return {
        "version": result.version,
        "seconds": round(result.seconds, 1),
        "metrics": result.metrics,
        "digest": result.digest,
        "resumed_after": result.resumed_after,
        "left_out": dict(result.left_out),
    }


def _report(result: TrainResult, *, is_champion: bool) -> str:
    test = result.metrics.get("test") or result.metrics["val"]
    lines = [f"  {label:24} {100 * recall:5.1f} %" for label, recall in test["per_class"].items()]
    head = (
        f"{result.version} registered after {result.seconds:.0f} s: "
        f"top-1 {100 * test['top1']:.1f} %, macro F1 {test['macro_f1']:.3f}, "
        f"AUROC {test['auroc']:.4f}, ECE {test['ece']:.3f}"
    )
    last = (
        "It is the champion."
        if is_champion
        else f"To serve it: weakspot model promote {result.version} --force --reason WHY"
    )
    resumed = (
        [f"It went on after pass {result.resumed_after} of a run that was killed."]
        if result.resumed_after
        else []
    )
    few = [
        f"Left out: {front.visible(label)}, with {n} training images."
        for label, n in result.left_out.items()
    ]
    return "\n".join([head, *lines, *few, *resumed, last])


def _group_table(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(*names, "version", "top-1", "macro F1", "ECE", "seconds")
    for row in rows:
        varied = [front.visible(str(row["options"][name])) for name in names]
        if "error" in row:
            table.add_row(*varied, "failed", front.visible(row["error"]))
            continue
        test = row["metrics"].get("test") or row["metrics"]["val"]
        figures = (f"{100 * test['top1']:.1f} %", f"{test['macro_f1']:.3f}", f"{test['ece']:.3f}")
        table.add_row(*varied, row["version"], *figures, f"{row['seconds']:.0f}")
    return table


def _comparison_table(rows: Sequence[Compared]) -> Table:
    table = Table("backbone", "accuracy", "s per pass", "ONNX ms", "parameters")
    for row in rows:
        name = front.visible(row.backbone)
        if row.error:
            table.add_row(name, front.visible(row.error))
            continue
        table.add_row(
            name,
            f"{100 * row.accuracy:.1f} % of {row.n}",
            f"{row.seconds_per_epoch:.1f}",
            f"{row.latency_ms:.1f}",
            f"{row.parameters / 1e6:.1f} M",
        )
    return table
