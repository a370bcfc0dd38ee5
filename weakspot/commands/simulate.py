"""`weakspot simulate`: what the detectors would do with so many classes and labels a day.

`weakspot simulate gate` does the same for the gate (weakspot.commands.simulate_gate).
"""

import math
import time
from typing import Annotated, Any

import typer
from rich.table import Table

from core.errors import StatisticsError, UsageError
from core.stats.simulated_classes import HEALTHY_DAYS, Plan
from core.stats.simulation import Outcome, Report
from core.stats.simulation import simulate as carry_out
from weakspot import front
from weakspot.commands import simulate_gate

simulate_app = typer.Typer(help="What detectors and gate would do, simulated.")
simulate_app.command(name="gate")(simulate_gate.gate)


@simulate_app.callback(invoke_without_command=True)
def simulate(
    context: typer.Context,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 15,
    per_day: Annotated[int, typer.Option(min=1, help="Labelled images a class and day.")] = 10,
    base: Annotated[float, typer.Option(help="Accuracy of a healthy class.")] = 0.95,
    drop: Annotated[float, typer.Option(help="Accuracy of the class that drops.")] = 0.80,
    heterogeneous: Annotated[
        bool, typer.Option("--heterogeneous", help="Unequal classes, levels estimated.")
    ] = False,
    reference_images: Annotated[
        int, typer.Option(min=1, help="Images behind each estimated level.")
    ] = 50,
    unlikeness: Annotated[
        float, typer.Option(help="How far unequal classes are apart, 0 to 1.")
    ] = 0.015,
    correlation: Annotated[
        float, typer.Option(help="How alike the outcomes of a class on one day are, 0 to 1.")
    ] = 0.0,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Half of the labels go where evidence is.")
    ] = False,
    budget: Annotated[float, typer.Option(help="False alarms accepted per 30 days.")] = 0.3,
    days: Annotated[int, typer.Option(help="Days in all; the first 30 are healthy.")] = 60,
    runs: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    rules: Annotated[
        bool, typer.Option("--rules", help="Beside it, the rules that others use.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Run the detectors on simulated classes: 30 healthy days, then one class drops."""
    if context.invoked_subcommand:
        return
    plan = Plan(
        classes=classes,
        per_day=per_day,
        base=base,
        drop=drop,
        heterogeneous=heterogeneous,
        reference_images=reference_images,
        unlikeness=unlikeness,
        correlation=correlation,
        adaptive=adaptive,
        budget=budget,
        days=days,
        runs=runs,
        seed=seed,
    )
    begun = time.monotonic()
    with front.progress(as_json) as on_progress:
        try:
            report = carry_out(
                plan,
                rules=rules,
                on_progress=lambda done, total: on_progress("simulating days", done, total),
            )
        except StatisticsError as error:
            raise UsageError(str(error)) from error
    seconds = time.monotonic() - begun
    front.emit(_plain(report) | {"seconds": round(seconds, 2)}, as_json=as_json, text=_text(report))


def _plain(report: Report) -> dict[str, Any]:
    detector, *others = (_plain_outcome(each) for each in report.outcomes)
    return {
        "plan": report.plan,
        "threshold": report.threshold,
        "bet": "day" if report.day_bet else "image",
        "correlation": round(report.correlation, 4),
        **detector,
        "pooled_false_alarms": round(report.pooled_false_alarms, 4),
        "rules": others,
    }


def _plain_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON holds it; None for a delay longer than the days simulated."""
    return {
        "name": outcome.name,
        "false_alarms": round(outcome.false_alarms, 4),
        "false_alarms_error": round(outcome.false_alarms_error, 4),
        "delay_median": _days(outcome.delay(0.5)),
        "delay_median_interval": [_days(end) for end in outcome.delay_interval(0.5)],
        "delay_p90": _days(outcome.delay(0.9)),
        "delay_p90_interval": [_days(end) for end in outcome.delay_interval(0.9)],
        "never": outcome.never,
    }


def _days(delay: float) -> int | None:
    return None if math.isinf(delay) else int(delay)


def _text(report: Report) -> Table:
    plan = report.plan
    table = Table(
        "",
        "false alarms in 30 days",
        "days, median (95 %)",
        "90th percentile (95 %)",
        "never",
        title=f"{plan.classes} classes, {plan.per_day} labels each a day,"
        f" one falls from {plan.base} to {plan.drop} on day {HEALTHY_DAYS + 1};"
        f" {plan.runs} runs of {plan.days} days",
        caption=f"Threshold {report.threshold:,.0f}; one bet for each"
        f" {'day' if report.day_bet else 'image'} (correlation {report.correlation:.3f});"
        f" the pooled detector's false alarms: {report.pooled_false_alarms:.3f} in 30 days",
    )
    for each in report.outcomes:
        plain = _plain_outcome(each)
        past = f"> {plan.days - HEALTHY_DAYS}"
        words = [
            f"{plain[name] or past} ({low or past} to {high or past})"
            for name in ("delay_median", "delay_p90")
            for low, high in [plain[f"{name}_interval"]]
        ]
        false = f"{each.false_alarms:.3f} ± {each.false_alarms_error:.3f}"
        table.add_row(each.name, false, *words, f"{each.never} of {plan.runs}")
    return table
