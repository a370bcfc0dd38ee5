"""`weakspot train` and `weakspot retrain`: versions from the pool, or a job for a weak class."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import UsageError
from core.store import images, jobs, registry
from core.store.database import transaction
from weakspot import front, training

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def train(
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Hub name, or folder in the layout of from_pretrained.",
            show_default="microsoft/resnet-50",
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            help="Commit, branch or tag of a backbone from the hub.", show_default="the newest"
        ),
    ] = None,
    from_scratch: Annotated[
        bool | None,
        typer.Option(
            "--from-scratch/--pretrained",
            help="Begin with random weights; no download.",
            show_default="pretrained",
        ),
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option(
            help="none, backbone, stages:N (the last N stay trainable) or gradual.",
            show_default="none",
        ),
    ] = None,
    head_first: Annotated[
        bool | None,
        typer.Option(
            "--head-first/--head-with-the-rest",
            help="Fit the head to the backbone as it comes, before they learn together.",
            show_default="head-with-the-rest",
        ),
    ] = None,
    keep_statistics: Annotated[
        bool | None,
        typer.Option(
            "--keep-statistics/--batch-statistics",
            help="Normalise by the statistics that the backbone came with.",
            show_default="batch-statistics",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the images, at most.", show_default="10"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Images a step.", show_default="64")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Highest learning rate.", show_default="2e-4; 2e-3 from scratch"),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="Of the rate: one-cycle or cosine.", show_default="one-cycle"),
    ] = None,
    warm_up: Annotated[
        float | None,
        typer.Option(
            help="Share of the steps in which the rate rises.", show_default="0.3; 0.05 of cosine"
        ),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(min=0, help="Pull of weights to zero.", show_default="0.05")
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            help="Decay of the running average of weights, as 0.999.", show_default="no average"
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(help="Share of the label given to all classes alike.", show_default="0"),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=0, help="Passes without a gain before it stops; 0: never.", show_default="3"
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="none, light, strong or trivial, and changes to it.", show_default="light"
        ),
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(
            help="balanced, natural, effective or effective:BETA.", show_default="balanced"
        ),
    ] = None,
    logit_adjustment: Annotated[
        float | None,
        typer.Option(
            min=0, help="How much of the classes' shares the loss makes up for.", show_default="0"
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=16, help="Input pixels a side.", show_default="the backbone's own"),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Short side in pixels before the crop.",
            show_default="the backbone's own, or the image size that is given",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Only these labels, separated by commas.", show_default="all"),
    ] = None,
    min_per_class: Annotated[
        int | None,
        typer.Option(
            min=1, help="Leave out classes with fewer training images.", show_default="none"
        ),
    ] = None,
    limit_per_class: Annotated[
        int | None,
        typer.Option(
            "--limit-per-class",
            "--max-per-class",
            min=1,
            help="At most so many training images a class.",
            show_default="all",
        ),
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option(
            help="Of the exported graph, such as int8,fp16.",
            show_default="WEAKSPOT_TRAINER_VARIANTS",
        ),
    ] = None,
    also: Annotated[
        str | None,
        typer.Option(
            help="Forms to hand it out in besides: torchscript, safetensors.",
            show_default="WEAKSPOT_TRAINER_ALSO",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu or cuda.", show_default="WEAKSPOT_TRAINER_DEVICE"),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="On each machine; under torchrun, or with --strategy ray.",
            show_default="1",
        ),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Machines, likewise.", show_default="1")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="auto, ddp, ddp_find_unused_parameters_true or ray.", show_default="auto"
        ),
    ] = None,
    compile_it: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Let torch compile the network.",
            show_default="no-compile",
        ),
    ] = None,
    intended_use: Annotated[
        str | None,
        typer.Option(help="What it is meant for, in the model card.", show_default="not stated"),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            help="What it is known not to be good for, likewise.", show_default="not stated"
        ),
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
    name: Annotated[
        str | None, typer.Option(help="Name of the model.", show_default="classifier")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of every random choice.", show_default="0"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train on the pool, export, check, and register a version.

    The first version becomes the champion; later ones wait for `weakspot model promote`. What is
    said here comes before what the file says. The same words once more go on with a run that was
    killed.
    """
    given: dict[str, Any] = {
        "backbone": backbone,
        "revision": revision,
        "from_scratch": from_scratch,
        "freeze": freeze,
        "head_first": head_first,
        "keep_statistics": keep_statistics,
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
        "resize": resize,
        "labels": classes,
        "min_per_class": min_per_class,
        "limit_per_class": limit_per_class,
        "variants": variants,
        "also": also,
        "device": device,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
        "compile": compile_it,
        "intended_use": intended_use,
        "limits": limits,
        "name": name,
        "seed": seed,
    }
    from trainer import run_file

    runs = run_file.configs(config, given=given, otherwise=training.from_settings())
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
