"""Predictions that came late, and what is said of their day then."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.clock import FixedClock
from core.store import audit, drift, last_runs
from core.store.database import transaction
from core.store.registry import Version
from monitor import daily, replay
from monitor.page import MonitorOptions
from monitor.replay import Replayed
from tests.pool import add_predictions, day, register

NOW = datetime(2026, 3, 10, tzinfo=UTC)
# Of days that are long past no report is drawn, and Evidently is not started.
OPTIONS = MonitorOptions(report_days=1)


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """A version whose first three days were checked for drift."""
    registered = register(engine, tmp_path / "bundles")
    for number in (1, 2, 3):
        add_predictions(engine, registered, day(number), 60)
        daily.check_drift(
            engine,
            day(number),
            options=OPTIONS,
            clock=FixedClock(NOW),
            reports=tmp_path / "reports",
        )
    return registered


def _replay(engine: Engine, home: Path, **more: Any) -> Replayed:
    arguments: dict[str, Any] = {"reports": home / "reports"} | more
    return replay.replay(
        engine,
        day(1),
        day(3),
        options=OPTIONS,
        clock=FixedClock(NOW),
        by="anna",
        **arguments,
    )


def _ask(engine: Engine, question: Any, *arguments: Any) -> Any:
    with transaction(engine) as connection:
        return question(connection, *arguments)


class TestLatePredictions:
    """What a service's spool brings after the day was checked."""

    def test_are_checked_for_drift_with_their_day_and_the_days_after_it(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Sixty dark pictures: the day drifts now, which is printed and in the audit trail."""
        before = {each.column: each.verdict for each in _ask(engine, drift.of_day, day(2))}
        add_predictions(engine, version, day(2), 60, darker=0.5)
        found = _replay(engine, tmp_path)
        after = {each.column: each for each in _ask(engine, drift.of_day, day(2))}

        assert (before["brightness"], after["brightness"].verdict) == ("no drift", "drift")
        assert (found.checked, after["brightness"].n) == (2, 120)
        changed = [change for change in found.changes if change.label == "brightness"]
        assert [(c.day, c.decision, c.after) for c in changed] == [(day(2), "drift", "drift")]
        deeds = _ask(engine, audit.latest)
        assert "brightness" in {deed.subject for deed in deeds if deed.by == "anna"}

    def test_that_did_not_come_cost_no_check(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A replay for corrected labels is quick."""
        found = _replay(engine, tmp_path)

        assert (found.checked, found.changes) == (0, ())

    def test_leave_the_verdicts_where_the_bundle_is_lost(
        self, engine: Engine, version: Version, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        """What was said stays; the rest of the replay is done."""
        add_predictions(engine, version, day(3), 60, darker=0.5)
        before = _ask(engine, drift.of_day, day(3))
        (tmp_path / "bundles/v1/profile.safetensors").unlink()
        found = _replay(engine, tmp_path)

        assert (found.checked, _ask(engine, drift.of_day, day(3))) == (0, before)
        assert "keeps its drift verdicts" in caplog.text


class TestLastRun:
    """What a replay leaves in `runs`."""

    def test_says_which_days_who_and_what_came_of_it(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """`weakspot monitor --status` shows it, as the last time of every other work."""
        _replay(engine, tmp_path)
        (errand,) = _ask(engine, last_runs.last_errands)

        assert (errand.kind, errand.holder, errand.outcome) == (last_runs.REPLAY, "anna", "done")
        assert (errand.detail["first"], errand.detail["last"]) == (str(day(1)), str(day(3)))
