"""The numbers of several processes as those of one service, in Prometheus' text format.

Counters and histograms add up, and what a process had counted stays counted when it is gone: a
counter never goes down. Gauges add up over the processes there are, but for those that every
process reads off the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

# Read off one folder and one database by every front alike.
_SAME_FOR_ALL: Final = frozenset({"weakspot_spool_bytes", "weakspot_postgres_away"})
_KEPT: Final = frozenset({"counter", "histogram"})
_CREATED: Final = "_created"

Numbers = list[dict[str, Any]]
_Key = tuple[str, tuple[tuple[str, str], ...]]


def numbers_of(registry: CollectorRegistry) -> Numbers:
    """Return everything in a registry as JSON holds it."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "meaning": family.documentation,
            "samples": [[each.name, each.labels, each.value] for each in family.samples],
        }
        for family in registry.collect()
    ]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a front says of itself.

    Attributes:
        numbers: Its metrics.
        segments: Predictions in each segment of the spool, as far as it knows.
    """

    numbers: Numbers = field(default_factory=list[dict[str, Any]])
    segments: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class _Family:
    kind: str
    meaning: str
    values: dict[_Key, float] = field(default_factory=dict[_Key, float])

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        key = (name, tuple(labels.items()))
        before = self.values.get(key)
        if before is None:
            self.values[key] = value
        elif name.endswith(_CREATED):
            self.values[key] = min(before, value)
        elif name in _SAME_FOR_ALL:
            self.values[key] = max(before, value)
        else:
            self.values[key] = before + value


class Sum:
    """Numbers of several processes, added up."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def add(self, numbers: Numbers, *, gone: bool = False) -> None:
        """Add those of one process.

        Args:
            numbers: As `numbers_of` gave them.
            gone: Whether the process is no more: then only what it counted is added.
        """
        for each in numbers:
            if gone and each["type"] not in _KEPT:
                continue
            family = self._families.setdefault(each["name"], _Family(each["type"], each["meaning"]))
            for name, labels, value in each["samples"]:
                family.add(name, labels, value)

    def numbers(self) -> Numbers:
        """Return the sums in the form in which they came."""
        return [
            {
                "name": name,
                "type": family.kind,
                "meaning": family.meaning,
                "samples": [[key[0], dict(key[1]), v] for key, v in family.values.items()],
            }
            for name, family in self._families.items()
        ]


class _Page:
    """What `generate_latest` asks of a registry."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        for each in self._numbers:
            metric = Metric(each["name"], each["meaning"], each["type"])
            for name, labels, value in each["samples"]:
                metric.add_sample(name, labels, value)
            yield metric


def render(parts: Iterable[Numbers], *, gone: Numbers) -> bytes:
    """Return one page of the numbers of all processes.

    Args:
        parts: Of every process there is.
        gone: What those counted that are no more.
    """
    total = Sum()
    for part in parts:
        total.add(part)
    total.add(gone, gone=True)
    page: Any = _Page(total.numbers())
    return generate_latest(page)
