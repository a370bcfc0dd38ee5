"""`weakspot predict`: a version's answers for a folder or CSV of images, in one file."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.bulk import parts, predicting
from core.bulk.scoring import Pace
from core.bundle import engines, files
from core.bundle.engines import EngineName
from service.model.batcher import available_cores
from weakspot import bundle_choice, front
from weakspot.bundle_choice import Wish

_CPU_BATCH = 8  # nobody waits for a single answer, so a fuller call than the service makes


def predict(
    source: Annotated[str, typer.Argument(help="Folder of images, or a CSV with a column path.")],
    out: Annotated[str, typer.Option(help="File to write: .parquet or .csv.")],
    version: Annotated[str | None, typer.Option(help="Version; else the champion.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle's folder instead.")] = None,
    batch: Annotated[
        int, typer.Option(min=0, max=1024, help="Images per model call; 0 suits the device.")
    ] = 0,
    top_k: Annotated[int, typer.Option(min=1, help="Labels kept of each image.")] = 5,
    engine: Annotated[str, typer.Option(help="What computes the model.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Answer all images of a folder or CSV; killed and started again, it goes on."""
    task = predicting.Task(Path(source), Path(out), top_k)
    predicting.check(task)
    folder = bundle_choice.find(version, bundle)
    place = bundle_choice.known_device(device)
    chosen = bundle_choice.known_engine(engine) or _engine_before(task.out, folder)
    cores = available_cores()
    suited = engines.suited(chosen, place, cores=cores)
    usual = suited.batch if engines.will_use_gpu(chosen, place) else _CPU_BATCH
    pace = Pace(batch or usual, suited.callers, cores)
    runner = bundle_choice.open_runner(folder, Wish(place, chosen, suited.callers, pace.batch_size))
    begun = time.monotonic()
    with _progress(transient=as_json) as on_progress:
        report = predicting.predict(runner, task, pace, on_progress=on_progress)
    seconds = time.monotonic() - begun
    fresh = report.rows - report.resumed
    front.emit(
        {
            "out": out,
            "version": runner.version,
            "engine": runner.engine,
            "rows": report.rows,
            "resumed": report.resumed,
            "unreadable": report.unreadable,
            "seconds": round(seconds, 3),
            "images_per_s": round(fresh / seconds, 1),
        },
        as_json=as_json,
        text=f"{out}: {report.rows} rows by {runner.version} on {runner.engine}, "
        f"{fresh / seconds:.0f} images/s"
        + (f"; {report.resumed} were done before" if report.resumed else "")
        + (f"; {report.unreadable} could not be read, see column error" * bool(report.unreadable)),
    )


def _engine_before(out: Path, folder: Path) -> EngineName | None:
    """Return the engine of the unfinished run: two of equal speed must not take turns in it."""
    before = parts.recorded(out)
    if before.get("bundle") != files.digest(folder):
        return None
    return bundle_choice.known_engine(before.get("engine", "auto"))


@contextmanager
def _progress(*, transient: bool) -> Generator[Callable[[int, int], None]]:
    """Draw a bar with rate and time left on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("predicting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=transient, disable=not console.is_terminal
    ) as bars:
        bar = bars.add_task("", total=None, rate="")

        def on_progress(done: int, total: int) -> None:
            speed = bars.tasks[0].speed
            rate = f"{speed:.0f} images/s" if speed else ""
            bars.update(bar, completed=done, total=total, rate=rate)

        yield on_progress
