"""Fitting a network with Lightning: the best pass is kept, and nothing is printed.

Lightning drives steps, precision and device; what it logs, draws and pickles is switched off.
The best pass lies in memory and, as safetensors, in the run's folder.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from core.errors import TrainingError
from trainer.architectures import Network, weights_bytes
from trainer.dataset import Batches, Pixels, Progress, Sides
from trainer.module import ClassifierModule, FitOptions, as_images

_VALIDATION_BATCH = 128


@dataclass(frozen=True, slots=True)
class FitReport:
    """What became of a fit.

    Attributes:
        epochs: Passes made.
        best_epoch: The one whose weights were kept, counted from 1.
        val_accuracy: Share of the validation images it got right.
        val_logits: What it said of them, float32 (n, K).
        seconds: How long all took.
    """

    epochs: int
    best_epoch: int
    val_accuracy: float
    val_logits: NDArray[np.float32]
    seconds: float


def fit(
    network: Network,
    sides: Sides,
    *,
    options: FitOptions,
    on_progress: Progress | None = None,
) -> FitReport:
    """Fit the network in place and leave it with the weights of its best pass.

    Args:
        network: What is trained.
        sides: Images to learn from, and to choose the best pass by: highest accuracy, then
            lowest loss. The best weights are kept in their folder as `best.safetensors`.
        options: How.
        on_progress: Told about steps.

    Raises:
        TrainingError: Loss or gradient are not finite, or the device is not there.
    """
    started = time.monotonic()
    module = ClassifierModule(in_channels_last(network), options)
    keeper = _KeepBest(sides.folder)
    cancelled = threading.Event()
    callbacks: list[Callback] = [keeper, _Report(on_progress, cancelled)]
    if options.patience is not None:
        stopping = EarlyStopping("val_accuracy", mode="max", patience=options.patience)
        callbacks.append(stopping)
    train = Batches(
        sides.train, batch_size=options.batch_size, weights=sides.weights, seed=options.seed
    )
    val = Batches(sides.val, batch_size=_VALIDATION_BATCH)
    with _quiet_lightning():
        trainer = _trainer(options, callbacks)
        _apart(lambda: trainer.fit(module, _loader(train), _loader(val)), cancelled)
    network.load_state_dict(keeper.state)
    network.eval()
    return FitReport(
        epochs=keeper.epochs,
        best_epoch=keeper.best_epoch,
        val_accuracy=keeper.accuracy,
        val_logits=keeper.logits,
        seconds=time.monotonic() - started,
    )


# Not inference_mode: a buffer moved in it could never be written again.
@torch.no_grad()
def predict_logits(network: Network, pixels: Pixels, *, device: str) -> NDArray[np.float32]:
    """Return the network's logits for all images in order, float32 (n, K)."""
    place = torch_device(device)
    in_channels_last(network).eval().to(place)
    logits: list[NDArray[np.float32]] = []
    for batch in pixels.batches(_VALIDATION_BATCH):
        with autocast(place):
            answer = network(as_images(torch.from_numpy(batch).to(place)))
        logits.append(answer.float().cpu().numpy())
    return np.concatenate(logits)


def in_channels_last(network: Network) -> Network:
    """Lay the network's weights out as convolutions like them best, and return it."""
    # torch's own stub does not know this form of `to`.
    move: Any = network.to
    return move(memory_format=torch.channels_last)


def torch_device(device: str) -> torch.device:
    """Return the device of that name; `auto` is the GPU where there is one.

    Raises:
        TrainingError: `cuda` was asked for and is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("no CUDA device is available; use device auto or cpu")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def autocast(device: torch.device) -> torch.autocast:
    """Return bfloat16 autocasting where the hardware computes in it, and none elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bfloat16(device))


def has_bfloat16(device: torch.device) -> bool:
    """Say whether the device computes in bfloat16 itself; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch tells of the processor's features through these names only.
    features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in features)


def use_all_cores() -> int:
    """Let torch compute on every core this process may use, and return how many those are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(cores or 1)
    # Numbers too small to matter would otherwise take the processor's slowest path.
    torch.set_flush_denormal(True)
    return cores or 1


class _KeepBest(Callback):
    """Keeps the weights of the best pass."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loss = float("inf")
        self.accuracy = -1.0
        self.epochs = 0
        self.best_epoch = 0
        self.state: dict[str, torch.Tensor] = {}
        self.logits: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self.epochs = trainer.current_epoch + 1
        if (pl_module.val_accuracy, -pl_module.val_loss) <= (self.accuracy, -self._loss):
            return
        self.accuracy, self._loss = pl_module.val_accuracy, pl_module.val_loss
        self.best_epoch = self.epochs
        self.logits = pl_module.val_logits.numpy()
        self.state = {
            name: tensor.detach().cpu().clone()
            for name, tensor in pl_module.network.state_dict().items()
        }
        unfinished = self._folder / "best.tmp"
        unfinished.write_bytes(weights_bytes(self.state))
        unfinished.replace(self._folder / "best.safetensors")


class _Report(Callback):
    """Tells how many steps are done, and ends the run when nobody waits for it any more."""

    def __init__(self, on_progress: Progress | None, cancelled: threading.Event) -> None:
        self._on_progress = on_progress
        self._cancelled = cancelled

    def on_train_batch_end(self, trainer: lightning.Trainer, *_args: Any, **_named: Any) -> None:
        if self._cancelled.is_set():
            raise TrainingError("the run was interrupted")
        if self._on_progress:
            total = int(trainer.estimated_stepping_batches)
            self._on_progress("training", trainer.global_step, total)


def _trainer(options: FitOptions, callbacks: list[Callback]) -> lightning.Trainer:
    device = torch_device(options.device)
    return lightning.Trainer(
        max_epochs=options.epochs,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if has_bfloat16(device) else "32-true",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _loader(batches: Batches) -> DataLoader[Any]:
    # The batches come ready made; the loader only hands them on.
    return DataLoader(batches, batch_size=None, num_workers=0)


@contextmanager
def _quiet_lightning() -> Generator[None]:
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _apart(task: Callable[[], None], cancelled: threading.Event) -> None:
    """Run the task in a thread of its own, and cancel it when this one is interrupted.

    In the main thread Lightning would take SIGTERM and SIGINT over, and make an exit of them.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="fit") as pool:
        running = pool.submit(task)
        try:
            running.result()
        finally:
            cancelled.set()
