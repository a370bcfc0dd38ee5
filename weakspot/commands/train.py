"""`weakspot train` and `weakspot retrain`: a version from the pool, or a job for a weak class."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import UsageError
from core.settings import TrainerSettings
from core.store import images, jobs, registry
from core.store.database import transaction
from weakspot import front

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def train(
    backbone: Annotated[
        str, typer.Option(help="Hub name, or folder in the layout of from_pretrained.")
    ] = "microsoft/resnet-50",
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin with random weights; no download.")
    ] = False,
    freeze: Annotated[
        str, typer.Option(help="none, backbone, or stages:N (the last N stay trainable).")
    ] = "none",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="Input pixels a side; else the backbone's own.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these labels, separated by commas.")
    ] = None,
    limit_per_class: Annotated[
        int | None, typer.Option(min=1, help="At most so many training images a class.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with any of these options, by name.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "classifier",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    as_json: Json = False,
) -> None:
    """Train on the pool, export, check, and register a version.

    The first version becomes the champion; later ones wait for `weakspot model promote`.
    """
    from trainer import pipeline

    chosen: dict[str, Any] = {
        "backbone": backbone,
        "from_scratch": from_scratch,
        "freeze": freeze,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "image_size": image_size,
        "labels": tuple(part.strip() for part in classes.split(",")) if classes else None,
        "limit_per_class": limit_per_class,
        "name": name,
        "seed": seed,
        "device": front.read(TrainerSettings).device,
    }
    run = pipeline.RunConfig(
        **{k: v for k, v in chosen.items() if v is not None} | _from_file(config)
    )
    home = front.settings()
    with front.open_store() as engine, front.progress() as on_progress:
        result = pipeline.train(
            engine,
            run,
            bundles=home.bundles,
            runs=home.runs,
            clock=front.clock(),
            on_progress=on_progress,
        )
        with transaction(engine) as connection:
            champion = registry.champion(connection)
    front.emit(
        {"version": result.version, "seconds": round(result.seconds, 1), "metrics": result.metrics},
        as_json=as_json,
        text=_report(
            result, is_champion=champion is not None and champion.version == result.version
        ),
    )


def retrain(
    label: Annotated[list[str], typer.Option("--class", help="The weak class; may be repeated.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the job.")] = "asked for by hand",
    as_json: Json = False,
) -> None:
    """Ask for a retraining aimed at a class; a worker picks it up."""
    now = front.clock().now()
    with front.open_store() as engine, transaction(engine) as connection:
        unknown = sorted(set(label) - set(images.labels(connection)))
        if unknown:
            raise UsageError(f"the pool has no class {unknown[0]!r}; see: weakspot data profile")
        if registry.champion(connection) is None:
            raise UsageError("there is no champion to retrain yet; run: weakspot train")
        job = jobs.enqueue(
            connection, labels=list(label), reason=reason, requested_by=front.user(), now=now
        )
    front.emit(
        {"job": job.id, "status": job.status, "labels": job.labels},
        as_json=as_json,
        text=f"job {job.id} is {job.status} for {', '.join(job.labels)}; run: weakspot worker",
    )


def _from_file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{config} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{config} must hold options by name, such as `epochs: 3`")
    return {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value
        for key, value in content.items()
    }


def _report(result: Any, *, is_champion: bool) -> str:
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
        else f"To serve it: weakspot model promote {result.version}"
    )
    return "\n".join([head, *lines, last])
