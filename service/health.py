"""Whether the service can do its work: one check for each thing it depends on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from core.errors import StoreError
from core.store.database import require_schema
from service.rooms import Rooms
from service.schemas import Check, Readiness
from service.upkeep import Upkeep

_LEAST_FREE_BYTES = 100_000_000


def readiness(rooms: Rooms) -> Readiness:
    """Look at everything a prediction needs; takes as long as Postgres does to answer."""
    database = _database(rooms)
    checks = {
        "database": database,
        "migrations": _migrations(rooms) if database.ok else Check(ok=False, detail="unknown"),
        "model": _model(rooms),
        "disk": _disk(rooms.folders),
        "log": _log(rooms),
    }
    if rooms.upkeep:
        checks["monitor"] = _monitor(rooms.upkeep)
    if rooms.shadow:
        state = rooms.shadow.state
        checks["shadow"] = Check(ok=state.ok, detail=state.detail)
    # Without Postgres predictions are answered all the same, while the log takes them.
    # And a late monitor is no reason to send callers away, nor a challenger that cannot be scored.
    spared = {"monitor", "shadow"}
    if not database.ok:
        spared |= {"database", "migrations"}
    needed = checks.keys() - spared
    return Readiness(ready=all(checks[name].ok for name in needed), checks=checks)


def _database(rooms: Rooms) -> Check:
    # Asked by the log's connections: the others wait longer than anybody should for this answer.
    if not rooms.store.away and rooms.store.probe():
        return Check(ok=True, detail="answers")
    return Check(ok=False, detail="does not answer as it should")


def _log(rooms: Rooms) -> Check:
    state = rooms.log.state()
    return Check(ok=state.ok, detail=state.detail)


def _monitor(upkeep: Upkeep) -> Check:
    late = upkeep.late.to_text()
    return Check(ok=not late, detail=late or "examines the days in time")


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
    return Check(ok=True, detail=f"{serving.runner.version} by {serving.runner.engine}")


def _disk(folders: tuple[Path, ...]) -> Check:
    """Uploads larger than 1 MB and bundles need room; a full disk is worth knowing early."""
    for folder in (*folders, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free
        if free < _LEAST_FREE_BYTES:
            need = _LEAST_FREE_BYTES // 1_000_000
            return Check(ok=False, detail=f"{free // 1_000_000} MB free, {need} MB needed")
    return Check(ok=True, detail="has room")
