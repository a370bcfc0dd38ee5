"""Whether a day's predictions still look like the traffic the version was made for.

The bundle carries a reference profile; a bounded random sample of the day is compared with it,
column by column (monitor.columns). Evidently tests the columns of numbers and draws the report for
people. The mix of predicted labels, the embedding, the correction over the family and the verdicts
are ours, and stay in our own tables: drift needs both significance and an effect.

This is the only module that knows Evidently. It is imported when first needed (4 s), without its
telemetry, and never sees more than the sample. Drift is told, and pages nobody by itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.bundle import files, profile
from core.bundle.profile import COLUMNS
from core.clock import day_bounds
from core.images.descriptors import DESCRIPTORS
from core.stats import twosample
from core.store import predictions
from core.store.database import transaction
from core.store.drift import DriftCheck
from core.store.predictions import Filter
from monitor.columns import FEWEST, PREDICTED, Finding, Sample, compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from core.bundle.profile import ReferenceProfile
    from core.store.predictions import Prediction
    from core.store.registry import Version

LEVEL = 0.05  # share of false verdicts accepted within a day's columns

logger = logging.getLogger(__name__)


def check(
    engine: Engine, day: date, version: Version, *, rows: int, reports: Path
) -> list[DriftCheck]:
    """Compare a day's predictions of a version with its reference profile; nothing is stored.

    The sample is drawn by a hash of the day, so the same predictions give the same verdicts.

    Args:
        engine: Where the predictions are.
        day: The day.
        version: The version, whose bundle holds the profile.
        rows: Predictions sampled at most.
        reports: Folder for Evidently's report, as `<day>/<version>.html`.

    Raises:
        BundleError: The profile is missing or altered.
        StoreError: Postgres is away.
    """
    start, end = day_bounds(day)
    seed = f"{day}/{version.version}"
    wanted = Filter(version=version.version, start=start, end=end)
    with transaction(engine) as connection:
        drawn = predictions.sample(connection, wanted, limit=rows, salt=seed)
    folder = Path(version.uri)
    reference = _of_profile(profile.read(folder, files.read_manifest(folder)))
    current = _of_predictions(drawn, version.labels)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]))
    report = None
    numbers: dict[str, float] = {}
    if len(drawn) >= FEWEST:
        report = f"{day}/{version.version}.html"
        numbers = _ask_evidently(reference, current, version.labels, reports / report)
        report = report if numbers else None
    findings = compare(reference, current, numbers, rng)
    return judge(findings, day, version.version, report)


def judge(
    findings: Sequence[Finding], day: date, version: str, report: str | None
) -> list[DriftCheck]:
    """Return the verdicts: drift where the corrected p-value and the effect both say so."""
    tested = [finding for finding in findings if finding.p_value is not None]
    corrected = twosample.benjamini_hochberg([finding.p_value or 0.0 for finding in tested])
    adjusted = dict(zip((finding.column for finding in tested), corrected.tolist(), strict=True))
    return [_verdict(each, adjusted.get(each.column), day, version, report) for each in findings]


def _verdict(
    finding: Finding, adjusted: float | None, day: date, version: str, report: str | None
) -> DriftCheck:
    moved = adjusted is not None and adjusted <= LEVEL
    far = finding.effect is not None and finding.effect >= finding.effect_floor
    verdict = "drift" if moved and far else "no drift"
    return DriftCheck(
        day=day,
        version=version,
        column=finding.column,
        method=finding.method,
        n=finding.n,
        reference_n=finding.reference_n,
        statistic=finding.statistic,
        p_value=finding.p_value,
        adjusted_p=adjusted,
        effect=finding.effect,
        effect_floor=finding.effect_floor,
        level=LEVEL,
        verdict="not enough data" if finding.p_value is None else verdict,
        report=report,
    )


def _of_profile(reference: ReferenceProfile) -> Sample:
    return Sample(dict(reference.columns), reference.predicted, reference.embedding)


def _of_predictions(drawn: Sequence[Prediction], labels: Sequence[str]) -> Sample:
    """Return predictions by column, without what is no number."""
    index = {label: place for place, label in enumerate(labels)}
    raw = {
        name: np.array([each.descriptors.get(name, np.nan) for each in drawn], dtype=np.float64)
        for name in DESCRIPTORS
    }
    for name in ("confidence", "entropy", "margin"):
        raw[name] = np.array([getattr(each, name) for each in drawn], dtype=np.float64)
    embedded = [each.embedding for each in drawn if each.embedding is not None]
    rows = np.stack(embedded) if embedded else np.zeros((0, predictions.EMBEDDING_DIMENSIONS))
    return Sample(
        {name: values[np.isfinite(values)] for name, values in raw.items()},
        np.array([index[each.label] for each in drawn if each.label in index], dtype=np.int64),
        rows[np.isfinite(rows).all(axis=1)].astype(np.float32),
    )


def _ask_evidently(
    reference: Sample, current: Sample, labels: Sequence[str], path: Path
) -> dict[str, float]:
    """Return Evidently's p-value by column, and leave its report at `path`, whole or not at all.

    Columns that Evidently has nothing to say of are absent. It is a guest: when it fails, that is
    logged, our own test stands in (the method's name tells), and the exam goes on.
    """
    columns = [
        name
        for name in COLUMNS
        if min(len(reference.columns[name]), len(current.columns[name])) >= FEWEST
    ]
    try:
        with _quiet():
            snapshot = _compare(
                _frame(reference, columns, labels), _frame(current, columns, labels)
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            snapshot.save_html(str(temporary))
            temporary.replace(path)
            said = _p_values(snapshot.dict())
    except Exception as error:  # whatever a library raises must not end the day's exam
        logger.warning("Evidently failed on %s: %s: %s", path.name, type(error).__name__, error)
        return {}
    return {name: said[name] for name in columns if np.isfinite(said.get(name, np.nan))}


def _frame(sample: Sample, columns: Sequence[str], labels: Sequence[str]) -> Any:
    """Return a pandas frame; columns of different lengths end in empty cells."""
    import pandas as pd

    series = {name: pd.Series(sample.columns[name]) for name in columns}
    names = np.array(labels, dtype=object)[sample.predicted]
    return pd.DataFrame(series | {PREDICTED: pd.Series(names, dtype=object)})


def _compare(reference: Any, current: Any) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name in reference.columns if name != PREDICTED]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[PREDICTED])
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


@contextmanager
def _quiet() -> Generator[None]:
    """Let Evidently neither phone home nor warn of what is no concern of ours."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
