"""A day's predictions against the reference profile, with Evidently at work."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.store import drift as drift_checks
from core.store import rollups
from core.store.database import transaction
from core.store.drift import DriftCheck
from core.store.registry import Version
from monitor import columns, drift
from monitor.daily import check_drift
from monitor.page import MonitorOptions
from tests.pool import add_predictions, day, night_after, register


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """The champion."""
    return register(engine, tmp_path / "bundles")


def _check(engine: Engine, version: Version, home: Path) -> dict[str, DriftCheck]:
    found = drift.check(engine, day(1), version, rows=2_000, reports=home / "reports")
    return {check.column: check for check in found}


def _drifted(checks: Mapping[str, DriftCheck]) -> set[str]:
    return {name for name, check in checks.items() if check.verdict == "drift"}


class TestCheck:
    """`drift.check` on predictions a real runner made."""

    def test_traffic_like_the_reference_is_no_drift(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Columns that never vary among it: the drawn pictures all have one size."""
        add_predictions(engine, version, day(1), 200)
        checks = _check(engine, version, tmp_path)

        assert (_drifted(checks), len(checks)) == (set(), 11)
        assert checks["aspect"].p_value == 1.0

    def test_darker_pictures_are_found_and_evidently_tested_them(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Its p-values are the ones that are kept, and its report lies beside."""
        add_predictions(engine, version, day(1), 200, darker=0.6)
        checks = _check(engine, version, tmp_path)

        assert "brightness" in _drifted(checks)
        assert checks["brightness"].method == "Kolmogorov-Smirnov (Evidently)"
        report = tmp_path / "reports" / str(checks["brightness"].report)
        assert b"brightness" in report.read_bytes()
        assert list(report.parent.iterdir()) == [report]

    def test_another_mix_of_labels_is_found(self, engine: Engine, version: Version, tmp_path: Path):
        """Also when a class is absent altogether, on which Evidently alone would stumble."""
        add_predictions(engine, version, day(1), 200, shares={"Cat": 0.7, "Dog": 0.3})

        assert columns.PREDICTED in _drifted(_check(engine, version, tmp_path))

    def test_too_few_predictions_are_not_enough_data(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """F27: said so, for every column, and no report is drawn."""
        add_predictions(engine, version, day(1), columns.FEWEST - 1)
        checks = _check(engine, version, tmp_path)

        assert {check.verdict for check in checks.values()} == {"not enough data"}
        assert {check.n for check in checks.values()} == {columns.FEWEST - 1}
        assert not (tmp_path / "reports").exists()

    def test_a_day_without_any_is_not_enough_data(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """F27: nothing is divided by nothing."""
        checks = _check(engine, version, tmp_path)

        assert {check.verdict for check in checks.values()} == {"not enough data"}


class TestCheckDrift:
    """`weakspot drift`, by hand."""

    def test_looking_again_gives_the_same_rows(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """The sample is drawn by a hash of the day, and so are the permutations."""
        add_predictions(engine, version, day(1), 120)
        arguments = {
            "options": MonitorOptions(drift_rows=100),
            "clock": night_after(1),
            "reports": tmp_path / "reports",
        }
        first = check_drift(engine, day(1), **arguments)
        with transaction(engine) as connection:
            stored = drift_checks.of_day(connection, day(1), "v1")
        second = check_drift(engine, day(1), **arguments)

        assert (first, {row["n"] for row in first}) == (second, {100})
        with transaction(engine) as connection:
            assert drift_checks.matrix(connection, day(1), day(1)) == stored


class TestRollUp:
    """The day's sums."""

    def test_adds_up_what_was_predicted_and_again_changes_nothing(
        self, engine: Engine, version: Version
    ):
        """Hour by hour, and the same bits each time."""
        add_predictions(engine, version, day(1), 60, shares={"Cat": 1.0})
        with transaction(engine) as connection:
            n = rollups.roll_up(connection, day(1))
            first = rollups.by_day(connection, day(1), day(1))
            rollups.roll_up(connection, day(1))
            hours = rollups.by_hour(connection, day(1), day(1))

            assert rollups.by_day(connection, day(1), day(1)) == first
        assert (n, len(hours), sum(hour.n for hour in hours)) == (60, 24, 60)
        assert [(row.label, row.n, row.latency_ms) for row in first] == [("Cat", 60, 5.0)]

    def test_of_another_day_leaves_it_alone(self, engine: Engine, version: Version):
        """A day is its own 24 hours, in UTC."""
        add_predictions(engine, version, day(1), 10)
        with transaction(engine) as connection:
            assert rollups.roll_up(connection, day(2)) == 0
            assert rollups.by_day(connection, day(1), day(2)) == []
