"""`weakspot tune` and `weakspot trials`: search for better options of a run, and show a search."""

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from core.errors import UsageError
from core.store import trials
from core.store.database import transaction
from core.store.trials import Study
from weakspot import front, training, training_log, training_text

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trainer.config import RunConfig
    from trainer.pipeline import TrainResult
    from trainer.search.search_space import Space
    from trainer.search.studies import Plan


class Sampler(StrEnum):
    """What chooses the options of the next trial."""

    tpe = "tpe"
    random = "random"
    grid = "grid"


def tune(
    space: Annotated[
        Path, typer.Option(help="YAML file: options by name, each with choices or a range.")
    ],
    number: Annotated[
        int, typer.Option("--trials", min=1, help="How many trials in all, over all processes.")
    ] = 20,
    sampler: Annotated[Sampler, typer.Option(help="What chooses the next options.")] = Sampler.tpe,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which no trial is begun.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of a run: what all trials have in common.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Most passes of a trial; else the run's.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the search, to go on with it; else the file's.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="End trials early that lag behind.")
    ] = True,
    register: Annotated[
        bool, typer.Option("--register", help="Train the best once more, and register it.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write the best run here, for weakspot train --config.")
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, help="Trials at once, as processes on Ray: here, or RAY_ADDRESS.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Try options of a run on one frozen snapshot, and say which did best.

    The same words once more go on with a search that was broken off; the same words in several
    terminals, or on several machines, search together, and --parallel starts several processes.
    """
    from trainer.search import search_space
    from trainer.search import tune as searching

    base = _base(config, epochs)
    wanted = search_space.read(space, base)
    plan = searching.Plan(name or space.stem, number, sampler.value, timeout, prune, seed)
    made: TrainResult | None = None
    with front.open_store() as engine, training_log.told(as_json=True) as on_progress:
        found = _found(engine, base, wanted, plan, parallel, on_progress)
        best = searching.best_run(found, base)
        if save is not None:
            _write(save, asdict(best), found.facts.get("snapshot", ""))
        if register:
            made = training.carry_out(engine, best, on_progress)
    told = {"registered": made.version if made else None, "also": dict(made.also) if made else {}}
    lines = (
        [f"registered as {made.version}", *training_text.handed_out(made.version, made.also)]
        if made
        else []
    )
    front.emit({**described(found), **told}, as_json=as_json, text=_in_text(found, lines))
    if "error" in told["also"]:
        raise typer.Exit(front.FAILED)


def described(found: Study) -> dict[str, Any]:
    """Return a search as JSON takes it: trials, the best of them, importance and history."""
    return {
        "search": found.name,
        **found.facts,
        "best": None if found.best is None else asdict(found.best),
        "history": found.history(),
        "trials": [asdict(each) for each in found.trials],
    }


def show_trials(
    name: Annotated[str, typer.Argument(help="The search; all are listed without.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show a search, as far as it has come."""
    with front.open_store() as engine, transaction(engine) as connection:
        found = trials.study(connection, name) if name else None
        names = trials.studies(connection)
    if not name:
        front.emit({"searches": names}, as_json=as_json, text="\n".join(names) or "none yet")
        return
    if found is None:
        raise UsageError(f"there is no search {name!r}; there are: {', '.join(names) or 'none'}")
    front.emit(described(found), as_json=as_json, text=_in_text(found, []))


def _found(
    engine: "Engine",
    base: "RunConfig",
    space: "Space",
    plan: "Plan",
    at_once: int,
    on_progress: front.OnProgress,
) -> Study:
    """Search in this process, or in several."""
    from trainer.search import parallel
    from trainer.search import tune as searching

    where = {"runs": front.settings().runs, "clock": front.clock(), "on_progress": on_progress}
    if at_once == 1:
        return searching.search(engine, base, space, plan, **where)
    return parallel.search(engine, base, space, plan, processes=at_once, **where)


def _base(config: Path | None, epochs: int | None) -> Any:
    from trainer import run_file

    runs = run_file.configs(
        config,
        given={"epochs": epochs},
        otherwise=training.from_settings(),
    )
    if len(runs) != 1:
        raise UsageError(f"{config} describes {len(runs)} runs; a search varies one")
    return runs[0]


def _write(path: Path, config: dict[str, Any], snapshot: str) -> None:
    from trainer import run_file

    try:
        path.write_text(run_file.text(config, snapshot=snapshot), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _in_text(found: Study, after: Sequence[str]) -> Group:
    names = sorted({name for each in found.trials for name in each.options})
    table = Table("trial", "state", "accuracy", "passes", "seconds", *names)
    for each in found.trials:
        cells = (front.visible(_short(each.options.get(name))) for name in names)
        accuracy = "-" if each.accuracy is None else f"{100 * each.accuracy:.2f} %"
        seconds = "-" if each.seconds is None else f"{each.seconds:.0f}"
        state = each.state.lower()
        table.add_row(str(each.number), state, accuracy, str(len(each.passes)), seconds, *cells)
    lines = [
        f"trial {each.number} failed: {front.visible(each.error)}"
        for each in found.trials
        if each.error
    ]
    lines += [
        f"{front.visible(name)}: {100 * share:.0f} % of the difference"
        for name, share in found.facts.get("importance", {}).items()
    ]
    if found.best is not None:
        lines.append(f"best: trial {found.best.number}")
    return Group(table, *(Text(line) for line in [*lines, *after]))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
