"""Pools that are not what one would wish: F25 and F26 through whole days."""

import hashlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import class_days, flags, images, validations
from core.store.class_days import ClassDay
from core.store.database import transaction
from monitor import daily
from monitor.health import health
from monitor.judgement import judging
from monitor.page import DayReport, MonitorOptions
from tests.pool import add_pictures, day, drawn_image, night_after, register
from tests.tiny import LABELS


def _examine(engine: Engine, home: Path, number: int) -> DayReport:
    return daily.run(
        engine,
        day(number),
        options=MonitorOptions(per_class=10),
        clock=night_after(number),
        holder="test",
        reports=home / "reports",
    )


def _rows(engine: Engine) -> dict[str, dict[str, object]]:
    with transaction(engine) as connection:
        return {row["label"]: row for row in health(connection)["classes"]}


class TestClasses:
    """F25: classes with few images, with none, unknown, renamed, removed; and a thousand."""

    def test_f25_three_images_and_a_class_nobody_trained_are_no_weak_class(
        self, engine: Engine, tmp_path: Path
    ):
        """Three mistakes of three are told with their n; a class unseen is not drawn at all."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), labels=LABELS[:2])
        add_pictures(engine, tmp_path / "few", day(1), per_label=3, shown_as={"Spider": LABELS[0]})
        _unknown(engine, tmp_path)
        report = _examine(engine, tmp_path, 1)

        rows = _rows(engine)
        assert (report.status, rows["Spider"]["n"], set(rows)) == ("done", 3, set(LABELS))
        assert rows["Spider"]["low"] < 0.2 < rows["Spider"]["high"]
        assert rows["Spider"]["state"] != "weak"

    def test_f25_a_renamed_and_a_removed_class_start_anew_without_a_flag(
        self, engine: Engine, tmp_path: Path
    ):
        """v2 calls a spider Arachnid and knows no dogs; v1's memory of both is not its own."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1))
        _examine(engine, tmp_path, 1)
        register(
            engine,
            tmp_path / "bundles",
            name="v2",
            labels=("Cat", "Arachnid"),
            promoted_at=day_bounds(day(2))[0],
        )
        add_pictures(engine, tmp_path / "pool", day(2))
        report = _examine(engine, tmp_path, 2)

        rows = _rows(engine)
        assert (report.status, set(rows)) == ("done", {"Cat", "Arachnid"})
        assert (rows["Arachnid"]["n"], rows["Arachnid"]["state"]) == (0, "no labels")
        with transaction(engine) as connection:
            assert flags.latest(connection) == []

    def test_f25_a_thousand_classes_are_judged_as_rows(self, engine: Engine, tmp_path: Path):
        """Among them one with 3 images, one with none, and one that is weak."""
        labels = [f"class {i:04}" for i in range(1000)]
        version = register(engine, tmp_path, labels=labels)
        verdicts = []
        for number in (1, 2, 3):
            counts = dict.fromkeys(labels, (10, 10))
            counts |= {labels[0]: (0, 3), labels[1]: (0, 0), labels[2]: (0, 10)}
            rows = [
                ClassDay(day(number), "v1", label, n, k, {}, 0.0, 1.0)
                for label, (k, n) in counts.items()
            ]
            with transaction(engine) as connection:
                class_days.write(connection, rows)
                ruling = judging.judge(
                    connection,
                    version,
                    day(number),
                    options=MonitorOptions(),
                    now=night_after(number).now(),
                    by="test",
                )
            verdicts += ruling.judged.verdicts

        alarmed = {label for verdict in verdicts for label in verdict.alarms}
        assert labels[2] in alarmed
        assert alarmed <= {labels[0], labels[2]}  # nine mistakes of nine are evidence, too


class TestPool:
    """F26: pools that are empty, half unreadable, doubled, or were learnt from."""

    def test_f26_an_empty_pool_is_no_labels_and_no_mistake(self, engine: Engine, tmp_path: Path):
        """Each class has n = 0, and no accuracy."""
        register(engine, tmp_path / "bundles")
        report = _examine(engine, tmp_path, 1)

        assert (report.status, report.drawn) == ("done", 0)
        assert {(row["n"], row["accuracy"]) for row in _rows(engine).values()} == {(0, None)}

    @pytest.mark.parametrize(("unreadable", "status"), [(14, "done"), (15, "invalid")])
    def test_f26_half_unreadable_is_invalid(
        self, engine: Engine, tmp_path: Path, unreadable: int, status: str
    ):
        """Below that, a class is judged by what could be shown to the model."""
        register(engine, tmp_path / "bundles")
        for path in add_pictures(engine, tmp_path / "pool", day(1))[:unreadable]:
            path.write_bytes(b"no picture")
        report = _examine(engine, tmp_path, 1)

        assert (report.status, report.unreadable, report.opened) == (status, unreadable, ())

    def test_f26_a_folder_that_is_imported_twice_counts_once(self, engine: Engine, tmp_path: Path):
        """The same bytes are the same image, wherever they lie."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=4)
        add_pictures(engine, tmp_path / "copy", day(1), per_label=4)

        assert _examine(engine, tmp_path, 1).drawn == 12

    def test_f26_what_the_version_learnt_from_never_examines_it(
        self, engine: Engine, tmp_path: Path
    ):
        """A leak would make every class look well for ever."""
        version = register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1))
        with transaction(engine) as connection:
            learnt = sa.text(
                "UPDATE images SET split = CAST(:split AS text), added_at = :at WHERE id % 2 = 0"
            )
            connection.execute(learnt, {"split": "train", "at": version.snapshot_at})
        report = _examine(engine, tmp_path, 1)

        with transaction(engine) as connection:
            exam = validations.latest(connection)[0]
            splits = {sample.split for sample in validations.drawn(connection, exam)}
        assert (report.drawn, splits) == (15, {"test"})


def _unknown(engine: Engine, home: Path) -> None:
    """Put an image of a class that no version knows into the pool."""
    data = hashlib.sha256(b"unicorn").digest()
    with transaction(engine) as connection:
        images.insert(connection, [drawn_image(home / "u.png", data, "Unicorn", day(1), 7)])
