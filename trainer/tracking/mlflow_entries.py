"""What a version looks like in MLflow: its parameters, metrics and tags, in the forms it takes.

MLflow allows few characters in names, 6,000 in a value, and so many entries a request. Nothing
here speaks to a server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.bundle.manifest import Manifest
    from core.store.job_rows import Job
    from core.store.registry import Version

_LONGEST_NAME = 200
_LONGEST_VALUE = 5_000
_PARAMS_A_REQUEST = 100
_METRICS_A_REQUEST = 1_000
_FIGURES = ("n", "top1", "macro_f1", "auroc", "ece")
_FORBIDDEN = re.compile(r"[^\w .\-]")


@dataclass(frozen=True, slots=True)
class Entries:
    """The numbers of one run.

    Attributes:
        params: `(name, value)`.
        metrics: `(name, value, step)`.
        at_ms: When they were taken, in milliseconds since 1970.
    """

    params: tuple[tuple[str, str], ...]
    metrics: tuple[tuple[str, float, int], ...]
    at_ms: int

    def batches(self) -> Iterator[dict[str, Any]]:
        """Yield what `MlflowClient.log_batch` takes, as much at a time as it may be."""
        from mlflow.entities import Metric, Param

        for start in range(0, len(self.params), _PARAMS_A_REQUEST):
            part = self.params[start : start + _PARAMS_A_REQUEST]
            yield {"params": [Param(name, value) for name, value in part]}
        for start in range(0, len(self.metrics), _METRICS_A_REQUEST):
            found = self.metrics[start : start + _METRICS_A_REQUEST]
            yield {
                "metrics": [Metric(name, value, self.at_ms, step) for name, value, step in found]
            }


def of_version(version: Version, manifest: Manifest, at_ms: int) -> Entries:
    """Return a version's parameters and metrics: of each pass, and of both splits at the end."""
    passes: list[Mapping[str, Any]] = manifest.training.get("passes", [])
    metrics = [
        (name, float(each[name]), int(each["number"]))
        for each in passes
        for name in ("train_loss", "val_loss", "val_accuracy", "learning_rate")
        if each.get(name) is not None
    ]
    last = int(passes[-1]["number"]) if passes else 0
    for side, found in version.metrics.items():
        figures = {name: found.get(name) for name in _FIGURES}
        figures |= _recalls(found.get("per_class", {}))
        metrics += [
            (f"{side}/{name}", float(value), last)
            for name, value in figures.items()
            if value is not None
        ]
    return Entries(tuple(_flat(version.config)), tuple(metrics), at_ms)


def tags(version: Version, job: Job | None) -> dict[str, str]:
    """Return where a version comes from, and what the gate said of it."""
    found = {
        "weakspot.version": version.version,
        "weakspot.snapshot": version.snapshot,
        "weakspot.code": version.code_version,
        "weakspot.parent": version.parent or "",
    }
    if job is not None:
        gate = (job.result or {}).get("gate") or {}
        found["weakspot.job"] = str(job.id)
        found["weakspot.status"] = job.status
        found["weakspot.gate"] = str(gate.get("decision", ""))
    return {name: value[:_LONGEST_VALUE] for name, value in found.items() if value}


def model_name(name: str) -> str:
    """Return a model's name as MLflow may call it: without quotes, slashes and colons.

    Example:
        >>> model_name("pets/'v2'")
        'pets__v2_'
    """
    return _FORBIDDEN.sub("_", name)[:_LONGEST_NAME]


def _recalls(per_class: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the recalls by names that MLflow takes; two classes never share one."""
    named: dict[str, float | None] = {}
    for label, recall in per_class.items():
        # A dot is allowed, but not as a folder's name.
        name = f"recall/{_FORBIDDEN.sub('_', label).replace('.', '_')[:_LONGEST_NAME]}"
        while name in named:
            name += "_"
        named[name] = recall
    return named


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        name = f"{prefix}{_FORBIDDEN.sub('_', key)}"[:_LONGEST_NAME]
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            yield name, text[:_LONGEST_VALUE]
