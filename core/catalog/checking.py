"""Is every image of the pool still where it was, and still what it was?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Engine

from core.catalog.reading import side_by_side
from core.catalog.report import LeftOut
from core.errors import CatalogError, InvalidImageError, NotFoundError
from core.images.source import read_bytes
from core.store import images
from core.store.database import transaction
from core.store.images import Sample

OnProgress = Callable[[str, int, int], None]
Fault = Literal["missing", "changed", "unreadable"]

_FAULTS: tuple[Fault, ...] = ("missing", "changed", "unreadable")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """What re-reading the pool found.

    Attributes:
        checked: Images read or looked for.
        faults: How many are missing, changed or unreadable.
        first: The first few of each.
    """

    checked: int
    faults: dict[Fault, int]
    first: dict[Fault, list[LeftOut]]

    @property
    def is_sound(self) -> bool:
        """Whether every image is there and unchanged."""
        return not any(self.faults.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON would hold them."""
        faults = {
            fault: {
                "count": self.faults[fault],
                "first": [{"uri": left.what, "why": left.why} for left in self.first[fault]],
            }
            for fault in _FAULTS
        }
        return {"checked": self.checked, "sound": self.is_sound, **faults}


def verify(engine: Engine, *, on_progress: OnProgress | None = None) -> Verification:
    """Re-read every image of the pool and compare its digest.

    Bytes that are the same still decode as they did at the import, so nothing is decoded.

    Args:
        engine: The database.
        on_progress: Told (stage, done, total).
    """
    with transaction(engine) as connection:
        samples = images.samples(connection)
    counts = dict.fromkeys(_FAULTS, 0)
    first: dict[Fault, list[LeftOut]] = {fault: [] for fault in _FAULTS}
    is_remote = any("://" in sample.uri for sample in samples)
    findings = side_by_side(_examine, samples, is_remote=is_remote)
    for done, (sample, finding) in enumerate(zip(samples, findings, strict=True), start=1):
        if finding is not None:
            fault, why = finding
            counts[fault] += 1
            if len(first[fault]) < _SHOWN:
                first[fault].append(LeftOut(sample.uri, why))
        if on_progress is not None:
            on_progress("verifying images", done, len(samples))
    return Verification(len(samples), counts, first)


def _examine(sample: Sample) -> tuple[Fault, str] | None:
    try:
        digest = hashlib.sha256(read_bytes(sample.uri)).hexdigest()
    except NotFoundError:
        return "missing", "nothing lies there; if it was moved, import it from its new place"
    except InvalidImageError as error:  # too long: it was not when it was imported
        return "changed", str(error)
    except CatalogError as error:
        return "unreadable", str(error)
    if digest != sample.sha256:
        return "changed", f"its SHA-256 is {digest[:12]}…, and was {sample.sha256[:12]}…"
    return None
