"""What makes one run differ from another: of a training, and of a retraining.

Everything here ends up in the registry beside the version it made, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError
from trainer.architectures import DEFAULT_BACKBONE
from trainer.module import FitOptions


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that makes one training differ from another.

    Attributes:
        name: Of the model that the result is a version of.
        backbone: Hub name or folder of an image classifier.
        from_scratch: Take its architecture only.
        freeze: `none`, `backbone`, or `stages:N` to let the last N stages learn.
        epochs: Passes over the training images, at most.
        batch_size: Images a step.
        learning_rate: Peak of the one-cycle schedule; None takes 2e-3 from scratch, else 2e-4.
        weight_decay: AdamW's.
        label_smoothing: Share of the label given to all classes alike.
        image_size: Side of the model's input in pixels; None takes the backbone's own.
        resize: Short side before the crop; None takes the backbone's own, or `image_size`.
        labels: The classes; None for all of the pool.
        limit_per_class: Most training images of a class.
        patience: Passes without a better validation accuracy before it stops; None for all.
        augment: Whether images are varied from pass to pass.
        seed: Of every random choice.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UsageError: A value is out of bounds.
    """

    name: str = "classifier"
    backbone: str = DEFAULT_BACKBONE
    from_scratch: bool = False
    freeze: str = "none"
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float | None = None
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    image_size: int | None = None
    resize: int | None = None
    labels: tuple[str, ...] | None = None
    limit_per_class: int | None = None
    patience: int | None = 3
    augment: bool = True
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        learning_stages(self.freeze)
        if self.epochs < 1 or self.batch_size < 2:
            raise UsageError(
                f"epochs {self.epochs} must be 1 or more, batch_size {self.batch_size} 2 or more"
            )
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UsageError(f"learning_rate {self.learning_rate} must be above 0")
        if self.from_scratch and self.freeze != "none":
            raise UsageError("random weights must learn: leave freeze at none with from_scratch")

    def fit_options(self) -> FitOptions:
        """Return what fitting needs to know."""
        rate = self.learning_rate or (2e-3 if self.from_scratch else 2e-4)
        return FitOptions(
            epochs=self.epochs,
            learning_rate=rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            label_smoothing=self.label_smoothing,
            patience=self.patience,
            vary=self.augment,
            trainable_stages=learning_stages(self.freeze),
            seed=self.seed,
            device=self.device,
        )


@dataclass(frozen=True, slots=True)
class RetrainOptions:
    """How a retraining learns, and the terms of its exam; named as in the trainer's settings.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        weak_weight: How much oftener new images of a weak class are drawn.
        learning_rate: Peak of the one-cycle schedule.
        epochs: Passes over old and new images.
        gate_margin: Drop per class that the gate must rule out.
        gate_overall_margin: Drop over all images that it must rule out.
        max_ece: Largest expected calibration error that passes.
        max_latency_ratio: Largest latency, in multiples of the champion's, that passes.
        seed: Of every random choice.
    """

    device: str = "auto"
    weak_weight: float = 3.0
    learning_rate: float = 1e-4
    epochs: int = 1
    gate_margin: float = 0.05
    gate_overall_margin: float = 0.01
    max_ece: float = 0.10
    max_latency_ratio: float = 1.5
    seed: int = 0

    def fit_options(self, champion: Mapping[str, Any]) -> FitOptions:
        """Return what fitting needs to know; what is not said here is as in the champion's run.

        Args:
            champion: The configuration that the champion is registered with.
        """
        return FitOptions(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=champion.get("weight_decay", 0.05),
            batch_size=champion.get("batch_size", 64),
            label_smoothing=champion.get("label_smoothing", 0.0),
            vary=champion.get("augment", True),
            trainable_stages=learning_stages(champion.get("freeze", "none")),
            seed=self.seed,
            device=self.device,
        )


def learning_stages(spec: str) -> int | None:
    """Return how many stages `freeze` lets learn; None for all (or for none: `backbone`).

    Raises:
        UsageError: It is none of `none`, `backbone` and `stages:N`.
    """
    if spec in {"none", "backbone"}:
        return None
    word, _, number = spec.partition(":")
    if word != "stages" or not number.isdecimal() or int(number) < 1:
        raise UsageError(f"freeze {spec!r} is unknown; write none, backbone or stages:N")
    return int(number)
