"""What a class was mistaken for: by version, before and since it fell, beside the reference."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.store.class_days import ClassDay
    from core.store.flags import Flag
    from core.store.registry import Version

Stretch = Literal["whole", "since the fall", "before the fall", "reference"]


@dataclass(frozen=True, slots=True)
class Confusions:
    """What one version mistook the images of a class for.

    Attributes:
        version: The version.
        stretch: On which of its days: all of the range, those since the class fell or those
            before, or none: the images that the version's reference was counted on.
        first: The first of these days; None for the reference.
        last: The last of them.
        n: Images of the class.
        times: How often it was mistaken for each other class.
    """

    version: str
    stretch: Stretch
    first: date | None
    last: date | None
    n: int
    times: Mapping[str, int]

    @property
    def shares(self) -> dict[str, float]:
        """By class, the share of the images that was mistaken for it."""
        return {label: k / self.n for label, k in self.times.items()} if self.n else {}


def of_class(
    epochs: Mapping[str, Sequence[ClassDay]],
    first: date,
    last: date,
    *,
    flag: Flag | None,
    newest: Version,
    label: str,
) -> list[Confusions]:
    """Return what a class was mistaken for, the version examined last first, the reference last.

    Args:
        epochs: The days of the class by version, the newest version first.
        first: The first day that counts.
        last: The last day that counts.
        flag: Its open flag; None without one.
        newest: The version examined last, whose reference counts.
        label: The class.
    """
    found: list[Confusions] = []
    for version, days in epochs.items():
        if flag and flag.version == version and first < flag.since <= last:
            before = flag.since - timedelta(days=1)
            found.append(_counted(days, version, "since the fall", flag.since, last))
            found.append(_counted(days, version, "before the fall", first, before))
        else:
            found.append(_counted(days, version, "whole", first, last))
    return [*found, _reference(newest, label)]


def _counted(
    days: Sequence[ClassDay], version: str, stretch: Stretch, first: date, last: date
) -> Confusions:
    own = [day for day in days if first <= day.day <= last]
    times: Counter[str] = Counter()
    for day in own:
        times.update(day.confused)
    return Confusions(version, stretch, first, last, sum(day.n for day in own), times)


def _reference(version: Version, label: str) -> Confusions:
    counted: Mapping[str, Any] = version.reference.get(label) or {}
    times: Mapping[str, int] = counted.get("confused") or {}
    return Confusions(version.version, "reference", None, None, int(counted.get("n") or 0), times)
