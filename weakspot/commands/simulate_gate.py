"""`weakspot simulate gate`: how often the gate lets in what it should, and what it should not."""

from typing import Annotated

import typer
from rich.table import Table

from core.errors import StatisticsError, UsageError
from trainer.exams.gate_simulation import Fate, Plan, Report, simulate
from weakspot import front


def gate(
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 15,
    per_class: Annotated[int, typer.Option(help="Gate images a class.")] = 200,
    differing: Annotated[
        float, typer.Option(help="Share of images on which only one of the two is right.")
    ] = 0.03,
    drop: Annotated[float, typer.Option(help="How much worse on one class, 0 to 1.")] = 0.05,
    repair: Annotated[float, typer.Option(help="How much better on the weak class.")] = 0.30,
    margin: Annotated[float, typer.Option(help="Drop per class that must be ruled out.")] = 0.05,
    overall_margin: Annotated[float, typer.Option(help="Likewise, over all images.")] = 0.01,
    looks: Annotated[int, typer.Option(help="Exams of one challenger, at most.")] = 5,
    runs: Annotated[int, typer.Option(help="Challengers of each kind.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Examine simulated challengers: as good as the champion, and worse on one class."""
    with front.progress(as_json) as on_progress:
        try:
            plan = Plan(
                classes=classes,
                per_class=per_class,
                differing=differing,
                drop=drop,
                repair=repair,
                margin=margin,
                overall_margin=overall_margin,
                looks=looks,
                runs=runs,
                seed=seed,
            )
        except StatisticsError as error:
            raise UsageError(str(error)) from error
        report = simulate(plan, lambda done, total: on_progress("simulating exams", done, total))
    front.emit(report.to_dict(), as_json=as_json, text=_text(report))


def _text(report: Report) -> Table:
    plan = report.plan
    table = Table(
        "challenger",
        "promoted",
        "refused",
        "more images",
        "images named",
        "settled by them",
        f"promoted in {plan.looks} looks",
        "refused",
        title=f"{plan.classes} classes, {plan.per_class} gate images each, "
        f"{100 * plan.differing:g} % of answers differ; {plan.runs:,} challengers of each kind",
        caption=f"The gate must rule out a drop of {100 * plan.margin:g} points per class and "
        f"{100 * plan.overall_margin:g} over all images.",
    )
    table.add_row("as good, weak class better", *_cells(report.good))
    table.add_row(f"{100 * plan.drop:g} points worse on one class", *_cells(report.worse))
    return table


def _cells(fate: Fate) -> list[str]:
    named = "-" if fate.images_named is None else f"{fate.images_named:,.0f}"
    settled = "-" if fate.settled is None else _percent(fate.settled)
    return [
        _percent(fate.promoted),
        _percent(fate.refused),
        _percent(fate.more_images),
        named,
        settled,
        _percent(fate.promoted_in_all),
        _percent(fate.refused_in_all),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
