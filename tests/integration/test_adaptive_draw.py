"""The daily draw where labels go to the suspects, against real rows."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core import catalog
from core.clock import day_bounds
from core.errors import CatalogError
from core.store import class_days, exam_draws
from core.store.database import transaction
from monitor import daily
from monitor.health import health
from monitor.page import MonitorOptions
from tests.pool import add_pictures, day, night_after, register

OPTIONS = MonitorOptions(per_class=4, adaptive=True, retrain=False)


def examine(engine: Engine, home: Path, number: int, options: MonitorOptions) -> dict[str, int]:
    """Examine a day in the night after it, and return the images judged of each class."""
    daily.run(
        engine,
        day(number),
        options=options,
        clock=night_after(number),
        holder="test",
        reports=home / "reports",
    )
    with transaction(engine) as connection:
        return {row.label: row.n for row in class_days.of_day(connection, day(number), "v1")}


@pytest.mark.postgres
class TestAdaptiveDraw:
    """More images of the class that looks worst."""

    def test_follows_the_evidence_from_the_second_day_on(self, engine: Engine, tmp_path: Path):
        """The first day is even; Spider fails it, and gets more of the same total."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=12, shown_as={"Spider": "Cat"})

        first = examine(engine, tmp_path, 1, OPTIONS)
        second = examine(engine, tmp_path, 2, OPTIONS)

        assert set(first.values()) == {4}
        assert second["Spider"] == 8
        assert sum(second.values()) == sum(first.values())

    def test_gives_the_others_what_a_suspect_has_no_images_for(
        self, engine: Engine, tmp_path: Path
    ):
        """A class that is used up must not swallow half of the labels every day."""
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=6, shown_as={"Spider": "Cat"})

        examine(engine, tmp_path, 1, replace(OPTIONS, per_class=2))
        second = examine(engine, tmp_path, 2, replace(OPTIONS, per_class=4))

        assert second["Spider"] == 4
        assert set(second.values()) == {4}

    def test_is_plain_when_a_number_for_each_class_is_asked_for(self):
        """`weakspot validate --per-class 10` means ten of each."""
        chosen = MonitorOptions.from_settings(OPTIONS, per_class=10)

        assert (chosen.per_class, chosen.adaptive) == (10, False)


@pytest.mark.postgres
class TestFresh:
    """How many images are left to draw."""

    def test_counts_what_a_draw_would_give(self, engine: Engine, tmp_path: Path):
        """Both ask the same question, so no quota can be overdrawn."""
        version = register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "pool", day(1), per_label=5)
        examine(engine, tmp_path, 1, replace(OPTIONS, per_class=2))
        asked = {
            "version": "v1",
            "labels": [*version.labels, "Unheard"],
            "before": day_bounds(day(2))[1],
            "snapshot_at": version.snapshot_at,
        }

        with transaction(engine) as connection:
            left = exam_draws.fresh(connection, **asked)
            drawn = exam_draws.draw(connection, **asked, per_class=100)

        assert left == [3] * len(version.labels) + [0]
        assert len(drawn) == sum(left)


class TestImagesOfTheGate:
    """The test images of before: evidence for whom they did not choose."""

    @pytest.mark.parametrize("added", ["2026-01-15Z", "2026-02-15Z"])
    @pytest.mark.parametrize(("parent", "judged"), [(None, 4), ("v0", 0)])
    def test_judge_no_version_that_was_chosen_by_them(
        self, engine: Engine, tmp_path: Path, parent: str | None, judged: int, added: str
    ):
        """A first version has met them once, and is held to the validation images.

        Those of before the snapshot, and those that a later look of the gate took.
        """
        _older(engine, tmp_path, parent, added)

        assert set(examine(engine, tmp_path, 1, OPTIONS).values()) == {judged}

    def test_are_asked_for_anew_where_they_may_not_be_drawn(self, engine: Engine, tmp_path: Path):
        """A retrained version without new images says so class by class; with them it is judged."""
        _older(engine, tmp_path, "v0")
        examine(engine, tmp_path, 1, OPTIONS)
        with transaction(engine) as connection:
            lacking = {
                each["label"]: each["missing"] for each in health(connection)["needs_labels"]
            }
            with pytest.raises(CatalogError, match="no image is left"):
                catalog.draw_day(connection, day(1), per_class=4)
        add_pictures(engine, tmp_path / "new", day(2), per_label=4)

        assert set(lacking.values()) == {MonitorOptions().per_class}
        assert set(examine(engine, tmp_path, 2, OPTIONS).values()) == {4}


def _older(engine: Engine, home: Path, parent: str | None, added: str = "2026-01-15Z") -> None:
    """Register a champion of this parent, and fill the pool with what was there before it."""
    register(engine, home / "parents", name="v0", promoted_at=None)
    register(engine, home / "bundles")
    add_pictures(engine, home / "pool", day(1), per_label=8)
    with transaction(engine) as connection:
        connection.execute(
            sa.text("UPDATE versions SET parent = :parent WHERE version = 'v1'"), {"parent": parent}
        )
        connection.execute(sa.text("UPDATE images SET added_at = :added"), {"added": added})
