"""Fitting a network with Lightning: the best pass is kept, and nothing is printed.

Lightning drives steps, precision and device; what it logs, draws and pickles is switched off. It
runs in the thread that called, whose threads for computing are there already.
The best pass lies in memory and, as safetensors, in the run's folder.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from core.errors import TrainingError
from trainer.fitting import checkpoint
from trainer.fitting.checkpoint import Found, SavePasses, WholeFile
from trainer.fitting.module import ClassifierModule, FitOptions, as_images
from trainer.fitting.passes import Epoch, KeepBest, OnEpoch, Report, SeedPasses, TellEpochs
from trainer.fitting.signals import OwnSignals
from trainer.images.dataset import Batches, Pixels, Progress, Sides
from trainer.networks.architectures import Network
from trainer.ranks import RAY, OneSetOfStatistics, Rank, this_rank

__all__ = [
    "Epoch",
    "FitReport",
    "OnEpoch",
    "autocast",
    "fit",
    "has_bfloat16",
    "in_channels_last",
    "predict_logits",
    "torch_device",
    "use_all_cores",
]

_VALIDATION_BATCH = 128

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitReport:
    """What became of a fit.

    Attributes:
        epochs: Passes made; none where a head alone was fitted.
        best_epoch: The one whose weights were kept, counted from 1.
        val_accuracy: Share of the validation images it got right.
        val_logits: What it said of them, float32 (n, K).
        seconds: How long all took.
        resumed_after: Passes that an earlier run had made, before it was killed.
        passes: The figures of each pass, in order; none where a head alone was fitted.
        head_decay: The weight decay that a head alone was fitted with; None for passes.
    """

    epochs: int
    best_epoch: int
    val_accuracy: float
    val_logits: NDArray[np.float32]
    seconds: float
    resumed_after: int = 0
    passes: tuple[dict[str, float], ...] = ()
    head_decay: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return what is kept with the version: nothing that another run of it would not say."""
        if self.head_decay is not None:
            return {"val_accuracy": self.val_accuracy, "head_decay": self.head_decay}
        return {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "val_accuracy": self.val_accuracy,
            "passes": list(self.passes),
        }


def fit(
    network: Network,
    sides: Sides,
    *,
    options: FitOptions,
    on_progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    resume: bool = False,
) -> FitReport:
    """Fit the network in place and leave it with the weights of its best pass.

    Args:
        network: What is trained.
        sides: Images to learn from, and to choose the best pass by: highest accuracy, then
            lowest loss.
        options: How.
        on_progress: Told about steps.
        on_epoch: Told about each pass, at its end; what it raises ends the fit.
        resume: Whether a checkpoint is written to the sides' folder after each pass, and one
            that this very fit left there is gone on from.

    Raises:
        TrainingError: Loss or gradient are not finite, or the device is not there.
    """
    started = time.monotonic()
    keeper = KeepBest()
    callbacks: list[Callback] = [keeper, Report(on_progress), TellEpochs(keeper, on_epoch)]
    if options.patience is not None:
        callbacks.append(EarlyStopping("val_accuracy", mode="max", patience=options.patience))
    found = None
    if resume:
        key = checkpoint.key_of(network, sides, options)
        callbacks.append(SavePasses(sides.folder, key))
        found = checkpoint.find(sides.folder, key)
    if found is not None:
        keeper.load_state_dict(found.best)
        _logger.info("going on after pass %d of %d", keeper.epochs, options.epochs)
    resumed_after = keeper.epochs
    if found is None or not found.is_finished:
        with _quiet_lightning():
            _make_passes(network, sides, options, callbacks, found)
    # What was compiled was compiled for this fit.
    vars(network).pop("_compiled_call_impl", None)
    network.load_state_dict(keeper.state)
    network.eval()
    return FitReport(
        epochs=keeper.epochs,
        best_epoch=keeper.best_epoch,
        val_accuracy=keeper.accuracy,
        val_logits=keeper.logits,
        seconds=time.monotonic() - started,
        resumed_after=resumed_after,
        passes=tuple(keeper.passes),
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
    """Let torch compute on every core that is this process's, and return how many those are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = max((cores or 1) // this_rank().here, 1)
    torch.set_num_threads(cores)
    # Numbers too small to matter would otherwise take the processor's slowest path.
    torch.set_flush_denormal(True)
    return cores


def _make_passes(
    network: Network,
    sides: Sides,
    options: FitOptions,
    callbacks: list[Callback],
    found: Found | None,
) -> None:
    """Make all passes that are left."""
    classes = network.head.out_features
    module = ClassifierModule(
        in_channels_last(network),
        options,
        counts=np.bincount(sides.train.labels, minlength=classes),
        folder=sides.folder,
    )
    rank = this_rank() if options.devices * options.nodes > 1 else Rank()
    train = Batches(
        sides.train,
        batch_size=options.batch_size,
        weights=sides.weights,
        seed=options.seed,
        rank=rank,
        ahead=torch_device(options.device).type == "cuda",
    )
    val = Batches(sides.val, batch_size=_VALIDATION_BATCH * rank.of, rank=rank)
    before = [SeedPasses(train, options.seed), OneSetOfStatistics()]
    signals = OwnSignals()
    trainer = _trainer(options, [signals, *before, *callbacks])
    if options.compile:
        network.compile()
    start = str(found.path) if found else None
    with signals.kept():
        trainer.fit(module, _loader(train), _loader(val), ckpt_path=start, weights_only=True)


def _trainer(options: FitOptions, callbacks: list[Callback]) -> lightning.Trainer:
    device = torch_device(options.device)
    return lightning.Trainer(
        max_epochs=options.epochs,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=options.devices,
        num_nodes=options.nodes,
        strategy=_strategy(options),
        sync_batchnorm=device.type == "cuda" and options.devices * options.nodes > 1,
        use_distributed_sampler=False,
        precision="bf16-mixed" if has_bfloat16(device) else "32-true",
        callbacks=callbacks,
        plugins=[WholeFile()],
        logger=False,
        enable_checkpointing=any(isinstance(each, SavePasses) for each in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _strategy(options: FitOptions) -> str:
    is_named = options.strategy not in {"auto", RAY}
    if is_named or options.devices * options.nodes == 1:
        return options.strategy if is_named else "auto"
    return "ddp"


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
