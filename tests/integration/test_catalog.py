"""Labelled images into Postgres: what comes in, on which side, and what stays out."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core import catalog
from core.catalog import ImportReport
from core.errors import CatalogError
from core.store import audit, images
from core.store.database import transaction
from tests.images import jpeg, photo, png

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANIMALS = Path(__file__).resolve().parents[3] / "shared/data/animals"


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def _pets(folder: Path, per_class: int = 10) -> Path:
    """Write two class folders of pictures that nobody could take for one another."""
    names = [f"{label}/{number}.png" for label in ("Cat", "Dog") for number in range(per_class)]
    return _write(folder, {name: png(photo(24, 16, seed)) for seed, name in enumerate(names)})


def _import(engine: Engine, source: object, **options: object) -> ImportReport:
    return catalog.import_images(engine, str(source), added_at=NOW, **options)


def _rows(engine: Engine) -> list[dict[str, object]]:
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT * FROM images ORDER BY uri")).mappings()
        return [dict(row) for row in found]


class TestImport:
    """A folder of class folders becomes rows."""

    def test_records_what_every_later_step_needs(self, engine: Engine, tmp_path: Path):
        """Address, digest, looks, label, side and where the label comes from."""
        folder = _write(tmp_path / "pets", {"Cat/a.jpg": jpeg(photo(40, 30))})
        taken = datetime(2026, 2, 1, tzinfo=UTC)

        _import(engine, folder, source_name="zoo", labelled_by="Ada", captured_at=taken)

        (row,) = _rows(engine)
        assert row["uri"] == str(folder / "Cat/a.jpg")
        assert (row["width"], row["height"], row["type"]) == (40, 30, "image/jpeg")
        assert row["bytes"] == (folder / "Cat/a.jpg").stat().st_size
        assert (row["label"], row["source"], row["labelled_by"]) == ("Cat", "zoo", "Ada")
        assert (row["captured_at"], row["added_at"], row["session"]) == (taken, NOW, None)
        assert row["cluster"] == row["phash"]

    def test_divides_each_class_as_asked(self, engine: Engine, tmp_path: Path):
        """Twenty of a class at 50/25/25 are ten, five and five."""
        report = _import(engine, _pets(tmp_path, 20), split=(0.5, 0.25, 0.25))

        sides = {"train": 10, "val": 5, "test": 5}
        assert report.classes == {"Cat": sides, "Dog": sides}

    def test_changes_nothing_the_second_time(self, engine: Engine, tmp_path: Path):
        """Importing every night is the simplest way to keep up with a folder."""
        first = _import(engine, _pets(tmp_path))
        before = _rows(engine)

        second = _import(engine, tmp_path, split=(0, 0, 1), labelled_by="somebody else")

        assert (first.added, second.added, second.known, second.moved) == (20, 0, 20, 0)
        assert second.classes == first.classes
        assert _rows(engine) == before

    def test_keeps_given_splits(self, engine: Engine, tmp_path: Path):
        """Who publishes a split wants to be compared on it."""
        names = ["train/Cat/1.png", "valid/Cat/2.png", "test/Cat/3.png"]
        _write(tmp_path, {name: png(photo(16, 16, seed)) for seed, name in enumerate(names)})

        report = _import(engine, tmp_path)

        assert report.classes == {"Cat": {"train": 1, "val": 1, "test": 1}}
        assert [row["split"] for row in _rows(engine)] == ["test", "train", "val"]

    def test_reads_a_list_with_days_and_sessions(self, engine: Engine, tmp_path: Path):
        """The daily exam draws the freshest images first, so the day matters."""
        _pets(tmp_path, 1)
        (tmp_path / "list.csv").write_text(
            "path,label,split,captured_at,session\n"
            "Cat/0.png,Tabby,test,2026-02-03,night\nDog/0.png,Dog,,,\n"
        )

        _import(engine, tmp_path / "list.csv", captured_at=NOW)

        tabby, dog = _rows(engine)
        assert (tabby["label"], tabby["split"], tabby["session"]) == ("Tabby", "test", "night")
        assert tabby["captured_at"] == datetime(2026, 2, 3, tzinfo=UTC)
        assert dog["captured_at"] == NOW

    def test_lets_near_duplicates_follow_the_pool(self, engine: Engine, tmp_path: Path):
        """A copy made smaller and worse, labelled otherwise, still shows what was taught."""
        pictures = {f"Cat/{seed}.png": png(photo(64, 64, seed)) for seed in range(12)}
        _import(engine, _write(tmp_path / "first", pictures))
        copies = {f"Dog/{seed}.jpg": jpeg(photo(48, 48, seed), quality=70) for seed in range(12)}

        report = _import(engine, _write(tmp_path / "second", copies))

        rows = _rows(engine)
        cats = {Path(str(row["uri"])).stem: row for row in rows if row["label"] == "Cat"}
        dogs = {Path(str(row["uri"])).stem: row for row in rows if row["label"] == "Dog"}
        assert report.near_duplicates == 12
        for name, dog in dogs.items():
            assert (dog["split"], dog["cluster"]) == (cats[name]["split"], cats[name]["cluster"])

    def test_finds_images_that_were_moved(self, engine: Engine, tmp_path: Path):
        """Else a pool whose folder was renamed could never be mended."""
        folder = _pets(tmp_path / "old", 2)
        _import(engine, folder)
        shutil.move(folder, tmp_path / "new")

        report = _import(engine, tmp_path / "new")

        assert (report.added, report.known, report.moved) == (0, 4, 4)
        assert all(str(row["uri"]).startswith(str(tmp_path / "new")) for row in _rows(engine))

    def test_leaves_the_address_where_a_copy_is_imported(self, engine: Engine, tmp_path: Path):
        """As long as the first place holds, it stays the address."""
        folder = _pets(tmp_path / "old", 2)
        _import(engine, folder)
        before = _rows(engine)
        shutil.copytree(folder, tmp_path / "copy")

        assert _import(engine, tmp_path / "copy").moved == 0
        assert _rows(engine) == before

    def test_is_written_into_the_audit_trail_once(self, engine: Engine, tmp_path: Path):
        """Labels decide everything later: who brought them must be known."""
        for _ in range(2):
            _import(engine, _pets(tmp_path), source_name="zoo", labelled_by="Ada")

        with transaction(engine) as connection:
            (deed,) = audit.latest(connection)
        assert (deed.by, deed.subject, deed.detail["added"]) == ("Ada", "zoo", 20)

    def test_tells_how_far_it_is(self, engine: Engine, tmp_path: Path):
        """Ten thousand images take their time."""
        told: list[tuple[str, int, int]] = []

        _import(engine, _pets(tmp_path), on_progress=lambda *stage: told.append(stage))

        assert ("reading images", 20, 20) in told
        assert told[-1] == ("storing", 20, 20)

    def test_holds_when_two_run_at_once(self, engine: Engine, tmp_path: Path):
        """Each image comes in once, and near-duplicates do not slip past each other."""
        pictures = [photo(64, 64, seed) for seed in range(30)]
        _write(tmp_path / "a", {f"Cat/{n}.png": png(p) for n, p in enumerate(pictures)})
        _write(tmp_path / "b", {f"Cat/{n}.jpg": jpeg(p) for n, p in enumerate(pictures)})
        sources = [tmp_path / name for name in ("a", "a", "b")]

        threads = [threading.Thread(target=_import, args=(engine, source)) for source in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        sides = Counter((row["cluster"], row["split"]) for row in _rows(engine))
        assert set(sides.values()) == {2}
        assert len(sides) == 30

    def test_imports_from_any_file_system(self, engine: Engine, tmp_path: Path):
        """Buckets are named by URIs, and their images are read from there."""
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.put(str(_pets(tmp_path, 3)), "/import-test", recursive=True)

        report = _import(engine, "memory://import-test")

        memory.rm("/import-test", recursive=True)
        assert report.added == 6
        assert all(str(row["uri"]).startswith("memory://") for row in _rows(engine))


class TestSettingAside:
    """What cannot be taken in is reported, and stops nothing."""

    def test_reports_each_kind_and_takes_the_rest(self, engine: Engine, tmp_path: Path):
        """A real folder has all of these."""
        cat, dog, both = (png(photo(16, 16, seed)) for seed in range(3))
        _write(
            tmp_path,
            {
                "Cat/1.png": cat,
                "Cat/2.png": cat,
                "Cat/both.png": both,
                "Cat/broken.png": dog[:-20],
                "Cat/.DS_Store": b"x",
                "Dog/1.png": dog,
                "Dog/both.png": both,
                "cow/1.png": png(photo(16, 16, 5)),
                "Cow/2.png": png(photo(16, 16, 6)),
                "stray.png": png(photo(16, 16, 7)),
                "manifest.csv": b"x",
            },
        )

        report = _import(engine, tmp_path)

        counts = {reason: left["count"] for reason, left in report.to_dict()["set_aside"].items()}
        assert counts == {"corrupt": 1, "duplicate": 1, "two_labels": 2, "label": 2, "misplaced": 1}
        assert (report.added, report.ignored) == (2, 2)
        assert {str(row["label"]) for row in _rows(engine)} == {"Cat", "Dog"}

    def test_names_both_labels_of_one_image(self, engine: Engine, tmp_path: Path):
        """Somebody has to look at it and decide."""
        both = png(photo(16, 16, 9))
        _write(_pets(tmp_path, 1), {"Cat/x.png": both, "Dog/y.png": both})

        (first, _) = _import(engine, tmp_path).set_aside.first("two_labels")

        assert first.what.endswith("Cat/x.png")
        assert "'Cat' and 'Dog'" in first.why

    def test_keeps_the_label_of_the_pool_against_a_later_one(self, engine: Engine, tmp_path: Path):
        """The image may have been judged already: its row does not change behind that."""
        image = png(photo(16, 16))
        _import(engine, _write(tmp_path / "a", {"Cat/1.png": image}))

        later = _write(tmp_path / "b", {"Dog/1.png": image, "Cat/1.png": image})
        report = _import(engine, later)

        assert report.set_aside.count("two_labels") == 1
        assert (report.known, [row["label"] for row in _rows(engine)]) == (1, ["Cat"])

    def test_refuses_a_class_that_differs_from_the_pool_in_case(
        self, engine: Engine, tmp_path: Path
    ):
        """Two thresholds for one animal would each see half of it."""
        _import(engine, _pets(tmp_path / "a", 1))
        _write(tmp_path / "b", {"cat/9.png": png(photo(16, 16, 9)), "Dog/8.png": png(photo(9, 9))})

        report = _import(engine, tmp_path / "b")

        assert report.added == 1
        assert "'Cat' and 'cat'" in report.set_aside.first("label")[0].why

    def test_reports_a_given_split_that_leaks(self, engine: Engine, tmp_path: Path):
        """It is kept, but the test score it gives is too good."""
        picture = photo(64, 64, 3)
        _write(tmp_path, {"train/Cat/1.png": png(picture), "test/Cat/2.jpg": jpeg(picture)})

        report = _import(engine, tmp_path)

        assert (report.leaks, report.near_duplicates) == (1, 1)
        assert report.classes == {"Cat": {"train": 1, "val": 0, "test": 1}}

    @pytest.mark.parametrize("files", [{}, {"Cat/1.jpg": b"x"}, {"1.jpg": b"x"}, {"a.txt": b"x"}])
    def test_fails_when_there_is_nothing_to_take_in(
        self, files: dict[str, bytes], engine: Engine, tmp_path: Path
    ):
        """Zero images imported is never what was meant; the message shows the first reason."""
        _write(tmp_path, files)

        with pytest.raises(CatalogError, match="no image"):
            _import(engine, tmp_path)

        assert _rows(engine) == []

    def test_keeps_odd_names_exactly(self, engine: Engine, tmp_path: Path):
        """Any script, quotes, percent signs and mark-up are names like others."""
        names = ["猫", "<script>", "50 % '; DROP TABLE images; --", "=1+1", "قط"]
        _write(tmp_path, {f"{n}/1.png": png(photo(16, 16, s)) for s, n in enumerate(names)})

        _import(engine, tmp_path)

        with transaction(engine) as connection:
            assert set(images.labels(connection)) == set(names)


@pytest.mark.skipif(not ANIMALS.is_dir(), reason="the photographs are not beside this clone")
class TestPhotographs:
    """Real photographs, of two classes."""

    @pytest.fixture
    def animals(self, tmp_path: Path) -> Path:
        """Two classes, linked together as large data sets are."""
        for split in ("train", "val", "test"):
            (tmp_path / split).mkdir()
            for label in ("Cat", "Zebra"):
                (tmp_path / split / label).symlink_to(ANIMALS / split / label)
        return tmp_path

    def test_come_in_as_they_were_divided(self, engine: Engine, animals: Path):
        """Their manifest says 319 and 320 to learn from, and no near-duplicate among them."""
        report = _import(engine, animals)

        assert report.classes == {
            "Cat": {"train": 319, "val": 60, "test": 60},
            "Zebra": {"train": 320, "val": 60, "test": 60},
        }
        assert (report.set_aside.count(), report.near_duplicates, report.leaks) == (0, 0, 0)
