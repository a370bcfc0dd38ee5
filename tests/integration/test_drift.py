"""A day's predictions against the reference profile, with Evidently at work."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import drift as drift_checks
from core.store import rollups
from core.store.database import transaction
from core.store.drift import DriftCheck
from core.store.registry import Version
from monitor import daily
from monitor.drift import columns, drift, old_reports, samples
from monitor.drift.column_report import Limits
from monitor.page import MonitorOptions
from tests.pool import add_predictions, day, night_after, register


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """The champion."""
    return register(engine, tmp_path / "bundles")


def _check(
    engine: Engine,
    version: Version,
    home: Path,
    number: int = 1,
    *,
    evidently: Limits | None = None,
) -> dict[str, DriftCheck]:
    """Roll a day up and check it; return the verdicts over all predictions, by column."""
    with transaction(engine) as connection:
        rollups.roll_up(connection, day(number))
    found = drift.check(engine, day(number), version, _terms(home, number, evidently=evidently))
    return {check.column: check for check in found if check.label is None}


def _terms(home: Path, number: int = 1, *, evidently: Limits | None = None) -> drift.Terms:
    """Ask Evidently, which takes seconds, only where its limits are given."""
    days = 0 if evidently is None else 30
    return drift.Terms(2_000, home / "reports", days, night_after(number).now(), evidently)


def _key(check: DriftCheck) -> tuple[str, str]:
    return str(check.label), check.column


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
        checks = _check(engine, version, tmp_path, evidently=Limits())

        assert "brightness" in _drifted(checks)
        assert checks["brightness"].method == "Kolmogorov-Smirnov (Evidently)"
        report = tmp_path / "reports" / str(checks["brightness"].report)
        assert b"brightness" in report.read_bytes()
        assert list(report.parent.iterdir()) == [report]

    def test_says_its_window_and_what_it_was_compared_with(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A verdict without them cannot be argued with."""
        add_predictions(engine, version, day(1), 60)
        checks = _check(engine, version, tmp_path)

        window = {(check.window_start, check.window_end) for check in checks.values()}
        assert window == {day_bounds(day(1))}
        assert {check.reference for check in checks.values()} == {"profile"}
        assert {check.level for check in checks.values()} == {drift.LEVEL}

    @pytest.mark.parametrize(
        ("limits", "words"),
        [
            (Limits(seconds=0.2), "Evidently was stopped after 0 s"),
            (Limits(memory_bytes=100_000_000), "Evidently ended by"),
        ],
    )
    def test_stands_when_evidently_hangs_or_crashes(
        self, engine: Engine, version: Version, tmp_path: Path, limits: Limits, words: str
    ):
        """A guest that misbehaves must not end the day, and the verdict says who tested."""
        add_predictions(engine, version, day(1), 200, darker=0.6)
        checks = _check(engine, version, tmp_path, evidently=limits)

        brightness = checks["brightness"]
        assert (brightness.verdict, brightness.method) == ("drift", "Kolmogorov-Smirnov")
        assert words in brightness.detail
        assert "our own" in brightness.detail
        assert {check.report for check in checks.values()} == {None}

    def test_another_mix_of_labels_is_found(self, engine: Engine, version: Version, tmp_path: Path):
        """Also when a class is absent altogether, on which Evidently alone would stumble."""
        add_predictions(engine, version, day(1), 200, shares={"Cat": 0.7, "Dog": 0.3})

        assert columns.PREDICTED in _drifted(_check(engine, version, tmp_path))

    def test_f27_too_few_predictions_are_not_enough_data(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """F27: said so, for every column, and no report is drawn."""
        add_predictions(engine, version, day(1), samples.FEWEST - 1)
        checks = _check(engine, version, tmp_path)

        assert {check.verdict for check in checks.values()} == {"not enough data"}
        assert {check.n for check in checks.values()} == {samples.FEWEST - 1}
        assert not (tmp_path / "reports").exists()

    def test_f27_a_day_without_any_is_not_enough_data(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """F27: nothing is divided by nothing."""
        checks = _check(engine, version, tmp_path)

        assert {check.verdict for check in checks.values()} == {"not enough data"}


class TestByClass:
    """Checks among the predictions of one class."""

    def test_are_made_of_classes_with_rows_enough(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Kept in a table of their own, with the same figures as the others."""
        add_predictions(engine, version, day(1), 400, darker=0.6)
        with transaction(engine) as connection:
            rollups.roll_up(connection, day(1))
        found = drift.check(engine, day(1), version, _terms(tmp_path))
        with transaction(engine) as connection:
            drift_checks.write(connection, day(1), "v1", found)
            stored = drift_checks.of_classes(connection, day(1), "v1")

        of_classes = [check for check in found if check.label is not None]
        assert sorted(stored, key=_key) == sorted(of_classes, key=_key)
        darker = {check.label for check in stored if check.column == "brightness"}
        assert darker == set(drift.drifted_classes(stored))
        assert min(min(check.n, check.reference_n) for check in stored) >= columns.FEWEST_OF_CLASS


class TestSeason:
    """A week that repeats itself."""

    def test_a_pattern_that_repeats_every_week_is_no_alarm_once_four_weeks_show_it(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Sundays are dark and full of cats; on a Monday the same would be news."""
        shares = {"Cat": 0.7, "Dog": 0.3}
        for number in (1, 8, 15, 22, 29, 30):
            add_predictions(engine, version, day(number), 120, darker=0.6, shares=shares)
        with transaction(engine) as connection:
            for number in (1, 8, 15):
                rollups.roll_up(connection, day(number))
        third = _check(engine, version, tmp_path, 22)
        sunday, monday = (_check(engine, version, tmp_path, number) for number in (29, 30))

        assert {"brightness", columns.PREDICTED} <= _drifted(third) & _drifted(monday)
        assert _drifted(sunday) == set()
        assert sunday["brightness"].reference == (
            "Sundays 2026-03-01, 2026-03-08, 2026-03-15, 2026-03-22"
        )
        assert third["brightness"].reference == monday["brightness"].reference == "profile"

    def test_what_is_new_on_that_weekday_is_found_and_the_distance_from_the_profile_is_told(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A reference of past weeks must not make the monitor blind."""
        for number in (1, 8, 15, 22):
            add_predictions(engine, version, day(number), 120)
        add_predictions(engine, version, day(29), 120, darker=0.6)
        with transaction(engine) as connection:
            for number in (1, 8, 15, 22):
                rollups.roll_up(connection, day(number))
        checks = _check(engine, version, tmp_path, 29)

        assert "brightness" in _drifted(checks)
        assert checks["brightness"].reference.startswith("Sundays")
        assert checks["brightness"].profile_effect == pytest.approx(
            checks["brightness"].effect, abs=0.2
        )


class TestOldReports:
    """Reports are four megabytes a day."""

    def test_are_dropped_with_the_run_of_a_day_and_the_checks_stay(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A link to a file that is gone would be worse than none."""
        add_predictions(engine, version, day(1), 120)
        found = list(_check(engine, version, tmp_path, evidently=Limits()).values())
        with transaction(engine) as connection:
            drift_checks.write(connection, day(1), "v1", found)
            drift_checks.forget_reports(connection, day(2))
            kept = drift_checks.of_day(connection, day(1))

        dropped = old_reports.drop(tmp_path / "reports", day(2))

        assert (dropped, list((tmp_path / "reports").iterdir())) == ([day(1)], [])
        assert {check.report for check in kept} == {None}
        assert len(kept) == len(found)

    def test_older_than_the_days_asked_for_go_with_the_run_of_a_day(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A month of them is 120 MB; a year nobody cleaned up after would be 1.5 GB."""
        reports = tmp_path / "reports"
        for number in (1, 2, 3):
            add_predictions(engine, version, day(number), 60)
            found = list(_check(engine, version, tmp_path, number).values())
            named = [replace(each, report=f"{day(number)}/v1.html") for each in found]
            (reports / str(day(number))).mkdir(parents=True)
            (reports / named[0].report).write_text("a report")
            with transaction(engine) as connection:
                drift_checks.write(connection, day(number), "v1", named)

        daily.run(
            engine,
            day(4),
            options=MonitorOptions(report_days=2),
            clock=night_after(4),
            holder="test",
            reports=reports,
        )

        with transaction(engine) as connection:
            kept = drift_checks.matrix(connection, day(1), day(3))
        assert sorted(path.name for path in reports.iterdir()) == [str(day(3))]
        assert {each.day for each in kept if each.report is not None} == {day(3)}

    def test_are_not_drawn_for_days_long_past(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Catching up on a month must not draw what the next line deletes."""
        add_predictions(engine, version, day(1), 120)
        with transaction(engine) as connection:
            rollups.roll_up(connection, day(1))
        terms = drift.Terms(2_000, tmp_path / "reports", 3, night_after(9).now())
        checks = drift.check(engine, day(1), version, terms)

        assert {check.report for check in checks} == {None}
        assert {check.verdict for check in checks} == {"no drift"}
        assert not (tmp_path / "reports").exists()


class TestCheckDrift:
    """`weakspot drift`, by hand."""

    def test_looking_again_gives_the_same_rows(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """The sample is drawn by a hash of the day, and so are the permutations."""
        add_predictions(engine, version, day(1), 120)
        arguments = {
            "options": MonitorOptions(drift_rows=100, report_days=0),
            "clock": night_after(1),
            "reports": tmp_path / "reports",
        }
        first = daily.check_drift(engine, day(1), **arguments)
        with transaction(engine) as connection:
            stored = drift_checks.of_day(connection, day(1), "v1")
        second = daily.check_drift(engine, day(1), **arguments)

        sampled = {row["n"] for row in first if row["label"] is None}
        assert (first, sampled) == (second, {100, 120})  # the mix of labels counts all of them
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

    def test_leaves_out_what_is_no_number(self, engine: Engine, version: Version):
        """F27: one NaN of a broken model must not stand in the sums as a million."""
        add_predictions(engine, version, day(1), 60, shares={"Cat": 1.0})
        with transaction(engine) as connection:
            rollups.roll_up(connection, day(1))
            sound = rollups.by_day(connection, day(1), day(1))[0]
            broken = "UPDATE predictions SET confidence = 'NaN' WHERE confidence < :least"
            connection.execute(sa.text(broken), {"least": sound.confidence})
            rollups.roll_up(connection, day(1))

            assert rollups.by_day(connection, day(1), day(1))[0].confidence < sound.confidence
