"""The state of a fit after each of its passes, from which a killed run goes on.

A checkpoint is one file, written whole and on disk or not at all. It holds weights, moments of
the optimiser, the schedule and the best pass so far; it is read without unpickling anything but
tensors and plain values. No state of a random generator is kept, because each pass begins from a
seed of its own. A checkpoint is known by the digest of all that decides about a fit: it is never
gone on from with other images, other options or other weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from trainer.fitting.module import FitOptions
from trainer.fitting.passes import KeepBest
from trainer.images.dataset import Pixels, Sides
from trainer.networks.architectures import Network

_NAME = "checkpoint.pt"
_OURS = "weakspot"

_logger = logging.getLogger(__name__)


class SavePasses(Checkpoint):
    """Writes a checkpoint at the end of each pass, after every other callback has had its say."""

    def __init__(self, folder: Path, key: str) -> None:
        self._path = folder / _NAME
        self._key = key
        self._finished = False

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write it."""
        done = trainer.current_epoch + 1
        self._finished = trainer.should_stop or done >= int(trainer.max_epochs or 0)
        trainer.save_checkpoint(self._path)

    @property
    def state_key(self) -> str:
        """The name under which Lightning keeps what follows."""
        return _OURS

    def state_dict(self) -> dict[str, Any]:
        """Return what this fit is known by, and whether it was over."""
        return {"key": self._key, "finished": self._finished}


class WholeFile(CheckpointIO):
    """Writes checkpoints whole or not at all, and reads tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write the file, and leave the one before in its place until it is on disk.

        A disk that is full costs the checkpoint and not the run.
        """
        path = Path(path)
        unfinished = path.with_suffix(".tmp")
        try:
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            _sync(path.parent)
        except (OSError, RuntimeError) as error:  # torch has its own for a write cut short
            _logger.warning("%s could not be written, the run goes on without: %s", path, error)
            unfinished.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read the file onto the processor."""
        return torch.load(Path(path), map_location="cpu", weights_only=True)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the file."""
        Path(path).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint from which a fit goes on.

    Attributes:
        path: Where it lies.
        best: The best pass so far, as `KeepBest` put it away.
        is_finished: Whether the fit had made its last pass.
    """

    path: Path
    best: dict[str, Any]
    is_finished: bool


def find(folder: Path, key: str) -> Found | None:
    """Return the checkpoint of the fit that is known by `key`.

    None where there is none, or one that cannot be read or belongs to another fit: then the fit
    begins anew, and overwrites it.
    """
    path = folder / _NAME
    if not path.exists():
        return None
    try:
        kept = WholeFile().load_checkpoint(path)["callbacks"]
        best, ours = kept[KeepBest.__qualname__], kept[_OURS]
        found, finished = ours["key"], bool(ours["finished"])
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        _logger.warning("%s cannot be read, beginning anew: %s", path, error)
        return None
    if found != key:
        _logger.warning("%s is of a fit with other images or options, beginning anew", path)
        return None
    return Found(path, best, finished)


def key_of(network: Network, sides: Sides, options: FitOptions) -> str:
    """Return the SHA-256 of all that decides about a fit: weights, images, options, versions."""
    facts = {
        "options": asdict(options),
        "recipe": sides.recipe.to_dict(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for pixels in (sides.train, sides.val):
        digest.update(_listing(pixels))
    digest.update(sides.weights.tobytes())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _listing(pixels: Pixels) -> bytes:
    lines = (
        f"{sample.sha256} {number}\n"
        for sample, number in zip(pixels.samples, pixels.labels.tolist(), strict=True)
    )
    return "".join(lines).encode()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
