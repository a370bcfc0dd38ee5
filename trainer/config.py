"""What makes one run differ from another: of a training, and of a retraining.

Everything here ends up in the registry beside the version it made, as JSON.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.bundle.variants import DEFAULT_VARIANTS, wanted
from core.errors import UsageError
from trainer.fitting.module import FitOptions
from trainer.fitting.schedule import warm_up_of
from trainer.images.imbalance import sampling
from trainer.networks.architectures import DEFAULT_BACKBONE
from trainer.networks.freezing import learning_stages
from trainer.networks.handout import known_forms
from trainer.ranks import STRATEGIES
from trainer.variation.augment import DEFAULT_POLICY, augment_options

DEVICES = ("auto", "cpu", "cuda")
RATE, FROM_SCRATCH_RATE = 2e-4, 2e-3

# What a head on kept features has no use for: it is fitted to its optimum, without steps.
MEANINGLESS_FOR_HEAD = frozenset(
    {"epochs", "batch_size", "learning_rate", "schedule", "warm_up", "weight_decay", "patience"}
)

# The least and the most that an option can be.
_BOUNDS = {
    "epochs": (1, math.inf),
    "batch_size": (2, math.inf),
    "learning_rate": (0, math.inf),
    "weight_decay": (0, math.inf),
    "image_size": (16, math.inf),
    "resize": (16, math.inf),
    "min_per_class": (1, math.inf),
    "limit_per_class": (1, math.inf),
    "logit_adjustment": (0, math.inf),
    "patience": (0, math.inf),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that makes one training differ from another.

    Attributes:
        name: Of the model that the result is a version of.
        backbone: Hub name or folder of an image classifier; a folder is kept by its whole path,
            so that the run can be made again from anywhere.
        revision: Commit, branch or tag of a backbone from the hub; None takes its newest. A
            version's own configuration has the commit.
        from_scratch: Take its architecture only.
        freeze: `none`, `backbone`, `stages:N` to let the last N stages learn, or `gradual`.
        head_first: Fit the head to the backbone as it comes, before they learn together.
        keep_statistics: Normalise by the means and variances that the backbone came with, and not
            by those of each batch; nothing where there is no batch normalisation.
        epochs: Passes over the training images, at most.
        batch_size: Images a step.
        learning_rate: Peak of the schedule; None takes 2e-3 from scratch, else 2e-4.
        schedule: `one-cycle` or `cosine`.
        warm_up: Share of the steps in which the rate rises; None takes 0.3 for one-cycle, 0.05
            for cosine.
        weight_decay: AdamW's.
        ema: Decay of the running average of the weights, which is then judged and kept; None
            for no average.
        label_smoothing: Share of the label given to all classes alike.
        image_size: Side of the model's input in pixels; None takes the backbone's own.
        resize: Short side before the crop; None takes the backbone's own, or `image_size`.
        labels: The classes; None for all of the pool.
        min_per_class: Classes with fewer training images are left out; None leaves out none.
        limit_per_class: Most training images of a class.
        sampling: `balanced`, `natural`, `effective` or `effective:BETA` (trainer.images.imbalance).
        logit_adjustment: How much of the classes' shares the loss makes up for; 1 aims at the
            lowest balanced error.
        patience: Passes without a better validation accuracy before it stops; None or 0 for all.
        augment: `none`, `light`, `strong` or `trivial`, and changes to it such as
            `strong,mixup=0.5,flip=0`: see trainer.variation.augment.
        variants: Of the exported graph, to be made, such as `int8,fp16`; empty for none.
        also: Forms the version is handed out in besides, such as `torchscript,safetensors`.
        seed: Of every random choice.
        device: `auto`, `cpu` or `cuda`.
        devices: How many of them, on each machine: see trainer.ranks.
        nodes: How many machines.
        strategy: How Lightning joins them: `auto`, `ddp` or `ddp_find_unused_parameters_true`; or
            `ray`, to let Ray Train start them.
        compile: Whether torch compiles the network first.
        intended_use: What its owner means it for, for the model card.
        limits: What its owner knows it is not good for, likewise.

    Raises:
        UsageError: A value is out of bounds.
    """

    name: str = "classifier"
    backbone: str = DEFAULT_BACKBONE
    revision: str | None = None
    from_scratch: bool = False
    freeze: str = "none"
    head_first: bool = False
    keep_statistics: bool = False
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float | None = None
    schedule: str = "one-cycle"
    warm_up: float | None = None
    weight_decay: float = 0.05
    ema: float | None = None
    label_smoothing: float = 0.0
    image_size: int | None = None
    resize: int | None = None
    labels: tuple[str, ...] | None = None
    min_per_class: int | None = None
    limit_per_class: int | None = None
    sampling: str = "balanced"
    logit_adjustment: float = 0.0
    patience: int | None = 3
    augment: str = DEFAULT_POLICY
    variants: str = DEFAULT_VARIANTS
    also: str = ""
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    compile: bool = False
    intended_use: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        if Path(self.backbone).is_dir():
            object.__setattr__(self, "backbone", str(Path(self.backbone).resolve()))
        _check_bounds(self)
        _check_names(self)
        learning_stages(self.freeze)
        wanted(self.variants)
        known_forms(self.also)
        warm_up_of(self.schedule, self.warm_up)
        _check_loss(self)
        _check_frozen(self)
        _check_devices(self)
        if self.from_scratch and self.freeze != "none":
            raise UsageError("random weights must learn: leave freeze at none with from_scratch")
        if self.from_scratch and self.head_first:
            raise UsageError(
                "random weights have no features to fit a head to: leave out head_first"
            )
        if self.from_scratch and self.keep_statistics:
            raise UsageError("random weights come without statistics: leave out keep_statistics")

    def fit_options(self) -> FitOptions:
        """Return what fitting needs to know."""
        rate = self.learning_rate or (FROM_SCRATCH_RATE if self.from_scratch else RATE)
        return FitOptions(
            epochs=self.epochs,
            learning_rate=rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            schedule=self.schedule,
            warm_up=self.warm_up,
            label_smoothing=self.label_smoothing,
            sampling=sampling(self.sampling),
            logit_adjustment=self.logit_adjustment,
            ema=self.ema,
            patience=self.patience or None,
            augment=augment_options(self.augment),
            trainable_stages=learning_stages(self.freeze),
            gradual=self.freeze == "gradual",
            head_first=self.head_first,
            keep_statistics=self.keep_statistics,
            seed=self.seed,
            device=self.device,
            devices=self.devices,
            nodes=self.nodes,
            strategy=self.strategy,
            compile=self.compile,
        )


@dataclass(frozen=True, slots=True)
class RetrainOptions:
    """How a retraining learns, and the terms of its exam; named as in the trainer's settings.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        weak_weight: How much oftener new images of a weak class are drawn.
        min_new_images: New training images of a weak class without which nothing is trained.
        max_held_back: Largest share of a class's new images held back for a doubtful label.
        learning_rate: Peak of the one-cycle schedule.
        epochs: Passes over old and new images.
        gate_margin: Drop per class that the gate must rule out.
        gate_overall_margin: Drop over all images that it must rule out.
        max_ece: Largest expected calibration error that passes.
        max_latency_ratio: Largest latency, in multiples of the champion's, that passes.
        variants: Of the exported graph, to be made, such as `int8,fp16`; empty for none.
        also: Forms the version is handed out in besides, such as `torchscript,safetensors`.
        seed: Of every random choice.
    """

    device: str = "auto"
    weak_weight: float = 3.0
    min_new_images: int = 5
    max_held_back: float = 0.2
    learning_rate: float = 1e-4
    epochs: int = 1
    gate_margin: float = 0.05
    gate_overall_margin: float = 0.01
    max_ece: float = 0.10
    max_latency_ratio: float = 1.5
    variants: str = DEFAULT_VARIANTS
    also: str = ""
    seed: int = 0

    def fit_options(self, champion: Mapping[str, Any]) -> FitOptions:
        """Return what fitting needs to know; what is not said here is as in the champion's run.

        A champion whose stages were thawed one by one learns as a whole by now. No average of
        the weights is kept: the path back to the champion is looked along instead.

        Args:
            champion: The configuration that the champion is registered with.
        """
        freeze = champion.get("freeze", "none")
        return FitOptions(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=champion.get("weight_decay", 0.05),
            batch_size=champion.get("batch_size", 64),
            label_smoothing=champion.get("label_smoothing", 0.0),
            sampling=sampling(champion.get("sampling", "balanced")),
            logit_adjustment=champion.get("logit_adjustment", 0.0),
            augment=augment_options(champion.get("augment", DEFAULT_POLICY)),
            trainable_stages=None if freeze == "gradual" else learning_stages(freeze),
            keep_statistics=champion.get("keep_statistics", False),
            seed=self.seed,
            device=self.device,
        )


def _check_bounds(config: RunConfig) -> None:
    """Refuse numbers that mean nothing, before an hour is spent on them."""
    for name, (least, most) in _BOUNDS.items():
        value = getattr(config, name)
        if value is None:
            continue
        if not math.isfinite(value):
            raise UsageError(f"{name} is {value}, which is no finite number")
        if not least <= value <= most:
            limit = f"{least} or more" if most == math.inf else f"from {least} to {most}"
            raise UsageError(f"{name} {value} must be {limit}")
    if config.learning_rate == 0:
        raise UsageError("learning_rate 0 learns nothing; it must be above 0")


def _check_names(config: RunConfig) -> None:
    labels = config.labels or ()
    twice = [label for label, n in Counter(labels).items() if n > 1]
    if twice:
        raise UsageError(f"the classes name {twice[0]!r} twice; name each once")
    if config.device not in DEVICES:
        raise UsageError(f"device {config.device!r} is unknown; write {', '.join(DEVICES)}")
    if config.revision is not None and Path(config.backbone).is_dir():
        raise UsageError(
            f"revision {config.revision!r} is of a hub, and backbone {config.backbone!r} is a "
            "folder; leave revision out"
        )


def _check_loss(config: RunConfig) -> None:
    scheme = sampling(config.sampling)
    if not 0 <= config.label_smoothing < 1:
        raise UsageError(f"label_smoothing {config.label_smoothing:g} must be from 0 to below 1")
    if config.logit_adjustment and scheme.scheme == "balanced":
        raise UsageError(
            "logit_adjustment makes up for classes that are drawn more often than others; with "
            "sampling balanced there are none: write sampling natural"
        )
    if config.ema is not None and not 0 < config.ema < 1:
        raise UsageError(f"ema {config.ema:g} must lie between 0 and 1, such as 0.999")


def _check_frozen(config: RunConfig) -> None:
    """Refuse what a head on kept features cannot do, rather than leave it out silently."""
    options = augment_options(config.augment)
    if config.head_first and config.freeze in {"backbone", "gradual"}:
        raise UsageError(
            f"freeze {config.freeze} begins with the head anyhow: leave out head_first"
        )
    if config.freeze != "backbone":
        return
    if config.ema is not None:
        raise UsageError("freeze backbone fits the head without steps to average: leave ema out")
    if config.augment != DEFAULT_POLICY and not options.only_flips:
        raise UsageError(
            f"freeze backbone computes features once, so augment {config.augment!r} cannot vary "
            "the images; write none or none,flip=0.5, or freeze fewer stages"
        )


def _check_devices(config: RunConfig) -> None:
    """Refuse what many devices cannot share."""
    processes = config.devices * config.nodes
    if config.devices < 1 or config.nodes < 1:
        raise UsageError(f"devices {config.devices} and nodes {config.nodes} must be 1 or more")
    if config.strategy not in STRATEGIES:
        raise UsageError(f"strategy {config.strategy!r} is unknown; write {', '.join(STRATEGIES)}")
    if processes == 1:
        return
    if config.head_first:
        raise UsageError(f"head_first is for one device; {processes} are asked for")
    if config.freeze in {"backbone", "gradual"}:
        raise UsageError(f"freeze {config.freeze} is for one device; {processes} are asked for")
    if config.batch_size % processes:
        raise UsageError(
            f"batch_size {config.batch_size} cannot be shared evenly by {processes} devices; "
            "take a multiple"
        )
