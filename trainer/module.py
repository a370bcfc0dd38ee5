"""One training step and one validation step, as Lightning wants them.

Pixels come in as bytes, are varied and normalised on the device, and go through the network in
channels-last order. A loss or gradient that is not finite ends the run: weights that have been
through one are worth nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import TrainingError
from trainer.architectures import Network, stages
from trainer.augment import augment

Freeze = str  # "none", "backbone" or "stages:N"

_WARM_UP = 0.3  # share of the steps in which the one-cycle rate rises


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How weights are fitted.

    Attributes:
        epochs: Passes over the training images, at most.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: AdamW's, on weights of two or more dimensions.
        batch_size: Images per step.
        label_smoothing: Share of the label given to all classes alike.
        patience: Passes without a better validation accuracy before it stops; None for all.
        vary: Whether images are varied from pass to pass.
        trainable_stages: How many of the last stages learn; None for the whole network.
        seed: Of order and variation.
        device: `auto`, `cpu` or `cuda`.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 0.01
    batch_size: int = 64
    label_smoothing: float = 0.0
    patience: int | None = None
    vary: bool = True
    trainable_stages: int | None = None
    seed: int = 0
    device: str = "auto"


class ClassifierModule(lightning.LightningModule):
    """The network with its loss, its schedule and its count of right answers.

    Attributes:
        network: What is trained.
        val_logits: What it said of the validation images in the last pass, float32 (n, K).
        val_accuracy: The share of those it got right.
        val_loss: Their mean cross-entropy.
    """

    def __init__(self, network: Network, options: FitOptions) -> None:
        super().__init__()
        self.network = network
        self.options = options
        self.val_logits = torch.empty(0)
        self.val_accuracy = 0.0
        self.val_loss = float("inf")
        self._generator = torch.Generator().manual_seed(options.seed)
        self._seen: list[tuple[Tensor, Tensor]] = []
        freeze_stages(network, options.trainable_stages)

    def on_train_epoch_start(self) -> None:
        """Put learning parts into training mode, and only those."""
        self.network.train()
        for module in frozen_modules(self.network):
            module.eval()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch of bytes (N, H, W, 3) and class numbers (N,)."""
        pixels, labels = batch
        images = as_images(pixels)
        if self.options.vary:
            images = augment(images, self._generator)
        logits = self.network(images)
        loss = functional.cross_entropy(
            logits, labels, label_smoothing=self.options.label_smoothing
        )
        if not torch.isfinite(loss):
            raise _diverged("the loss", float(loss), self.options.learning_rate)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a step along a gradient that is not finite."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.get_total_norm([each for each in gradients if each is not None])
        if not torch.isfinite(norm):
            raise _diverged("the gradient", float(norm), self.options.learning_rate)

    def on_validation_epoch_start(self) -> None:
        """Forget the pass before."""
        self._seen.clear()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Keep what the network says of one batch."""
        pixels, labels = batch
        self._seen.append((self.network(as_images(pixels)).float().cpu(), labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Sum the pass up for early stopping and for the temperature."""
        self.val_logits = torch.cat([logits for logits, _ in self._seen])
        labels = torch.cat([labels for _, labels in self._seen])
        self.val_accuracy = float((self.val_logits.argmax(1) == labels).float().mean())
        self.val_loss = float(functional.cross_entropy(self.val_logits, labels))
        self.log("val_accuracy", self.val_accuracy)

    def configure_optimizers(self) -> Any:
        """Return AdamW under a one-cycle schedule over all steps."""
        optimizer = torch.optim.AdamW(
            _decayed_apart(self.network, self.options.weight_decay),
            lr=self.options.learning_rate,
            fused=True,  # one pass over the weights instead of ten
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.options.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=_WARM_UP,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def as_images(pixels: Tensor) -> Tensor:
    """Return bytes (N, H, W, 3) as floats (N, 3, H, W), which are then in channels-last order."""
    return pixels.permute(0, 3, 1, 2).float()


def freeze_stages(network: Network, trainable: int | None) -> None:
    """Let only the last `trainable` stages of the backbone learn, what follows them, and the head.

    Raises:
        TrainingError: The backbone has fewer stages, or none.
    """
    network.requires_grad_(requires_grad=True)
    if trainable is None:
        return
    prefix, modules = stages(network.backbone)
    if not 0 <= trainable <= len(modules):
        raise TrainingError(f"the backbone has {len(modules)} stages; {trainable} cannot learn")
    first = len(modules) - trainable
    reached = False
    # Parameters come in the network's order: stem, stages, and what follows them.
    for name, parameter in network.backbone.named_parameters():
        if name.startswith(f"{prefix}."):
            reached = int(name.removeprefix(f"{prefix}.").partition(".")[0]) >= first
        parameter.requires_grad_(reached)


def frozen_modules(network: Network) -> Iterator[nn.Module]:
    """Yield the modules that have parameters none of which learns."""
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield module


def _decayed_apart(network: Network, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: scales, shifts and biases are not drawn towards zero."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]


def _diverged(what: str, value: float, learning_rate: float) -> TrainingError:
    return TrainingError(
        f"{what} became {value} at learning rate {learning_rate:g}; try a lower one"
    )
