"""One training step and one validation step, as Lightning wants them.

Pixels come in as bytes, are varied and normalised on the device, and go through the network in
channels-last order. A loss or gradient that is not finite ends the run: weights that have been
through one are worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from core.errors import TrainingError
from trainer.fitting.loss import Loss
from trainer.fitting.schedule import scheduler, warm_up_of
from trainer.images.imbalance import Sampling, logit_offset
from trainer.networks.architectures import Network
from trainer.networks.average import Average
from trainer.networks.freezing import freeze_stages, frozen_modules, gradual_stages
from trainer.ranks import interleaved
from trainer.variation.augment import DEFAULT_POLICY, POLICIES, AugmentOptions, augment, mix
from trainer.variation.pictures import before_and_after

PICTURES = "augmented.png"


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How weights are fitted.

    Attributes:
        epochs: Passes over the training images, at most.
        learning_rate: Peak of the schedule.
        weight_decay: AdamW's, on weights of two or more dimensions.
        batch_size: Images per step.
        schedule: `one-cycle` or `cosine`.
        warm_up: Share of the steps in which the rate rises; None takes the schedule's own.
        label_smoothing: Share of the label given to all classes alike.
        sampling: How the images are drawn; the weights of the sides have it in them already.
        logit_adjustment: How much of the classes' shares the loss makes up for; 0 for nothing.
        ema: Decay of the average of the weights that is judged and kept; None keeps the weights.
        patience: Passes without a better validation accuracy before it stops; None for all.
        augment: How images are varied from pass to pass.
        trainable_stages: How many of the last stages learn; None for the whole network.
        gradual: Whether one more stage learns with each pass, after the head alone in the first.
        head_first: Whether the head is fitted to the backbone as it comes before the first pass.
        keep_statistics: Whether batch normalisation keeps to the statistics it came with.
        seed: Of order and variation.
        device: `auto`, `cpu` or `cuda`.
        devices: How many of them, on each machine.
        nodes: How many machines.
        strategy: How Lightning joins them; `auto` is `ddp` where there are many.
        compile: Whether torch compiles the network first.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 0.01
    batch_size: int = 64
    schedule: str = "one-cycle"
    warm_up: float | None = None
    label_smoothing: float = 0.0
    sampling: Sampling = field(default_factory=Sampling)
    logit_adjustment: float = 0.0
    ema: float | None = None
    patience: int | None = None
    augment: AugmentOptions = POLICIES[DEFAULT_POLICY]
    trainable_stages: int | None = None
    gradual: bool = False
    head_first: bool = False
    keep_statistics: bool = False
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    compile: bool = False

    def loss(self, counts: NDArray[np.int64]) -> Loss:
        """Return what is minimised, given how many training images each class has, (K,)."""
        offset = None
        if self.logit_adjustment:
            offset = logit_offset(counts, self.sampling, self.logit_adjustment)
        return Loss(offset, label_smoothing=self.label_smoothing)


class ClassifierModule(lightning.LightningModule):
    """The network with its loss, its schedule and its count of right answers.

    Attributes:
        network: What is trained.
        average: Of its weights, where one is kept.
        val_logits: What it said of the validation images in the last pass, float32 (n, K).
        val_accuracy: The share of those it got right.
        val_loss: Their mean cross-entropy.
    """

    def __init__(
        self,
        network: Network,
        options: FitOptions,
        *,
        counts: NDArray[np.int64],
        folder: Path | None = None,
    ) -> None:
        """Make one.

        Args:
            network: What is trained.
            options: How.
            counts: Training images of each class, shape (K,).
            folder: Where a picture of what the network sees is left.
        """
        super().__init__()
        self.network = network
        self.options = options
        self.average = None if options.ema is None else Average(network, options.ema)
        self.loss = options.loss(counts)
        self._classes = len(counts)
        self._folder = folder
        self.val_logits = torch.empty(0)
        self.val_accuracy = 0.0
        self.val_loss = float("inf")
        self._generator = torch.Generator().manual_seed(options.seed)
        self._seen: list[tuple[Tensor, Tensor]] = []
        freeze_stages(network, options.trainable_stages)

    @property
    def judged(self) -> Network:
        """What is validated and kept: the average where there is one, else the network."""
        return self.network if self.average is None else self.average.network

    def on_train_epoch_start(self) -> None:
        """Put learning parts into training mode, and only those; begin this pass's variation."""
        self._generator.manual_seed(
            pass_seed(self.options.seed, self.current_epoch, self.global_rank)
        )
        if self.options.gradual:
            freeze_stages(self.network, gradual_stages(self.network, self.current_epoch))
        self.network.train()
        for module in frozen_modules(self.network):
            module.eval()
        if self.options.keep_statistics:
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch of bytes (N, H, W, 3) and class numbers (N,)."""
        pixels, labels = batch
        images, targets = self._varied(as_images(pixels), labels)
        if self._folder is not None and self.global_rank == self.current_epoch == batch_idx == 0:
            sheet = before_and_after(as_images(pixels), images)
            (self._folder / PICTURES).write_bytes(sheet)
        loss = self.loss(self.network(images), targets).mean()
        if not torch.isfinite(loss):
            raise _diverged("the loss", float(loss), self.options.learning_rate)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a step along a gradient that is not finite."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.get_total_norm([each for each in gradients if each is not None])
        if not torch.isfinite(norm):
            raise _diverged("the gradient", float(norm), self.options.learning_rate)

    def on_train_batch_end(self, *_args: Any, **_named: Any) -> None:
        """Take the step into the average."""
        if self.average is not None:
            self.average.update(self.network)

    def on_validation_epoch_start(self) -> None:
        """Forget the pass before."""
        self._seen.clear()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Keep what the network says of one batch."""
        pixels, labels = batch
        self._seen.append((self.judged(as_images(pixels)).float().cpu(), labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Sum the pass up for early stopping and for the temperature."""
        self.val_logits = interleaved(torch.cat([logits for logits, _ in self._seen]))
        labels = interleaved(torch.cat([labels for _, labels in self._seen]))
        self.val_accuracy = float((self.val_logits.argmax(1) == labels).float().mean())
        self.val_loss = float(functional.cross_entropy(self.val_logits, labels))
        self.log("val_accuracy", self.val_accuracy)

    def configure_optimizers(self) -> Any:
        """Return AdamW under a schedule over all steps."""
        optimizer = torch.optim.AdamW(
            _decayed_apart(self.network, self.options.weight_decay),
            lr=self.options.learning_rate,
            fused=True,  # one pass over the weights instead of ten
        )
        schedule = scheduler(
            optimizer,
            self.options.schedule,
            steps=int(self.trainer.estimated_stepping_batches),
            warm_up=warm_up_of(self.options.schedule, self.options.warm_up),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _varied(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network is shown and what it is to say of it."""
        options = self.options.augment
        # Where pixels lie and what they are must not be computed in half precision.
        with torch.autocast(images.device.type, enabled=False):
            images = augment(images, self._generator, options)
            if not options.mixes:
                return images, labels
            return mix(images, labels, self._classes, self._generator, options)


def pass_seed(seed: int, number: int, rank: int = 0) -> int:
    """Return the seed of what is random in one pass: the same whether or not others came before."""
    return int(np.random.SeedSequence([seed, number, rank]).generate_state(1)[0])


def as_images(pixels: Tensor) -> Tensor:
    """Return bytes (N, H, W, 3) as floats (N, 3, H, W), which are then in channels-last order."""
    return pixels.permute(0, 3, 1, 2).float()


def _decayed_apart(network: Network, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: scales, shifts and biases are not drawn towards zero.

    What is frozen is in them too: it gets no gradient, and so no step, until it is thawed.
    """
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _diverged(what: str, value: float, learning_rate: float) -> TrainingError:
    return TrainingError(
        f"{what} became {value} at learning rate {learning_rate:g}; try a lower one"
    )
