"""What a retraining learns from: new images, less those that would spoil it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.images.phash import to_signed
from core.store import images, label_suspects
from core.store.database import transaction
from core.store.jobs import Job
from core.store.registry import Version
from tests.images import png
from tests.pool import day, drawn_image, register
from tests.tiny import LABELS, picture
from trainer.aiming import material
from trainer.aiming.material import Material
from trainer.config import RetrainOptions

# The tiny bundle's snapshot was frozen on 1 February.
OLD, NEW = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)
NOW = NEW + timedelta(hours=1)


@dataclass
class Pool:
    """A champion, and pictures it has learnt from or not."""

    engine: Engine
    home: Path
    champion: Version
    drawn: int = 0

    def add(
        self,
        label: str,
        n: int,
        *,
        painted: str | None = None,
        split: str = "train",
        at: datetime = NEW,
        phash: int | None = None,
    ) -> list[str]:
        """Put pictures of a label into the pool, and return their digests."""
        rows: list[images.Image] = []
        for _ in range(n):
            self.drawn += 1
            data = png(picture(painted or label, seed=self.drawn))
            path = self.home / f"{self.drawn}.png"
            path.write_bytes(data)
            row = drawn_image(path, data, label, day(1), self.drawn)
            looks = to_signed(int(row.sha256[:16], 16) if phash is None else phash)
            rows.append(replace(row, split=split, added_at=at, phash=looks, cluster=looks))
        with transaction(self.engine) as connection:
            images.insert(connection, rows)
        return [row.sha256 for row in rows]

    def gather(self, *labels: str, since: date | None = None, **options: Any) -> Material:
        """Return what a retraining for these classes, weak since a day, would learn from."""
        known = [{"label": label, "since": since.isoformat()} for label in labels if since]
        job = cast("Job", _Job(list(labels), {"grounds": known}))
        return material.gather(
            self.engine, self.champion, job, RetrainOptions(device="cpu", **options), at=NOW
        )

    def held(self, found: Material) -> list[tuple[str, str]]:
        """Return label and suggestion of what is held back."""
        return [(each.label, each.suggested) for each in found.held]


@dataclass
class _Job:
    labels: list[str]
    payload: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def champions(
    module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Version]:
    """One that tells all three classes apart, and one that calls every Spider a Cat."""
    home = tmp_path_factory.mktemp("bundles")
    blind = register(module_engine, home, name="v2", confuse=("Spider", "Cat"), promoted_at=None)
    return {"sound": register(module_engine, home), "blind": blind}


@pytest.fixture
def pool(module_engine: Engine, champions: dict[str, Version], tmp_path: Path) -> Pool:
    """A champion, and six old images of each class."""
    with transaction(module_engine) as connection:
        connection.execute(sa.text("TRUNCATE images CASCADE"))
    pool = Pool(module_engine, tmp_path, champions["sound"])
    for label in LABELS:
        for split in images.SPLITS:
            pool.add(label, 2, split=split, at=OLD)
    return pool


class TestMissing:
    """Classes with too few new images."""

    def test_says_how_many_are_missing_and_looks_no_further(self, pool: Pool):
        """Training on nothing costs an hour and repairs nothing."""
        pool.add("Spider", 2)
        found = pool.gather("Spider", min_new_images=5)

        assert (found.is_enough, dict(found.missing)) == (False, {"Spider": 3})
        assert found.to_dict()["notes"] == [
            "3 more new training images of Spider must be labelled before it is retrained for"
        ]

    def test_goes_on_for_the_classes_that_have_enough(self, pool: Pool):
        """One class without labels must not keep the others weak."""
        pool.add("Spider", 5)
        found = pool.gather("Cat", "Spider", min_new_images=5)

        assert (found.labels, dict(found.missing)) == (("Spider",), {"Cat": 5})

    def test_images_taken_before_the_class_sank_do_not_count(self, pool: Pool):
        """They show it as the champion knows it: nothing of what is wrong since."""
        pool.add("Spider", 7)

        assert pool.gather("Spider", since=day(1), min_new_images=5).is_enough
        assert dict(pool.gather("Spider", since=day(2), min_new_images=5).missing) == {"Spider": 5}

    def test_images_of_the_other_sides_are_not_learnt_from(self, pool: Pool):
        """Five gate images are no training images."""
        pool.add("Spider", 5, split="test")

        assert dict(pool.gather("Spider", min_new_images=5).missing) == {"Spider": 5}


class TestNearDuplicates:
    """New images that nearly repeat one of the exam."""

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_are_left_out_and_counted(self, pool: Pool, split: str):
        """A few bits apart: the same burst, whose source named the sides itself."""
        looks = 0xF0F0_1234_5678_9ABC
        pool.add("Spider", 1, split=split, phash=looks)
        (leak,) = pool.add("Spider", 1, phash=looks ^ 0b101)
        others = pool.add("Spider", 5)
        found = pool.gather("Spider", min_new_images=5)

        assert {s.sha256 for s in found.new.to_learn_from("Spider")} == set(others)
        assert leak not in {sample.sha256 for sample in found.snapshot.train}
        assert found.to_dict()["near_duplicates"] == {"Spider": 1}

    def test_among_themselves_may_repeat(self, pool: Pool):
        """Two training images alike are no leak."""
        pool.add("Spider", 2, phash=0xF0F0_1234_5678_9ABC)

        assert not pool.gather("Spider", min_new_images=1).near


class TestWrongLabels:
    """New images whose label looks wrong."""

    def test_the_one_among_many_is_held_back(self, pool: Pool):
        """Dogs in the folder of the Cats: those that the champion is as sure of as of Dogs."""
        pool.add("Dog", 9)
        right = pool.add("Cat", 16)
        wrong = pool.add("Cat", 4, painted="Dog")
        found = pool.gather("Cat")

        learnt = {sample.sha256 for sample in found.new.to_learn_from("Cat")}
        assert set(pool.held(found)) == {("Cat", "Dog")}
        assert set(right) < learnt < {*right, *wrong}
        assert learnt <= {sample.sha256 for sample in found.snapshot.train}

    def test_a_weak_class_is_learnt_though_the_champion_calls_all_of_it_another(
        self, pool: Pool, champions: dict[str, Version]
    ):
        """That is the weakness itself; Cats among the Spiders are held back."""
        pool.champion = champions["blind"]
        right = pool.add("Spider", 14)
        pool.add("Cat", 14)
        pool.add("Spider", 4, painted="Cat")
        found = pool.gather("Spider")

        assert set(pool.held(found)) == {("Spider", "Cat")}
        assert set(right) < {sample.sha256 for sample in found.new.to_learn_from("Spider")}

    def test_no_more_than_a_share_of_a_class(self, pool: Pool):
        """Where half a class looks mislabelled, a program should doubt itself."""
        pool.add("Dog", 20)
        pool.add("Cat", 12)
        pool.add("Cat", 8, painted="Dog")
        found = {most: pool.gather("Cat", max_held_back=most).held for most in (0, 0.1, 0.5)}

        assert [len(found[0]), len(found[0.1])] == [0, 2]
        assert found[0.5][:2] == found[0.1]
        assert len(found[0.5]) > 2

    def test_are_held_back_in_the_pool_when_the_job_has_come_to_something(self, pool: Pool):
        """Then a person sees them, and what a person clears stays cleared."""
        pool.add("Dog", 9)
        pool.add("Cat", 16)
        pool.add("Cat", 4, painted="Dog")
        found = pool.gather("Cat")
        with transaction(pool.engine) as connection:
            assert label_suspects.held(connection) == []
            assert found.record(connection, now=NOW) == len(found.held) > 0
            held = [each.image for each in label_suspects.held(connection)]
            label_suspects.clear(connection, held, by="ann", reason="Cats", now=NOW)
            found.record(connection, now=NOW)

            assert label_suspects.held(connection) == []
        assert not {each.image for each in pool.gather("Cat").held} & set(held)
