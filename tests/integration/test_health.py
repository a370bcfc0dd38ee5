"""`weakspot health`: how soon, what a wish costs, who needs labels, and what confidences say."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.store.database import transaction
from monitor import daily
from monitor.forecast.foresight import Wish
from monitor.health import health, wanted
from monitor.page import MonitorOptions
from tests.pool import add_pictures, add_predictions, day, night_after, register
from tests.tiny import LABELS
from weakspot.commands import health_text

OPTIONS = MonitorOptions(per_class=4, adaptive=False, retrain=False)


def examine(engine: Engine, home: Path, number: int, options: MonitorOptions = OPTIONS) -> None:
    """Examine a day in the night after it."""
    daily.run(
        engine,
        day(number),
        options=options,
        clock=night_after(number),
        holder="test",
        reports=home / "reports",
    )


@pytest.mark.postgres
class TestHealth:
    """What the document says beyond the counts."""

    def test_foretells_sooner_where_labels_follow_the_evidence(
        self, engine: Engine, tmp_path: Path
    ):
        """The same counts, two ways of drawing."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=12)
        examine(engine, tmp_path, 1)

        with transaction(engine) as connection:
            plain = health(connection, options=OPTIONS)
            adaptive = health(connection, options=replace(OPTIONS, adaptive=True))

        days = [each["classes"][0]["days_to_notice"]["15 points"] for each in (plain, adaptive)]
        assert days[1] < days[0]
        assert (plain["adaptive"], adaptive["adaptive"]) == (False, True)

    def test_says_how_alike_images_are_where_nothing_is_pooled(
        self, engine: Engine, tmp_path: Path
    ):
        """A version without reference counts has no pool, and its sessions matter as much."""
        unknown = {"n": 0, "correct": 0, "confused": {}}
        register(engine, tmp_path / "bundles", reference=dict.fromkeys(LABELS, unknown))
        add_pictures(engine, tmp_path / "pool", day(1), per_label=4)

        with transaction(engine) as connection:
            before = health(connection, options=OPTIONS)
        examine(engine, tmp_path, 1)
        with transaction(engine) as connection:
            after = health(connection, options=OPTIONS)

        assert (before["correlation"], after["pooled"]) == (None, None)
        assert after["correlation"] == {"estimate": 0.0, "one_bet_a_group": False}

    def test_says_what_a_wish_costs(self, engine: Engine, tmp_path: Path):
        """The usual one keeps its name; another stands beside it."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=4)
        examine(engine, tmp_path, 1)

        with transaction(engine) as connection:
            found = health(connection, options=OPTIONS, wish=Wish(35, 3))

        row = found["classes"][0]
        assert row["labels_a_day_for_wish"] < row["labels_a_day_for_15_points_in_3_days"]
        assert found["wish"]["labels_a_day"] == row["labels_a_day_for_wish"]

    def test_asks_for_labels_of_an_absent_class_first_and_of_a_scarce_one(
        self, engine: Engine, tmp_path: Path
    ):
        """Cat has none left and had none today; the others have one day's worth."""
        version = register(engine, tmp_path / "bundles")
        cat, *others = version.labels
        add_pictures(engine, tmp_path / "a", day(1), per_label=4)
        add_pictures(engine, tmp_path / "b", day(2), per_label=7, shown_as={cat: others[0]})
        with transaction(engine) as connection:
            connection.exec_driver_sql(
                "DELETE FROM images WHERE label = %s AND captured_at > %s", (cat, day(2))
            )
        examine(engine, tmp_path, 1)
        examine(engine, tmp_path, 2)

        with transaction(engine) as connection:
            needed = wanted(connection, options=OPTIONS)["needs_labels"]
            found = health(connection, options=OPTIONS)

        by_label = {row["label"]: row for row in needed}
        assert needed == found["needs_labels"]
        assert by_label[cat] == {
            "label": cat, "days_without_labels": 1, "fresh": 0, "wanted": 4, "missing": 4
        }  # fmt: skip
        assert {by_label[each]["missing"] for each in others} == {1}

    def test_puts_expected_accuracy_beside_every_class(self, engine: Engine, tmp_path: Path):
        """By predicted class, with a reference of None for an older bundle."""
        version = register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=4)
        add_predictions(engine, version, day(1), 90)
        examine(engine, tmp_path, 1)

        with transaction(engine) as connection:
            rows = health(connection, options=OPTIONS)["classes"]

        assert sum(row["without_labels"]["predictions"] for row in rows) == 90
        assert all(0 < row["without_labels"]["expected_accuracy"] <= 1 for row in rows)
        assert {row["without_labels"]["reference"] for row in rows} == {None}


class TestText:
    """What a person reads."""

    def test_says_days_for_three_drops_and_never(self):
        """At today's labels, in one look."""
        noticed = {"5 points": None, "15 points": 4.0, "35 points": 2.0}
        row = {
            "label": "Cat", "state": "healthy", "n": 4, "correct": 4, "accuracy": 1.0,
            "reference": 0.9, "evidence": 0.1, "threshold": 1500.0, "days_to_notice": noticed,
            "note": "no fresh labels (2 days)",
            "without_labels": {
                "predictions": 90, "expected_accuracy": 0.71, "expected_accuracy_atc": None,
                "reference": {
                    "n": 50, "accuracy": 0.9, "expected_accuracy": 0.93,
                    "expected_accuracy_atc": 0.9,
                },
            },
        }  # fmt: skip
        needed = [{"label": "Cat", "days_without_labels": 2, "fresh": 1, "wanted": 4, "missing": 3}]
        wish = {
            "points": 15.0, "days": 3, "labels_a_day": 9.0, "labels_a_day_at_most": 12.0,
            "out_of_reach": 1,
        }  # fmt: skip

        said = "\n".join(
            health_text.lines(
                {
                    "day": "2026-03-01",
                    "version": "v1",
                    "classes": [row],
                    "weak_list": [],
                    "pooled": None,
                    "correlation": {"estimate": 0.034, "one_bet_a_group": True},
                    "adaptive": True,
                    "wish": wish,
                    "needs_labels": needed,
                }
            )
        )

        assert "5/15/35 points less: noticed in never/4/2 days; no fresh labels (2 days)" in said
        assert "intra-class correlation 0.03, one bet" in said
        assert "15 points in 3 days: 9 labels a class and day, on the average; 12 for all" in said
        assert "confidence 71.0 % (reference 93.0 %)  ATC - (reference 90.0 %)" in said
        assert (
            "3 missing: 1 fresh images of 4 that the next draw wants  no fresh labels (2 days)"
            in said
        )

    @pytest.mark.parametrize("short", [3, 300])
    def test_names_ten_classes_and_counts_the_others(self, short: int):
        """2,500 lines help nobody."""
        row = {"label": "x", "days_without_labels": 0, "fresh": 1, "wanted": 4, "missing": 3}

        said = health_text.wanted_lines([row] * short)

        assert len(said) == min(short, 11)


@pytest.mark.postgres
class TestCommand:
    """The verbs themselves."""

    def test_take_a_wish_and_refuse_what_is_none(
        self, engine: Engine, database_url: str, tmp_path: Path
    ):
        """`--wish`, its error, and `weakspot data wanted`."""
        register(engine, tmp_path / "bundles")
        environment = os.environ | {
            "WEAKSPOT_HOME": str(tmp_path),
            "WEAKSPOT_DATABASE_URL": database_url,
        }

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "weakspot", *words],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip

        wished = json.loads(run("health", "--wish", "35 points in 5 days", "--json").stdout)
        refused = run("health", "--wish", "soon")
        missing = json.loads(run("data", "wanted", "--json").stdout)

        assert (wished["wish"]["points"], wished["wish"]["days"]) == (35.0, 5)
        assert (refused.returncode, "15 points in 3 days" in refused.stderr) == (2, True)
        assert {row["fresh"] for row in missing["needs_labels"]} == {0}
