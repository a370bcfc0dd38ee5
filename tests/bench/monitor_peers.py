"""One drift check by a peer, in a process of its own: `python monitor_peers.py NAME FOLDER`.

The folder holds `reference.npz` and `day.npz`: a column of numbers each, and `label` as class
numbers. What is timed is the check alone, with the frames in memory; what is printed is one JSON
object with seconds and the process's peak memory, as the kernel counted it.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

LABEL = "label"


def main() -> None:
    """Read the frames, run the check, print what it took."""
    name, folder, memory_bytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    warnings.simplefilter("ignore")
    reference, day = (_frame(folder / f"{side}.npz") for side in ("reference", "day"))
    run = {"evidently": _evidently, "nannyml": _nannyml}[name]
    begun, computed = time.monotonic(), time.process_time()
    run(reference, day)
    seconds, processor_s = time.monotonic() - begun, time.process_time() - computed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer = {"seconds": seconds, "processor_s": processor_s, "bytes": peak}
    sys.stdout.write(json.dumps(answer) + "\n")


def _frame(path: Path) -> pd.DataFrame:
    with np.load(path) as stored:
        columns = {name: stored[name] for name in stored.files}
    numbers = columns.pop(LABEL)
    names = [f"class_{number}" for number in range(2_500)]
    columns[LABEL] = pd.Categorical.from_codes(numbers, names).astype(str)
    return pd.DataFrame(columns)


def _evidently(reference: pd.DataFrame, day: pd.DataFrame) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name in day.columns if name != LABEL]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[LABEL])
    report = Report([DataDriftPreset(num_method="ks", cat_method="psi")])
    sides = [Dataset.from_pandas(frame, definition) for frame in (day, reference)]
    report.run(*sides).dict()


def _nannyml(reference: pd.DataFrame, day: pd.DataFrame) -> None:
    import nannyml

    calculator = nannyml.UnivariateDriftCalculator(
        column_names=list(day.columns),
        treat_as_categorical=[LABEL],
        continuous_methods=["kolmogorov_smirnov"],
        categorical_methods=["chi2"],
        chunk_number=1,
    )
    calculator.fit(reference)
    calculator.calculate(day).to_df()


if __name__ == "__main__":
    main()
