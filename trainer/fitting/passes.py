"""What is done at the end of each pass: the best weights are kept, and listeners are told.

All of it can be put away with a checkpoint and taken up again (trainer.fitting.checkpoint), so that
a run that was killed ends like one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from trainer import ranks
from trainer.fitting.module import pass_seed
from trainer.images.dataset import Batches, Progress


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images, at its end.

    Attributes:
        number: Which one, counted from 1.
        epochs: How many there will be at most.
        train_loss: Mean loss of its steps, as it was minimised.
        val_loss: Cross-entropy over the validation images.
        val_accuracy: Share of them it got right.
        learning_rate: Of its last step.
        seconds: What the pass took, validation included.
    """

    number: int
    epochs: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float

    def figures(self) -> dict[str, float]:
        """Return what is kept with the version: nothing that another run of it would not say."""
        return {
            "number": self.number,
            "train_loss": self.train_loss,
            "val_loss": self.val_loss,
            "val_accuracy": self.val_accuracy,
            "learning_rate": self.learning_rate,
        }

    def in_words(self) -> str:
        """Return the pass as a line of a log."""
        return (
            f"pass {self.number} of {self.epochs}: loss {self.train_loss:.4f}, "
            f"validation loss {self.val_loss:.4f}, top-1 {100 * self.val_accuracy:.1f} %, "
            f"{self.seconds:.1f} s"
        )


OnEpoch = Callable[[Epoch], None]


class KeepBest(Callback):
    """Keeps the weights of the best pass: highest accuracy, then lowest loss.

    Attributes:
        passes: The figures of every pass, those of an earlier run too that was killed.
    """

    def __init__(self) -> None:
        self.passes: list[dict[str, float]] = []
        self._loss = float("inf")
        self.accuracy = -1.0
        self.epochs = 0
        self.best_epoch = 0
        self.state: dict[str, torch.Tensor] = {}
        self.logits: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the weights if they are better than those before."""
        self.epochs = trainer.current_epoch + 1
        if (pl_module.val_accuracy, -pl_module.val_loss) <= (self.accuracy, -self._loss):
            return
        self.accuracy, self._loss = pl_module.val_accuracy, pl_module.val_loss
        self.best_epoch = self.epochs
        self.logits = pl_module.val_logits.numpy()
        self.state = {
            name: tensor.detach().cpu().clone()
            for name, tensor in pl_module.judged.state_dict().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that is kept, as tensors and numbers."""
        return {
            "loss": self._loss,
            "accuracy": self.accuracy,
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "passes": self.passes,
            "state": self.state,
            "logits": torch.from_numpy(self.logits),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was kept."""
        self._loss = state_dict["loss"]
        self.accuracy = state_dict["accuracy"]
        self.epochs = state_dict["epochs"]
        self.best_epoch = state_dict["best_epoch"]
        self.passes = state_dict["passes"]
        self.state = state_dict["state"]
        self.logits = state_dict["logits"].numpy()


class SeedPasses(Callback):
    """Begins each pass from a seed of its own, so that a resumed run is the run it was.

    What torch itself draws, as dropout does, follows too.
    """

    def __init__(self, batches: Batches, seed: int) -> None:
        self._batches = batches
        self._seed = seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Seed the order of the images, and torch."""
        self._batches.begin(trainer.current_epoch)
        torch.manual_seed(pass_seed(self._seed, trainer.current_epoch, trainer.global_rank))


class Report(Callback):
    """Tells how many steps are done; what its listener raises ends the run."""

    def __init__(self, on_progress: Progress | None) -> None:
        self._on_progress = on_progress

    def on_train_batch_end(self, trainer: lightning.Trainer, *_args: Any, **_named: Any) -> None:
        """Tell about one step."""
        if self._on_progress:
            total = int(trainer.estimated_stepping_batches)
            self._on_progress("training", trainer.global_step, total)


class TellEpochs(Callback):
    """Tells about each pass, in figures, and notes them with the best pass."""

    def __init__(self, keeper: KeepBest, on_epoch: OnEpoch | None) -> None:
        self._keeper = keeper
        self._on_epoch = on_epoch
        self._losses: list[torch.Tensor] = []
        self._started = 0.0
        self._rate = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Begin to count anew."""
        self._losses.clear()
        self._started = time.monotonic()

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        """Note the rate before the schedule moves it on."""
        self._rate = float(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_args: Any, **_named: Any
    ) -> None:
        """Note the loss; it stays on the device until the pass is over."""
        self._losses.append(outputs["loss"].detach())

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Tell whoever listens."""
        epoch = Epoch(
            number=trainer.current_epoch + 1,
            epochs=int(trainer.max_epochs or 0),
            train_loss=ranks.mean(float(torch.stack(self._losses).float().mean())),
            val_loss=pl_module.val_loss,
            val_accuracy=pl_module.val_accuracy,
            learning_rate=self._rate,
            seconds=time.monotonic() - self._started,
        )
        self._keeper.passes.append(epoch.figures())
        if self._on_epoch is not None:
            self._on_epoch(epoch)
