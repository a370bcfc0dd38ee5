"""Whether a day's predictions still look like the traffic the version was made for.

A bounded random sample of the day is compared with the reference (monitor.drift.samples), column by
column, over all predictions and by predicted class (monitor.drift.columns); classes that the sample
has no room for are compared by their sums (monitor.drift.class_means). Evidently tests the columns
of numbers and draws the report for people (monitor.drift.column_report). The mix of predicted
labels, the embedding, the classes, the correction over the family and the verdicts are ours, and
stay in our own tables: drift needs both significance and an effect. It is told, and pages nobody by
itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.bundle.profile import COLUMNS
from core.clock import day_bounds
from core.images.descriptors import DESCRIPTORS
from core.stats import twosample
from core.store import column_sums, drift_days, drift_pictures
from core.store import drift as drift_checks
from core.store.database import transaction
from core.store.drift import DriftCheck
from monitor.drift import class_means, column_report, columns, old_reports, pictures, samples
from monitor.drift.columns import EMBEDDING, PREDICTED, Finding
from monitor.drift.samples import FEWEST
from monitor.page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection, Engine

    from core.stats.means import Moments
    from core.store.registry import Version
    from monitor.drift.samples import Reference, Sample

LEVEL = 0.05  # share of false verdicts accepted within a day's family

# How much of that level each question may use; what is not asked leaves its share to the others.
# The mix of labels has most: ten points onto one of a few classes are near what 500 predictions
# can show at all, while a blur or a fifth of the light is found at any of these levels
# (docs/drift.md). The classes have shares of their own, or thousands of checks among them would
# drown what moved over all predictions.
_SHARES = {
    PREDICTED: 0.65,
    "inputs": 0.1,
    "confidence": 0.075,
    EMBEDDING: 0.075,
    "columns by class": 0.05,
    "embedding by class": 0.05,
}

# What later days are compared with is kept for as long as any of them looks back to it.
_KEPT_FOR = timedelta(weeks=samples.LOOK_BACK_WEEKS)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a day is to be checked.

    Attributes:
        rows: Predictions sampled at most, of the day and of the reference.
        reports: Folder for Evidently's report, as `<day>/<version>.html`.
        report_days: For so many days reports are kept.
        now: The present moment.
        limits: What Evidently may cost; None for the usual.
    """

    rows: int
    reports: Path
    report_days: int
    now: datetime
    limits: column_report.Limits | None = None

    @property
    def oldest_report(self) -> date:
        """The first day whose report is kept."""
        return self.now.date() - timedelta(days=self.report_days)


def examine(page: Page) -> list[DriftCheck]:
    """Check the day on the page, store the verdicts, and drop reports that are too old."""
    options, version = page.options, page.version
    terms = Terms(options.drift_rows, page.reports, options.report_days, page.clock.now())
    checks = check(page.engine, page.day, version, terms)
    with page.writing() as connection:
        drift_checks.write(connection, page.day, version.version, checks)
        drift_checks.forget_reports(connection, terms.oldest_report)
        drift_days.forget(connection, page.day - _KEPT_FOR)
        drift_pictures.forget(connection, page.day - _KEPT_FOR)
    old_reports.drop(page.reports, terms.oldest_report)
    return checks


def check(engine: Engine, day: date, version: Version, terms: Terms) -> list[DriftCheck]:
    """Compare a day's predictions of a version with their reference; no verdict is stored.

    The day must have been rolled up. The sample is drawn by a hash of the day, so the same
    predictions give the same verdicts. Part of it, and the day's sums by class, are kept for the
    days that will be compared with this one; histograms and a map of it for those who look.

    Raises:
        BundleError: The profile is missing or altered.
        StoreError: Postgres is away.
    """
    with transaction(engine) as connection:
        current, sums = _seen(connection, day, version, terms.rows)
        reference = samples.reference_of(connection, day, version, rows=terms.rows)
        profile = reference.profile or reference.sample
        normals = class_means.normals(connection, day, version.version, reference, profile)
        if len(current.predicted):
            drawn, n = samples.to_keep(current, version), int(current.counts.sum())
            drift_days.write(connection, day, version.version, n=n, drawn=drawn, sums=sums)
            shown = pictures.draw(connection, reference.sample, current, version.labels)
            drift_pictures.write(connection, day, version.version, shown)
    seed = hashlib.sha256(f"{day}/{version.version}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8]))
    report = f"{day}/{version.version}.html"
    said = _ask_evidently(reference.sample, current, version, terms, report, day)
    found = columns.compare(reference.sample, current, version.labels, said.p_values, rng)
    found = [_with_complaint(each, said.complaint) for each in found]
    found += columns.compare_classes(reference.sample, current, rng)
    sampled = {each.label for each in found if each.label is not None}
    found += class_means.compare(normals, sums, sampled)
    written = report if said.p_values else None
    return telling(judge(found, _Frame(day, version, reference, current, written, terms.now)))


def telling(checks: Sequence[DriftCheck]) -> list[DriftCheck]:
    """Leave out, of classes compared by their means, the columns with nothing to say.

    All are corrected for; kept are those that drifted, or else the one that comes nearest to it,
    so that every class compared has a row, and thousands of classes not ten each.
    """
    nearest: dict[str | None, DriftCheck] = {}
    for each in checks:
        other = nearest.get(each.label)
        if other is None or _p_value(each) < _p_value(other):
            nearest[each.label] = each
    drifting = {each.label for each in checks if each.verdict == "drift"}
    return [
        each
        for each in checks
        if each.method != class_means.MEANS
        or each.verdict == "drift"
        or (each.label not in drifting and each is nearest[each.label])
    ]


def _p_value(check: DriftCheck) -> float:
    return 1.0 if check.p_value is None else check.p_value


def _seen(connection: Connection, day: date, version: Version, rows: int) -> tuple[Sample, Moments]:
    """Return a day's sample and its sums: from its log, or what was kept once that is dropped."""
    current = samples.of_day(connection, day, version, rows=rows)
    kept: list[Moments] = []
    if not len(current.predicted):
        kept = drift_days.sums_of_days(connection, version.version, [day])
        current = samples.past_day(connection, day, version, rows=rows)
    if kept:
        return current, kept[0]
    return current, column_sums.sum_up(connection, day, version.version, version.labels)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all verdicts of a day share."""

    day: date
    version: Version
    reference: Reference
    current: Sample
    report: str | None
    now: datetime


def judge(findings: Sequence[Finding], frame: _Frame) -> list[DriftCheck]:
    """Return the verdicts: drift where the corrected p-value and the effect both say so."""
    adjusted = correct(findings)
    of_profile: dict[str, float] = {}
    if frame.reference.profile is not None:
        of_profile = columns.distances(frame.reference.profile, frame.current)
    start, end = day_bounds(frame.day)
    shared = {
        "day": frame.day,
        "version": frame.version.version,
        "window_start": start,
        "window_end": min(end, max(frame.now, start)),
        "level": LEVEL,
    }
    return [
        DriftCheck(
            **shared,
            label=None if each.label is None else frame.version.labels[each.label],
            column=each.column,
            method=each.method,
            reference=each.reference or frame.reference.name,
            n=each.n,
            reference_n=each.reference_n,
            statistic=each.statistic,
            p_value=each.p_value,
            adjusted_p=p,
            effect=each.effect,
            effect_floor=each.effect_floor,
            verdict=verdict_of(each, p),
            report=frame.report if each.label is None else None,
            profile_effect=of_profile.get(each.column) if each.label is None else None,
            detail=each.detail,
        )
        for each, p in zip(findings, adjusted, strict=True)
    ]


def correct(findings: Sequence[Finding]) -> list[float | None]:
    """Return the p-values corrected over the whole family (weighted BH), in the order given."""
    tested = [place for place, each in enumerate(findings) if each.p_value is not None]
    raw = [findings[place].p_value or 0.0 for place in tested]
    weights = _weights([_question(findings[place]) for place in tested])
    adjusted: list[float | None] = [None] * len(findings)
    corrected = twosample.benjamini_hochberg(raw, weights).tolist()
    for place, p in zip(tested, corrected, strict=True):
        adjusted[place] = p
    return adjusted


def _weights(questions: Sequence[str]) -> NDArray[np.float64]:
    """Share the level out among the questions that were asked, and evenly within each."""
    counted = Counter(questions)
    total = sum(_SHARES[name] for name in counted)
    return np.array([len(questions) * _SHARES[each] / total / counted[each] for each in questions])


def _question(finding: Finding) -> str:
    if finding.label is not None:
        return "embedding by class" if finding.column == EMBEDDING else "columns by class"
    if finding.column in DESCRIPTORS:
        return "inputs"
    return "confidence" if finding.column in COLUMNS else finding.column


def verdict_of(finding: Finding, adjusted: float | None) -> drift_checks.Verdict:
    """Return what is said of a column."""
    if adjusted is None or finding.effect is None:
        return "not enough data"
    is_drift = adjusted <= LEVEL and finding.effect >= finding.effect_floor
    return "drift" if is_drift else "no drift"


def drifted(checks: Sequence[DriftCheck]) -> tuple[str, ...]:
    """Return the columns that drifted over all predictions."""
    return tuple(each.column for each in checks if each.label is None and each.verdict == "drift")


def drifted_classes(checks: Sequence[DriftCheck]) -> tuple[str, ...]:
    """Return the predicted classes in which a column drifted, each once."""
    found = {each.label for each in checks if each.verdict == "drift"}
    return tuple(sorted(label for label in found if label is not None))


def _ask_evidently(
    reference: Sample, current: Sample, version: Version, terms: Terms, report: str, day: date
) -> column_report.Answer:
    """Return what Evidently says; nothing where there is too little, or the day is long past."""
    sides = (reference, current)
    enough = [
        name
        for name in COLUMNS
        if min(int(np.isfinite(side.columns[name]).sum()) for side in sides) >= FEWEST
    ]
    if not enough or day < terms.oldest_report:
        return column_report.Answer()
    path = terms.reports / report
    answer = column_report.ask(
        reference, current, version.labels, path, columns=enough, limits=terms.limits
    )
    if answer.complaint:
        logger.warning("%s of %s: %s; our own tests stand", day, version.version, answer.complaint)
    return answer


def _with_complaint(finding: Finding, complaint: str) -> Finding:
    """Say by a column that Evidently was to test why it is our own test that stands."""
    if not complaint or finding.column not in COLUMNS:
        return finding
    return replace(finding, detail=f"{complaint}; tested by our own")
