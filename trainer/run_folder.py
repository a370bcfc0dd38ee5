"""The folder of a run: one process at a time, found again by the same run when it was killed.

What a run needs to go on (decoded images, checkpoints) lies in a folder named after the run. It
is removed when the run is over, and when the run failed in a way that would fail again. A folder
that nobody has touched for a week is removed by the next run, and so are kept features
(trainer.fitting.head) that nobody has used for thirty days.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from core.errors import StaleRunError, StoreError, WeakspotError

FEATURES = "features"  # folder of kept features, among those of runs

_OLD_S = 7 * 86_400
_UNUSED_S = 30 * 86_400  # longer than a cool-down: the next retraining uses them
_KINDS = ("run-*", "train-*", "job-*")


@contextmanager
def run_folder(runs: Path, name: str) -> Generator[Path]:
    """Give the folder of the run of that name, as it was left when the run was killed.

    While another process is in it, such as one that is thought dead and only sleeps, a fresh one
    is given instead.

    Args:
        runs: Folder of all runs; made when missing.
        name: The same whenever the run is tried again.
    """
    runs.mkdir(parents=True, exist_ok=True)
    _remove_old(runs)
    runs = runs.absolute()
    descriptor = _locked(runs / name)
    folder = runs / name
    if descriptor is None:
        folder = runs / f"{name}-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
    try:
        yield folder
    except WeakspotError as error:
        # Postgres may be back when the run is tried again; the others would come again.
        if not isinstance(error, StoreError) or isinstance(error, StaleRunError):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def begun(folder: Path, now: datetime) -> datetime:
    """Return when the run of this folder began: now, or what its first attempt noted.

    What came into the pool between two attempts of one run would make them two runs.
    """
    note = folder / "begun.json"
    with suppress(OSError, ValueError, KeyError):
        return datetime.fromisoformat(json.loads(note.read_text(encoding="utf-8"))["at"])
    unfinished = folder / "begun.tmp"
    unfinished.write_text(json.dumps({"at": now.isoformat()}), encoding="utf-8")
    unfinished.replace(note)
    return now


def _locked(folder: Path) -> int | None:
    """Return a descriptor that locks the folder, which is made if need be; None if it is held.

    The lock dies with its process. A file system without locks counts as held: then nothing is
    shared, and nothing gone on from.
    """
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed the folder in between.
        if folder.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove_old(runs: Path) -> None:
    for kind in _KINDS:
        for folder in runs.glob(kind):
            if _is_older(folder, _OLD_S):
                shutil.rmtree(folder, ignore_errors=True)
    for file in runs.glob(f"{FEATURES}/*"):
        if _is_older(file, _UNUSED_S):
            with suppress(OSError):
                file.unlink()


def _is_older(path: Path, seconds: float) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > seconds
    return False
