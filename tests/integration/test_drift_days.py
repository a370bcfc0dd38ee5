"""What is kept of a day for later days: a draw of it, and sums by class."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.bundle import files, profile
from core.bundle.profile import COLUMNS, ReferenceProfile
from core.clock import day_bounds
from core.store import column_sums, draws, drift_days, partitions, predictions, rollups
from core.store import drift as drift_checks
from core.store.database import transaction
from core.store.drift import DriftCheck
from core.store.predictions import Prediction, new_id
from core.store.registry import Version
from monitor.drift import class_means, columns, drift, samples
from tests.pool import add_predictions, admit, day, night_after, register
from tests.tiny import tiny_bundle

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LABELS = ("Cat", "Dog", "Ant")


def _terms(tmp_path: Path, number: int) -> drift.Terms:
    return drift.Terms(2_000, tmp_path / "reports", 0, night_after(number).now())


def _check(engine: Engine, version: Version, tmp_path: Path, number: int) -> list[DriftCheck]:
    with transaction(engine) as connection:
        rollups.roll_up(connection, day(number))
    return drift.check(engine, day(number), version, _terms(tmp_path, number))


class TestSumUp:
    """`column_sums.sum_up`."""

    @pytest.fixture
    def connection(self, engine: Engine) -> Iterator[Connection]:
        """A transaction over a day of 200 cats and 100 dogs."""
        with transaction(engine) as opened:
            partitions.ensure_partitions(opened, [NOON.date()])
            rng = np.random.default_rng(1)
            labels = ["Cat"] * 200 + ["Dog"] * 100
            predictions.insert_many(opened, [_said(i, each, rng) for i, each in enumerate(labels)])
            yield opened

    def _sums(self, connection: Connection):
        return column_sums.sum_up(connection, NOON.date(), "v1", LABELS)

    def test_are_the_means_and_spreads_of_the_rows(self, connection: Connection):
        """As numpy has them, in the order of the labels, to a 65,536th."""
        drawn = draws.draw(
            connection, NOON.date(), "v1", {"Cat": 200, "Dog": 100}, limit=300, salt="a"
        )
        found = self._sums(connection)

        for place, label in enumerate(LABELS[:2]):
            rows = np.array(drawn.labels) == label
            for column in ("brightness", "confidence"):
                values, at = drawn.columns[column][rows], column_sums.COLUMNS.index(column)
                assert found.n[place, at] == len(values)
                assert found.mean[place, at] == pytest.approx(values.mean(), abs=1e-4)
                assert found.squares[place, at] == pytest.approx(values.var() * len(values), 1e-3)
        assert found.n[2].tolist() == [0] * len(COLUMNS)

    def test_have_the_columns_of_the_profile(self):
        """They are compared cell by cell."""
        assert column_sums.COLUMNS == COLUMNS

    def test_what_a_row_lacks_and_what_is_no_number_is_left_out(self, connection: Connection):
        """F27: an older release logs no contrast; a broken model says NaN, or infinity."""
        rng = np.random.default_rng(2)
        odd = replace(_said(400, "Ant", rng), confidence=float("nan"), entropy=float("inf"))
        predictions.insert_many(connection, [odd])
        found = self._sums(connection)

        n = dict(zip(COLUMNS, found.n[2].tolist(), strict=True))
        assert (n["brightness"], n["contrast"], n["confidence"], n["entropy"]) == (1, 0, 0, 1)
        assert np.isfinite(found.mean).all()

    def test_are_the_same_bits_wherever_rows_lie(self, connection: Connection):
        """Looking again must give the same verdicts."""
        before = self._sums(connection)
        connection.execute(sa.text("UPDATE predictions SET true_label = 'Cat' WHERE label = 'Dog'"))
        again = self._sums(connection)

        assert (before.mean.tobytes(), before.squares.tobytes()) == (
            again.mean.tobytes(),
            again.squares.tobytes(),
        )

    def test_leave_other_days_and_versions_alone(self, connection: Connection):
        """Another version has other confidences."""
        rng = np.random.default_rng(3)
        tomorrow = replace(_said(86_400, "Ant", rng), id=new_id(NOON + timedelta(days=1)))
        other = replace(_said(500, "Ant", rng), version="v2")
        partitions.ensure_partitions(connection, [tomorrow.at.date()])
        predictions.insert_many(connection, [tomorrow, other])

        assert self._sums(connection).n[2].max() == 0


def _said(number: int, label: str, rng: np.random.Generator) -> Prediction:
    at = NOON + timedelta(seconds=number)
    return Prediction(
        id=new_id(at),
        at=at,
        version="v1",
        label=label,
        confidence=float(rng.random()),
        top=[],
        margin=0.5,
        entropy=0.5,
        descriptors={"brightness": float(rng.random())},
        latency_ms=5.0,
        image_sha256="ab" * 32,
        embedding=np.zeros(256, dtype=np.float32),
    )


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """The champion."""
    return register(engine, tmp_path / "bundles")


class TestPastDays:
    """Days that are a reference."""

    def test_give_the_same_verdicts_once_their_log_is_gone(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Ten million rows are read on their own day and never again."""
        for number in (1, 8, 15, 22, 29):
            add_predictions(engine, version, day(number), 120)
        for number in (1, 8, 15, 22):
            _check(engine, version, tmp_path, number)
        with_log = _check(engine, version, tmp_path, 29)
        with transaction(engine) as connection:
            gone = {"day": day_bounds(day(29))[0]}
            connection.execute(sa.text("DELETE FROM predictions WHERE at < :day"), gone)

        without = _check(engine, version, tmp_path, 29)

        assert without == with_log
        assert without[0].reference.startswith("Sundays")

    def test_are_drawn_anew_when_many_predictions_have_come_in_since(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A day looked at by hand at noon, and again in its log when it counts."""
        add_predictions(engine, version, day(1), 60)
        _check(engine, version, tmp_path, 1)
        for number in (1, 8, 15, 22, 29):
            add_predictions(engine, version, day(number), 60)
            with transaction(engine) as connection:
                rollups.roll_up(connection, day(number))
        with transaction(engine) as connection:
            kept = drift_days.drawn_of(connection, day(1), "v1")
            found = samples.reference_of(connection, day(29), version, rows=2_000)

        assert kept is not None
        assert (kept.n, len(kept.drawn.labels)) == (60, 60)
        assert len(found.sample.predicted) == int(found.sample.counts.sum()) == 300

    def test_keep_their_verdicts_when_looked_at_without_their_log(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A replay of a day whose log was dropped must not make "not enough data" of it."""
        add_predictions(engine, version, day(1), 120)
        first = _check(engine, version, tmp_path, 1)
        with transaction(engine) as connection:
            connection.execute(sa.text("DELETE FROM predictions"))
        again = _check(engine, version, tmp_path, 1)

        assert again == first
        assert {check.verdict for check in again} == {"no drift"}

    def test_are_forgotten_when_nothing_looks_back_to_them(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A megabyte and a half a day for a large model."""
        for number in (1, 2):
            add_predictions(engine, version, day(number), 60)
            _check(engine, version, tmp_path, number)
        with transaction(engine) as connection:
            drift_days.forget(connection, day(2))
            kept = [drift_days.drawn_of(connection, day(number), "v1") for number in (1, 2)]

        assert [each is None for each in kept] == [True, False]


CLASSES, OF_CLASS = 80, 110

# As `tests.bench.monitor` makes them: by Postgres, which is quick.
_MADE = sa.text("""
    INSERT INTO predictions (id, at, version, label, confidence, top, margin, entropy,
                             descriptors, latency_ms, image_sha256, embedding)
    SELECT uuidv7(at - clock_timestamp()), at, 'v1', 'class ' || (i % :classes),
           0.5 + noise / 10, '[]', noise, noise,
           jsonb_build_object('brightness', 0.5 + 0.1 * noise
                              - CASE WHEN i % :classes = 7 THEN CAST(:darker AS float8) ELSE 0 END),
           5, repeat('ab', 32), NULL
      FROM (SELECT i, CAST(:start AS timestamptz) + make_interval(secs => i * 5) AS at,
                   sin(i * 1.7 + :day) AS noise
              FROM generate_series(1, :rows) AS i) AS made
""")


def _fill(connection: Connection, on: date, darker: float = 0.0) -> None:
    partitions.ensure_partitions(connection, [on])
    asked = {"classes": CLASSES, "rows": CLASSES * OF_CLASS, "darker": darker}
    start = day_bounds(on)[0]
    connection.execute(_MADE, asked | {"start": start, "day": on.toordinal() % 97})
    rollups.roll_up(connection, on)


class TestManyClasses:
    """More classes than a sample of a day and a profile have room for."""

    @pytest.fixture
    def version(self, engine: Engine, tmp_path: Path) -> Version:
        """Eighty classes, of which the profile knows ten rows each."""
        rng = np.random.default_rng(1)
        n = 10 * CLASSES
        labels = tuple(f"class {number}" for number in range(CLASSES))
        tiny = tiny_bundle(tmp_path / "tiny")
        manifest = files.read_manifest(tiny)
        members: dict[str, bytes | Path] = {name: tiny / name for name in manifest.files}
        known = {name: rng.random(n) for name in COLUMNS}
        embedding = rng.normal(size=(n, 256)).astype(np.float32)
        rows = ReferenceProfile(known, np.arange(n) % CLASSES, embedding)
        members[files.PROFILE] = profile.save(rows)
        counted = {label: {"n": 0, "correct": 0, "confused": {}} for label in labels}
        manifest = replace(manifest, labels=labels, reference=counted)
        folder = files.write(tmp_path / "bundles", manifest, members)
        return admit(engine, folder, promoted_at=datetime(2026, 3, 1, tzinfo=UTC))

    def test_each_is_checked_once_a_week_has_been_seen_and_the_one_that_moved_is_found(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """One class of eighty is a fifth darker: nothing that all predictions together show."""
        first = class_means.FEWEST_DAYS
        with transaction(engine) as connection:
            for number in range(1, first + 2):
                _fill(connection, day(number), 0.1 if number == first + 1 else 0.0)
        earlier = [_check(engine, version, tmp_path, number) for number in range(1, first + 1)]
        found = _check(engine, version, tmp_path, first + 1)
        with transaction(engine) as connection:
            drift_checks.write(connection, day(first + 1), "v1", found)
            stored = drift_checks.of_classes(connection, day(first + 1), "v1")

        assert {check.label for checks in earlier for check in checks} == {None}
        assert {check.label for check in stored} == set(version.labels)
        moved = [check for check in stored if check.verdict == "drift"]
        assert [(check.label, check.column) for check in moved] == [("class 7", "brightness")]
        assert (moved[0].n, moved[0].reference_n) == (OF_CLASS, 7 * OF_CLASS)
        assert moved[0].method == class_means.MEANS
        assert moved[0].reference == "7 days from 2026-03-01 to 2026-03-07"
        assert (moved[0].effect or 0) > class_means.MEANS_FLOOR == moved[0].effect_floor

    def test_a_pattern_of_the_weekday_is_no_alarm(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """Class 7 is dark on Sundays; the four Sundays before are what a Sunday is held against."""
        with transaction(engine) as connection:
            for number in range(1, 30):
                if number % 7 == 1 or number > 22:
                    _fill(connection, day(number), 0.1 if number % 7 == 1 else 0.0)
        for number in (1, 8, 15, *range(22, 29)):
            _check(engine, version, tmp_path, number)
        found = [each for each in _check(engine, version, tmp_path, 29) if each.label is not None]

        assert {each.label for each in found} == set(version.labels)
        assert {each.reference.split()[0] for each in found} == {"Sundays"}
        assert {each.verdict for each in found} == {"no drift"}
        assert columns.FEWEST_OF_CLASS > 2_000 // CLASSES
