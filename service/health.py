"""Whether the service can do its work: one check for each thing it depends on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from core.errors import StoreError
from core.store.database import is_reachable, require_schema
from service.rooms import Rooms
from service.schemas import Check, Readiness

_LEAST_FREE_BYTES = 100_000_000


def readiness(rooms: Rooms) -> Readiness:
    """Look at everything a prediction needs; takes as long as Postgres does to answer."""
    database = _database(rooms)
    checks = {
        "database": database,
        "migrations": _migrations(rooms) if database.ok else Check(ok=False, detail="unknown"),
        "model": _model(rooms),
        "disk": _disk(rooms.folders),
    }
    return Readiness(ready=all(check.ok for check in checks.values()), checks=checks)


def _database(rooms: Rooms) -> Check:
    if is_reachable(rooms.engine):
        return Check(ok=True, detail="answers")
    return Check(ok=False, detail="does not answer; predictions get 503 until it does")


def _migrations(rooms: Rooms) -> Check:
    try:
        require_schema(rooms.engine)
    except StoreError as error:
        return Check(ok=False, detail=str(error))
    return Check(ok=True, detail="as this code needs them")


def _model(rooms: Rooms) -> Check:
    serving = rooms.slot.peek()
    if serving is None:
        return Check(ok=False, detail=rooms.slot.reason)
    return Check(ok=True, detail=f"{serving.runner.version} on {serving.runner.device}")


def _disk(folders: tuple[Path, ...]) -> Check:
    """Uploads larger than 1 MB and bundles need room; a full disk is worth knowing early."""
    for folder in (*folders, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free
        if free < _LEAST_FREE_BYTES:
            need = _LEAST_FREE_BYTES // 1_000_000
            return Check(ok=False, detail=f"{free // 1_000_000} MB free, {need} MB needed")
    return Check(ok=True, detail="has room")
