"""What Evidently says of a day's columns, and the report it draws, from a child process.

The only module that knows Evidently. It is a guest: it takes seconds to import, phones home
unless told not to, and what it does with odd data is its own affair. So it works in a process of
its own with limits on memory and time, on a bounded sample, without our secrets. When it fails,
crashes or hangs, that is told in words, and the day's verdicts rest on our own tests.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.drift.samples import Sample

MOST_ROWS = 10_000  # of either side

_PREDICTED = "predicted label"
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
_TAIL = 300  # characters of what a child that failed said last


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may cost.

    Attributes:
        seconds: Of wall-clock time; of processor time on one core as well.
        memory_bytes: Of address space.
    """

    seconds: float = 180.0
    memory_bytes: int = 4_000_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What Evidently said.

    Attributes:
        p_values: By column; columns it has nothing to say of are absent.
        complaint: Why it said nothing; empty when it did.
    """

    p_values: dict[str, float] = field(default_factory=dict)
    complaint: str = ""


def ask(
    reference: Sample,
    current: Sample,
    labels: Sequence[str],
    path: Path,
    *,
    columns: Sequence[str],
    limits: Limits | None = None,
) -> Answer:
    """Have Evidently test the columns, and leave its report at `path`, whole or not at all.

    Args:
        reference: Rows of normal traffic; the first MOST_ROWS are shown.
        current: Rows of the day; likewise.
        labels: The names of the classes.
        path: Where the report goes.
        columns: Columns of numbers that have enough of them on both sides.
        limits: What the child may cost.
    """
    limits = limits or Limits()
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # One thread: the sample is small, and each thread more would reserve address space.
    environment |= {"DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="weakspot-report-") as folder:
        work = Path(folder)
        _save(work / "reference.npz", reference, columns)
        _save(work / "current.npz", current, columns)
        task = {"columns": list(columns), "labels": list(labels)}
        (work / "task.json").write_text(json.dumps(task | asdict(limits)), encoding="utf-8")
        command = [sys.executable, "-B", "-m", "monitor.drift.column_report", folder]
        try:
            ended = subprocess.run(
                command,
                env=environment | {"HOME": folder},
                capture_output=True,
                timeout=limits.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(complaint=f"Evidently was stopped after {limits.seconds:.0f} s")
        if ended.returncode or not (work / "report.html").exists():
            return Answer(complaint=_last_words(ended))
        _move(work / "report.html", path)
        return Answer(json.loads((work / "p_values.json").read_text(encoding="utf-8")))


def _last_words(ended: subprocess.CompletedProcess[bytes]) -> str:
    said = ended.stderr.decode(errors="replace").strip().splitlines()
    code = ended.returncode
    how = f"signal {-code}" if code < 0 else f"exit {code}"
    return f"Evidently ended by {how}: {said[-1][-_TAIL:] if said else 'no word'}"


def _move(source: Path, path: Path) -> None:
    # The home may lie on another disk than the temporary folder, so a rename is not enough.
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(source.read_bytes())
    temporary.replace(path)


def _save(path: Path, sample: Sample, columns: Sequence[str]) -> None:
    kept: dict[str, Any] = {name: sample.columns[name][:MOST_ROWS] for name in columns}
    np.savez(path, allow_pickle=False, **kept, predicted=sample.predicted[:MOST_ROWS])


def main(arguments: Sequence[str]) -> int:
    """Run in the child: take the limits on, ask Evidently, leave its answers in the folder."""
    work = Path(arguments[0])
    task = json.loads((work / "task.json").read_text(encoding="utf-8"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(task["seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (task["memory_bytes"], task["memory_bytes"]))
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        snapshot = _compare(
            _frame(work / "reference.npz", task), _frame(work / "current.npz", task)
        )
        said = _p_values(snapshot.dict())
        snapshot.save_html(str(work / "drawing.html"))
    finite = {name: p for name, p in said.items() if np.isfinite(p)}
    (work / "p_values.json").write_text(json.dumps(finite), encoding="utf-8")
    (work / "drawing.html").replace(work / "report.html")
    return 0


def _frame(path: Path, task: dict[str, Any]) -> Any:
    import pandas as pd

    with np.load(path) as stored:
        names = np.array(task["labels"], dtype=object)[stored["predicted"]]
        return pd.DataFrame({name: stored[name] for name in task["columns"]} | {_PREDICTED: names})


def _compare(reference: Any, current: Any) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name in reference.columns if name != _PREDICTED]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[_PREDICTED])
    report = Report([DataDriftPreset(num_method="ks", cat_method="psi")])
    return report.run(
        Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
    )


def _p_values(answer: dict[str, Any]) -> dict[str, float]:
    """Read the value of each column's drift metric off Evidently's answer."""
    configs = [(metric["config"], metric["value"]) for metric in answer["metrics"]]
    return {
        config["column"]: float(value)
        for config, value in configs
        if "column" in config and config.get("method") == "ks"
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
