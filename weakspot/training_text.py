"""What a training came to, in words and tables: one run, a group, a comparison, a queued group.

What was not measured is a dash: a class without test images has no recall, and of one class alone
nothing can be ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from weakspot import front

if TYPE_CHECKING:
    from core.store.jobs import Job
    from trainer.pipeline import TrainResult
    from trainer.search.compare import Compared

_FIGURES = ("top-1", "macro F1", "ECE")


def report(result: TrainResult, *, is_champion: bool) -> str:
    """Return what a person reads of a version that was just made."""
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
    head = f"{result.version} registered after {result.seconds:.0f} s: {figures(result.metrics)}"
    recalls = _side(result.metrics).get("per_class", {})
    lines = [f"  {front.visible(label):24} {percent(recall)}" for label, recall in recalls.items()]
    return "\n".join([head, *lines, *few, *resumed, *handed_out(result.version, result.also), last])


def figures(metrics: Mapping[str, Any]) -> str:
    """Return a version's figures on the test images, else on the validation images, in a line."""
    side = _side(metrics)
    return (
        f"top-1 {percent(side.get('top1')).strip()}, macro F1 {_number(side.get('macro_f1'), 3)}, "
        f"AUROC {_number(side.get('auroc'), 4)}, ECE {_number(side.get('ece'), 3)}"
    )


def handed_out(version: str, also: Mapping[str, Any]) -> list[str]:
    """Return where the version lies in other forms, or why it does not."""
    if not also:
        return []
    forms = ",".join(also["forms"])
    if "error" not in also:
        return [f"Handed out as {forms}: {front.visible(also['folder'])}"]
    return [
        f"NOT handed out as {forms}: {front.visible(also['error'])}; try again: "
        f"weakspot model export {version} --to DIR --also {forms}"
    ]


def group_table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a group's runs: what differs, and what came of each or why nothing did."""
    table = Table(*names, "version", *_FIGURES, "seconds")
    for row in rows:
        varied = _varied(row["options"], names)
        if "error" in row:
            table.add_row(*varied, "failed", front.visible(row["error"]))
            continue
        table.add_row(*varied, row["version"], *_cells(row["metrics"]), f"{row['seconds']:.0f}")
    return table


def queued_table(group: Sequence[Job]) -> Table:
    """Return a group of jobs as `group_table` does one that was not queued, the first one first."""
    names = differing(group)
    table = Table("job", "state", *names, "version", *_FIGURES, "seconds")
    for job in sorted(group, key=lambda each: each.id):
        head = [str(job.id), job.status, *_varied(job.payload, names)]
        result = job.result or {}
        if error := result.get("error"):
            table.add_row(*head, job.challenger or "-", front.visible(error))
            continue
        seconds = result.get("seconds")
        cells = _cells(result["metrics"]) if "metrics" in result else ()
        table.add_row(
            *head, job.challenger or "-", *cells, "" if seconds is None else f"{seconds:.0f}"
        )
    return table


def differing(group: Sequence[Job]) -> list[str]:
    """Return the options in which the trainings of a group differ, in the order of the first."""
    names = group[0].payload if group else {}
    return [name for name in names if len({str(each.payload.get(name)) for each in group}) > 1]


def brief(config: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return what tells a run from the others of its group; its backbone where nothing does."""
    said = ", ".join(f"{name} {_plain(config.get(name))}" for name in names)
    return front.visible(said or config.get("backbone", "").rstrip("/").rpartition("/")[2])


def configuration(config: Mapping[str, Any]) -> list[str]:
    """Return a line for each option of a run that says something, under a heading."""
    said = {k: v for k, v in config.items() if v is not None and v != "" and k != "retraining"}
    lines = [f"    {name:20} {front.visible(_plain(value))}" for name, value in said.items()]
    return ["  configuration", *lines] if lines else []


def comparison_table(rows: Sequence[Compared]) -> Table:
    """Return what came of each backbone."""
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


def percent(share: float | None) -> str:
    """Return a share in per cent; a dash where nothing was measured."""
    return "    -" if share is None else f"{100 * share:5.1f} %"


def _side(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    return metrics.get("test") or metrics.get("val") or {}


def _cells(metrics: Mapping[str, Any]) -> tuple[str, str, str]:
    side = _side(metrics)
    return (
        percent(side.get("top1")).strip(),
        _number(side.get("macro_f1"), 3),
        _number(side.get("ece"), 3),
    )


def _varied(chosen: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [front.visible(_plain(chosen.get(name))) for name in names]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"
