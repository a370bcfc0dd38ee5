"""The daily draw where labels go to the suspects, against real rows."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import class_days, images
from core.store.database import transaction
from monitor import daily
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
            left = images.fresh(connection, **asked)
            drawn = images.draw(connection, **asked, per_class=100)

        assert left == [3] * len(version.labels) + [0]
        assert len(drawn) == sum(left)
