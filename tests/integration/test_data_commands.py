"""`weakspot data`: the verbs as a person or a program calls them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from core import catalog
from core.errors import CatalogError
from core.store import images, registry
from core.store.database import transaction
from core.store.registry import Version
from tests.images import photo, png
from weakspot import front, sample_data
from weakspot.commands.data import data_app

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Twelve pictures of each of two classes."""
    for seed in range(24):
        path = tmp_path / "pets" / ("Cat", "Dog")[seed % 2] / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(photo(20, 16, seed)))
    return tmp_path / "pets"


@pytest.fixture
def weakspot(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Call a verb of `weakspot data` with --json; return its exit code and its object."""
    monkeypatch.setenv("WEAKSPOT_DATABASE_URL", database_url)
    monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path / "home"))

    def call(*words: object) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as left:
            front.run(data_app, [*map(str, words), "--json"])
        out = capsys.readouterr().out
        return int(left.value.code or 0), json.loads(out) if out else {}

    return call


def _register(engine: Engine, labels: list[str], snapshot_at: datetime) -> None:
    version = Version(
        version="v1", number=1, name="pets", uri="/nowhere", digest="0" * 64, labels=labels,
        parent=None, snapshot="0" * 64, snapshot_at=snapshot_at, metrics={}, reference={},
        config={}, code_version="0", created_at=snapshot_at,
    )  # fmt: skip
    with transaction(engine) as connection:
        registry.register(connection, version)
        registry.promote(connection, "v1", now=snapshot_at, by="test", reason="test")


class TestImport:
    """`weakspot data import`."""

    def test_reports_what_came_in(self, weakspot: Call, pets: Path):
        """The object that other programs read."""
        code, report = weakspot("import", pets, "--split", "50/25/25", "--source", "zoo")

        assert code == 0
        assert (report["found"], report["added"], report["known"]) == (24, 24, 0)
        assert report["classes"]["Dog"] == {"train": 6, "val": 3, "test": 3}

    def test_writes_down_what_it_is_told(self, weakspot: Call, pets: Path, engine: Engine):
        """Source, labeller and day of each image."""
        options = ("--source", "zoo", "--labelled-by", "Ada", "--captured-at", "2026-02-03")

        weakspot("import", pets, *options)

        with engine.connect() as connection:
            row = connection.execute(images.ImageRow.__table__.select()).first()
        assert row is not None
        assert (row.source, row.labelled_by) == ("zoo", "Ada")
        assert row.captured_at == datetime(2026, 2, 3, tzinfo=UTC)

    def test_leaves_with_1_when_nothing_is_there(self, weakspot: Call, tmp_path: Path):
        """With the reason in the object."""
        code, answer = weakspot("import", tmp_path / "nowhere")

        assert (code, answer["error"]) == (1, "CatalogError")

    @pytest.mark.parametrize("words", [("--split", "1/2"), ("--captured-at", "yesterday")])
    def test_leaves_with_2_when_used_wrongly(
        self, words: tuple[str, str], weakspot: Call, pets: Path
    ):
        """Before anything is read."""
        assert weakspot("import", pets, *words)[0] == 2

    def test_speaks_to_people_otherwise(
        self, weakspot: Call, pets: Path, capsys: pytest.CaptureFixture[str]
    ):
        """A sentence and a bar for each class."""
        with pytest.raises(SystemExit):
            front.run(data_app, ["import", str(pets)])

        out = capsys.readouterr().out
        assert "24 images added" in out
        assert "█" in out


class TestProfile:
    """`weakspot data profile`."""

    def test_measures_the_pool(self, weakspot: Call, tmp_path: Path):
        """Sizes of all images, colours of a sample."""
        for name, side, value in (("Cat/1", 10, 0), ("Cat/2", 20, 255), ("Dog/3", 40, 255)):
            path = tmp_path / "flat" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(np.full((side, side, 3), value, np.uint8)))
        weakspot("import", tmp_path / "flat")

        _, found = weakspot("profile", "--min-per-class", 2)

        assert found["sizes"]["width"]["median"] == 20
        assert found["sizes"]["height"]["max"] == 40
        assert found["channels"]["mean"] == pytest.approx([2 / 3] * 3, abs=1e-5)
        assert found["channels"]["std"] == pytest.approx([2**0.5 / 3] * 3, abs=1e-5)
        assert found["below_min_per_class"] == ["Dog"]
        assert found["imbalance"] == 2

    @pytest.mark.parametrize("name", ["profile.html", "deep/er/profile.svg"])
    def test_draws_a_picture(self, name: str, weakspot: Call, pets: Path, tmp_path: Path):
        """To be opened in a browser or put into a report."""
        weakspot("import", pets)

        code, _ = weakspot("profile", "--out", tmp_path / name)

        assert code == 0
        assert "Cat" in (tmp_path / name).read_text()

    def test_refuses_another_kind_of_picture_before_any_work(self, weakspot: Call):
        """It says which kinds there are."""
        code, answer = weakspot("profile", "--out", "profile.png")

        assert code == 2
        assert ".html or .svg" in answer["detail"]

    def test_says_what_to_do_with_an_empty_pool(self, weakspot: Call):
        """The first thing a newcomer tries."""
        code, answer = weakspot("profile")

        assert code == 1
        assert "weakspot data import" in answer["detail"]

    def test_goes_on_without_images_that_are_gone(self, weakspot: Call, pets: Path):
        """A profile of what is there, and how many are not."""
        weakspot("import", pets)
        (pets / "Cat/0.png").unlink()

        _, found = weakspot("profile")

        assert found["channels"]["unreadable"] == 1
        assert found["channels"]["sampled"] == 23


class TestSample:
    """`weakspot data sample`."""

    def test_draws_from_the_test_side_before_there_is_a_champion(
        self, weakspot: Call, pets: Path, tmp_path: Path, engine: Engine
    ):
        """What it writes can be imported again as it is."""
        weakspot("import", pets, "--split", "50/0/50")

        code, drawn = weakspot("sample", "--per-class", 4, "--out", tmp_path / "day.csv")

        with (tmp_path / "day.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        with transaction(engine) as connection:
            known = images.known(connection, [row["sha256"] for row in rows])
        assert (code, drawn["version"], drawn["shortfalls"]) == (0, None, {})
        assert [row["label"] for row in rows] == ["Cat"] * 4 + ["Dog"] * 4
        assert {split for _, split in known.values()} == {"test"}
        assert weakspot("import", tmp_path / "day.csv")[1]["known"] == 8

    def test_draws_what_the_champion_has_not_learnt_from(self, engine: Engine, pets: Path):
        """Test images, and whatever came in after its snapshot, whichever side it is on."""
        catalog.import_images(engine, str(pets), split=(1, 0, 0), added_at=NOW)
        _register(engine, ["Cat", "Emu"], snapshot_at=datetime(2026, 2, 1, tzinfo=UTC))

        with transaction(engine) as connection:
            drawn = catalog.draw_day(connection, date(2026, 3, 1), per_class=15)

        assert (drawn.version, len(drawn.images)) == ("v1", 12)
        assert drawn.shortfalls == {"Cat": 3, "Emu": 15}

    def test_draws_nothing_that_was_taken_later(self, engine: Engine, pets: Path):
        """A day that is examined again gets the images of that day."""
        taken = datetime(2026, 3, 5, tzinfo=UTC)
        catalog.import_images(engine, str(pets), split=(0, 0, 1), captured_at=taken, added_at=NOW)

        with transaction(engine) as connection:
            assert len(catalog.draw_day(connection, date(2026, 3, 5), per_class=5).images) == 10
            with pytest.raises(CatalogError, match="2026-03-04"):
                catalog.draw_day(connection, date(2026, 3, 4), per_class=5)

    def test_prints_the_list_without_a_file(
        self, weakspot: Call, pets: Path, capsys: pytest.CaptureFixture[str]
    ):
        """For a pipe; what is said about it goes to stderr."""
        weakspot("import", pets, "--split", "0/0/1")
        with pytest.raises(SystemExit):
            front.run(data_app, ["sample", "--per-class", "1", "--date", "2030-01-01"])

        out, err = capsys.readouterr()
        assert out.startswith("path,label,sha256\n/")
        assert out.count("\n") == 3
        assert "2 images for 2030-01-01" in err

    def test_leaves_with_2_at_a_day_that_is_none(self, weakspot: Call):
        """And shows how a day is written."""
        code, answer = weakspot("sample", "--date", "31.1.2026")

        assert code == 2
        assert "2026-01-31" in answer["detail"]


class TestVerify:
    """`weakspot data verify`."""

    def test_finds_the_pool_sound_after_an_import(self, weakspot: Call, pets: Path):
        """Nothing has happened yet."""
        weakspot("import", pets)

        code, found = weakspot("verify")

        assert (code, found["checked"], found["sound"]) == (0, 24, True)

    def test_finds_what_is_missing_changed_or_unreadable(self, weakspot: Call, pets: Path):
        """A classifier judged on the wrong picture looks weak for no reason."""
        weakspot("import", pets)
        (pets / "Cat/0.png").unlink()
        (pets / "Cat/2.png").write_bytes(png(photo(20, 16, 99)))
        (pets / "Cat/4.png").write_bytes(b"x" * 10_000_001)
        (pets / "Dog/1.png").unlink()
        (pets / "Dog/1.png").mkdir()

        code, found = weakspot("verify")

        counts = [found[fault]["count"] for fault in ("missing", "changed", "unreadable")]
        assert (code, counts) == (1, [1, 2, 1])
        assert found["missing"]["first"][0]["uri"] == str(pets / "Cat/0.png")


class TestSampleSet:
    """`weakspot data sample-set`."""

    def test_divides_the_silhouettes_evenly(self, weakspot: Call, sample_set: Path):
        """About 3 % repeat another; each class is divided as asked all the same."""
        code, report = weakspot("sample-set", "--out", sample_set, "--split", "50/20/30")

        assert code == 0
        assert (report["found"], report["added"]) == (10_000, 9_716)
        assert set(report["set_aside"]) == {"duplicate"}
        assert set(report["classes"]) == set(sample_data.CLASSES)
        for sides in report["classes"].values():
            whole = sum(sides.values())
            assert abs(sides["train"] - 0.5 * whole) <= 2
            assert abs(sides["test"] - 0.3 * whole) <= 2
