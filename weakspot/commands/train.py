"""`weakspot train` and `weakspot retrain`: versions from the pool, or a job for a weak class."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import UsageError
from core.settings import TrainerSettings
from core.store import images, jobs, registry
from core.store.database import transaction
from weakspot import front, training

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def train(
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Hub name, or folder in the layout of from_pretrained; microsoft/resnet-50 "
            "when nothing is said."
        ),
    ] = None,
    from_scratch: Annotated[
        bool | None,
        typer.Option("--from-scratch/--pretrained", help="Begin with random weights; no download."),
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option(help="none, backbone, stages:N (the last N stay trainable) or gradual."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Of the rate: one-cycle or cosine.")] = None,
    warm_up: Annotated[
        float | None, typer.Option(help="Share of the steps in which the rate rises.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Pull of weights to zero.")] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of the running average of weights, as 0.999.")
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Share of the label given to all classes alike.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=0, help="Passes without a gain before it stops; 0: never.")
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, light, strong or trivial, and changes to it.")
    ] = None,
    sampling: Annotated[
        str | None, typer.Option(help="balanced, natural, effective or effective:BETA.")
    ] = None,
    logit_adjustment: Annotated[
        float | None, typer.Option(help="How much of the classes' shares the loss makes up for.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="Input pixels a side; else the backbone's own.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these labels, separated by commas.")
    ] = None,
    min_per_class: Annotated[
        int | None, typer.Option(min=1, help="Leave out classes with fewer training images.")
    ] = None,
    limit_per_class: Annotated[
        int | None,
        typer.Option(
            "--limit-per-class",
            "--max-per-class",
            min=1,
            help="At most so many training images a class.",
        ),
    ] = None,
    variants: Annotated[
        str | None, typer.Option(help="Of the exported graph, such as int8,fp16.")
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="On each machine; start it under torchrun then.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Machines, likewise.")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="auto, ddp or ddp_find_unused_parameters_true.")
    ] = None,
    compile_it: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Let torch compile the network.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with options by name, a list of runs, or a grid."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Backbones, separated by commas: try each, and register nothing."),
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Leave it to a worker: weakspot jobs list.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    as_json: Json = False,
) -> None:
    """Train on the pool, export, check, and register a version.

    The first version becomes the champion; later ones wait for `weakspot model promote`. What is
    said here comes before what the file says. The same words once more go on with a run that was
    killed.
    """
    given: dict[str, Any] = {
        "backbone": backbone,
        "from_scratch": from_scratch,
        "freeze": freeze,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warm_up": warm_up,
        "weight_decay": weight_decay,
        "ema": ema,
        "label_smoothing": label_smoothing,
        "patience": patience,
        "augment": augment,
        "sampling": sampling,
        "logit_adjustment": logit_adjustment,
        "image_size": image_size,
        "labels": classes,
        "min_per_class": min_per_class,
        "limit_per_class": limit_per_class,
        "variants": variants,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
        "compile": compile_it,
        "name": name,
        "seed": seed,
    }
    from trainer import run_file

    settings = front.read(TrainerSettings)
    runs = run_file.configs(
        config,
        given=given,
        otherwise={"device": settings.device, "variants": settings.variants},
    )
    if compare is not None and queue:
        raise UsageError("a comparison is made at once; leave --queue out")
    if compare is not None:
        training.compare(runs, training.listed(compare), as_json=as_json)
    elif queue:
        training.queue(runs, as_json=as_json)
    elif len(runs) == 1:
        training.one(runs[0], as_json=as_json)
    else:
        training.group(runs, as_json=as_json)


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
