"""What TensorBoard shows of a run: its passes while they are made, and its figures at the end.

Event files are written by tensorboardX, which needs neither TensorFlow nor TensorBoard itself; to
look at them, `pip install tensorboard` anywhere and `tensorboard --logdir` the folder. A log is for
looking at: a disk that is full costs the log, not the run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from core.bundle import files
from core.errors import UsageError

if TYPE_CHECKING:
    from trainer.fitting.passes import Epoch, OnEpoch
    from trainer.worker import Outcome, Work

logger = logging.getLogger(__name__)

_FLUSH_S = 5
_FIGURES = ("top1", "macro_f1", "auroc", "ece")
_PICTURES = "augmented.png"  # trainer.fitting.module names it, and would load torch


class TensorboardLog:
    """The log of one run.

    Attributes:
        folder: Where its event files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = _writer_class()(str(folder), flush_secs=_FLUSH_S)
        self._passes = 0

    def on_epoch(self, epoch: Epoch) -> None:
        """Write one pass: its losses, accuracy, rate and seconds."""
        self._passes = epoch.number
        for name, value in (
            ("loss/training", epoch.train_loss),
            ("loss/validation", epoch.val_loss),
            ("accuracy/validation", epoch.val_accuracy),
            ("learning_rate", epoch.learning_rate),
            ("seconds", epoch.seconds),
        ):
            self._writer.add_scalar(name, value, epoch.number)

    def finish(self, bundle: Path) -> None:
        """Write which version came of it, its figures on both splits, and what it has seen."""
        manifest = files.read_manifest(bundle)
        # One that went on when all passes had been made has heard of none.
        made: list[dict[str, Any]] = manifest.training.get("passes", [])
        step = max(self._passes, *(int(each["number"]) for each in made), 0)
        self._writer.add_text("version", manifest.version, step)
        for side, found in manifest.metrics.items():
            for name in _FIGURES:
                if found.get(name) is not None:
                    self._writer.add_scalar(f"{side}/{name}", found[name], step)
        if _PICTURES in manifest.files:
            with Image.open(bundle / _PICTURES) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._writer.add_image("augmentation", pixels, 0, dataformats="HWC")

    def close(self) -> None:
        """Write out what is still waiting."""
        try:
            self._writer.close()
        except OSError as error:
            logger.warning("the TensorBoard log %s is incomplete: %s", self.folder, error)


@contextmanager
def logged(folder: Path) -> Generator[TensorboardLog]:
    """Give a log in the folder, closed at the end.

    Raises:
        UsageError: tensorboardX is not installed.
    """
    log = TensorboardLog(folder)
    try:
        yield log
    finally:
        log.close()


def folder_of(parent: Path, name: str, run: Path, now: datetime) -> Path:
    """Return the folder of a run that has no number: its model's name, the time, and its own name.

    While the run's own folder is there, the run was killed and is gone on with; so is its log.

    Args:
        parent: Of all logs.
        name: Of the model.
        run: The run's own folder.
        now: The present moment.
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)
    same = run.name.rpartition("-")[2][:8]
    before = sorted(parent.glob(f"{plain[:60]}-*-{same}")) if run.is_dir() else []
    return before[-1] if before else parent / f"{plain[:60]}-{now:%Y%m%dT%H%M%S}-{same}"


def recorded(work: Work, folder: Path) -> Work:
    """Return the same work, with a log of each job as `job-<id>` below the folder.

    Raises:
        UsageError: tensorboardX is not installed: a worker says so before it takes a job.
    """
    _writer_class()

    def with_log(engine: Any, job: Any, *, on_epoch: OnEpoch | None, **named: Any) -> Outcome:
        with logged(folder / f"job-{job.id}") as log:
            outcome = work(engine, job, on_epoch=both(on_epoch, log.on_epoch), **named)
            if outcome.challenger:
                log.finish(named["bundles"] / outcome.challenger)
        return outcome

    return with_log


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "TensorBoard logs need one package more: pip install 'weakspot[tensorboard]', or "
            "unset WEAKSPOT_TRAINER_TENSORBOARD"
        ) from error
    return SummaryWriter


def both(first: OnEpoch | None, second: OnEpoch | None) -> OnEpoch | None:
    """Return what tells both of each pass."""
    listeners: list[Callable[[Epoch], None]] = [each for each in (first, second) if each]
    if not listeners:
        return None

    def tell(epoch: Epoch) -> None:
        for listener in listeners:
            listener(epoch)

    return tell
