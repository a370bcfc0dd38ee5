"""Expected accuracy without labels, and the draw that follows it, against real rows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from core.store import class_days, flags, rollups
from core.store.database import transaction
from core.store.registry import Version
from monitor import daily
from monitor.forecast.expected import expected, fallen
from monitor.page import MonitorOptions
from tests.pool import add_pictures, add_predictions, day, night_after, register

OPTIONS = MonitorOptions(per_class=4, adaptive=True, retrain=False)


def knowing(version: Version, engine: Engine, *, sure_of: float) -> Version:
    """Return the version with a reference that was this sure of each answer, in its row too."""
    kept = {"n": 50, "correct": 48, "confidence": sure_of, "confident": 0.96}
    said = {"confident_from": 0.5, "predicted": dict.fromkeys(version.labels, kept)}
    known = replace(version, metrics={"val": {"without_labels": said}})
    with transaction(engine) as connection:
        connection.exec_driver_sql(
            "UPDATE versions SET metrics = %s::jsonb", (json.dumps(known.metrics),)
        )
    return known


@pytest.mark.postgres
class TestExpected:
    """What confidences promise, by predicted class."""

    def test_is_below_the_reference_on_a_dark_day(self, engine: Engine, tmp_path: Path):
        """Dark pictures are answered with less confidence: both estimates are there and lower."""
        version = knowing(register(engine, tmp_path), engine, sure_of=0.97)
        add_predictions(engine, version, day(1), 300)
        add_predictions(engine, version, day(2), 300, darker=0.25)

        with transaction(engine) as connection:
            for number in (1, 2):
                rollups.roll_up(connection, day(number))
            bright, dark = (expected(connection, version, day(number)) for number in (1, 2))

        means = [
            np.mean([each.today.confidence for each in found if each.today])
            for found in (bright, dark)
        ]
        assert means[1] < means[0]
        assert fallen(dark).max() > fallen(bright).max()
        assert all(0 <= each.today.confident <= 1 for each in dark if each.today)

    def test_is_none_for_an_older_bundle(self, engine: Engine, tmp_path: Path):
        """It has a mean confidence, and nothing to hold it against."""
        version = register(engine, tmp_path)
        add_predictions(engine, version, day(1), 60)

        with transaction(engine) as connection:
            rollups.roll_up(connection, day(1))
            found = expected(connection, version, day(1))

        shown = [each.to_dict() for each in found if each.today]
        assert shown
        assert {each["expected_accuracy_atc"] for each in shown} == {None}
        assert {each["reference"] for each in shown} == {None}
        assert not fallen(found).any()


@pytest.mark.postgres
class TestPriority:
    """Labels go first where confidence has sunk, and nothing else comes of it."""

    def test_decides_the_draw_before_there_is_any_evidence(self, engine: Engine, tmp_path: Path):
        """No exam yet: the suspects' half goes to the answer that is least sure; no flag opens."""
        version = register(engine, tmp_path / "bundles")
        knowing(version, engine, sure_of=1.0)
        add_pictures(engine, tmp_path / "pool", day(1), per_label=30)
        add_predictions(engine, version, day(1), 600, darker=0.3)

        daily.run(
            engine,
            day(1),
            options=OPTIONS,
            clock=night_after(1),
            holder="test",
            reports=tmp_path / "reports",
        )

        with transaction(engine) as connection:
            drawn = {row.label: row.n for row in class_days.of_day(connection, day(1), "v1")}
            found = fallen(expected(connection, knowing(version, engine, sure_of=1.0), day(1)))
            opened = flags.overlapping(connection, day(1), day(1))
        assert max(drawn, key=lambda label: drawn[label]) == version.labels[int(found.argmax())]
        assert sum(drawn.values()) == 4 * len(version.labels)
        assert opened == []
