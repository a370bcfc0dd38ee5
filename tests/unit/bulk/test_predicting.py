"""Very many images at once: the whole way, and what happens when it is cut short."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.bulk import predicting
from core.bulk.parts import folder_of
from core.bulk.predicting import Task, predict
from core.bulk.scoring import Pace
from core.bundle.runner import Runner
from core.errors import CatalogError, ConflictError, UsageError
from core.images.preprocess import preprocess
from tests.images import png
from tests.tiny import LABELS, picture, tiny_bundle

PACE = Pace(batch_size=4, model_threads=2, decode_threads=2)


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """The tiny bundle, loaded."""
    return Runner.open(tiny_bundle(tmp_path_factory.mktemp("bundles")), device="cpu", threads=1)


@pytest.fixture
def task(tmp_path):
    """Twenty pictures in folders, one of them broken; parts of six rows."""
    for i in range(20):
        path = tmp_path / "pictures" / f"day{i % 3}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(picture(LABELS[i % 3], seed=i)))
    (tmp_path / "pictures/day1/04.png").write_bytes(b"no picture")
    (tmp_path / "pictures/notes.txt").write_bytes(b"not listed")
    return Task(tmp_path / "pictures", tmp_path / "out.parquet", top_k=2, part_rows=6)


class _Killed(BaseException):
    """Stands for a signal that ends the process."""


def _interrupt(runner, task, *, after):
    """Begin, and be killed after so many images."""

    def on_progress(done, _total):
        if done >= after:
            raise _Killed

    with pytest.raises(_Killed):
        predict(runner, task, PACE, on_progress=on_progress)


class TestPredict:
    """`predict`, from a folder to a file."""

    def test_gives_each_image_a_row_in_the_order_of_the_paths(self, runner, task):
        """Who joins the result with other data finds every image."""
        report = predict(runner, task, PACE)
        table = pq.read_table(task.out)

        assert (report.rows, report.resumed, report.unreadable) == (20, 0, 1)
        assert table["path"].to_pylist() == sorted(table["path"].to_pylist())
        assert table.column_names == list(predicting.tables.COLUMNS)
        assert not folder_of(task.out).exists()

    def test_says_what_the_version_says(self, runner, task):
        """One recipe, one graph: the same numbers as the service's."""
        predict(runner, task, PACE)
        row = pq.read_table(task.out).to_pylist()[0]

        image = preprocess(picture("Cat", seed=0), runner.recipe)
        said = np.sort(runner.run(image[None]).probabilities[0])[::-1]
        data = (task.source / "day0/00.png").read_bytes()
        assert (row["path"], row["label"]) == ("day0/00.png", "Cat")
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert [each["probability"] for each in row["top"]] == pytest.approx(said[:2], rel=1e-5)
        assert row["confidence"] == pytest.approx(said[0], rel=1e-5)
        assert row["margin"] == pytest.approx(said[0] - said[1], rel=1e-5)

    def test_keeps_an_unreadable_image_as_a_row_with_its_error(self, runner, task):
        """A broken file among a million must neither end the run nor vanish."""
        predict(runner, task, PACE)
        rows = pq.read_table(task.out).to_pylist()
        broken = next(row for row in rows if row["path"] == "day1/04.png")

        assert "JPEG" in broken["error"]
        assert broken["sha256"]
        assert [broken[name] for name in ("label", "confidence", "top", "margin")] == [None] * 4
        assert sum(row["error"] is not None for row in rows) == 1

    def test_of_broken_images_only_still_ends(self, runner, tmp_path):
        """The model is asked about nothing, and says nothing."""
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad/1.jpg").write_bytes(b"")

        report = predict(runner, Task(tmp_path / "bad", tmp_path / "out.csv"), PACE)

        assert (report.rows, report.unreadable) == (1, 1)

    @pytest.mark.parametrize(("name", "complaint"), [("out.json", "must end"), ("", "exists")])
    def test_refuses_an_output_it_cannot_write(self, runner, task, name, complaint):
        """A typing error must not cost a night's computing, or a file."""
        task.out.write_bytes(b"precious")

        with pytest.raises(UsageError, match=complaint):
            predict(runner, replace(task, out=task.out.with_name(name or "out.parquet")), PACE)

    def test_refuses_a_folder_without_images(self, runner, tmp_path):
        """An empty result would pass for a finished one."""
        (tmp_path / "empty").mkdir()

        with pytest.raises(CatalogError, match="holds no images"):
            predict(runner, Task(tmp_path / "empty", tmp_path / "out.csv"), PACE)


class TestResuming:
    """A run that was cut short."""

    def test_gives_the_same_file_as_one_run(self, runner, task):
        """A million images are not begun anew because of a reboot."""
        whole = replace(task, out=task.out.with_name("whole.parquet"))
        predict(runner, whole, PACE)
        _interrupt(runner, task, after=12)

        report = predict(runner, task, PACE)

        assert 8 <= report.resumed < 20
        assert pq.read_table(task.out) == pq.read_table(whole.out)

    def test_refuses_other_options(self, runner, task):
        """Half of a file must not have other columns than the other half."""
        _interrupt(runner, task, after=8)

        with pytest.raises(UsageError, match="top_k was 2, and now it is 3"):
            predict(runner, replace(task, top_k=3), PACE)

    def test_refuses_another_version(self, runner, task, tmp_path):
        """Half of a file must not be another model's."""
        _interrupt(runner, task, after=8)
        other = Runner.open(tiny_bundle(tmp_path, version="v2", seed=2), device="cpu", threads=1)

        with pytest.raises(UsageError, match="bundle was"):
            predict(other, task, PACE)

    def test_refuses_a_folder_that_changed(self, runner, task):
        """Rows are matched by place: a new image in between would shift them."""
        _interrupt(runner, task, after=12)
        (task.source / "day0/000.png").write_bytes(png(picture("Cat")))

        with pytest.raises(CatalogError, match="lists other images"):
            predict(runner, task, PACE)

    def test_lets_one_process_at_it(self, runner, task):
        """Two would write each other's parts."""
        shape = predicting.tables.schema({})

        with (
            predicting.open_parts(task.out, {}, shape),
            pytest.raises(ConflictError, match="another process"),
        ):
            predict(runner, task, PACE)


class TestCsv:
    """A CSV in, a CSV out."""

    def test_finds_images_beside_it_and_writes_no_formula(self, runner, tmp_path):
        """A path that begins with = would be computed by a spreadsheet program."""
        (tmp_path / "=1+1.png").write_bytes(png(picture("Dog")))
        source = tmp_path / "list.csv"
        source.write_text("id,Path\n7,'=1+1.png\n8,missing.png\n", encoding="utf-8")
        task = Task(source, tmp_path / "out.csv", top_k=1)

        predict(runner, task, PACE)
        rows = list(csv.DictReader(task.out.read_text(encoding="utf-8").splitlines()))

        assert [row["path"] for row in rows] == ["'=1+1.png", "missing.png"]
        assert json.loads(rows[0]["top"])[0]["label"] == rows[0]["label"] == "Dog"
        assert (rows[1]["label"], "nothing lies at" in rows[1]["error"]) == ("", True)

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [("file\na.png\n", "lacks the column path"), ('path\n" "\n', "line 2: the path is empty")],
    )
    def test_refuses_a_list_without_sense(self, runner, tmp_path, text, complaint):
        """Told before the first image, with the place."""
        (tmp_path / "list.csv").write_text(text, encoding="utf-8")

        with pytest.raises(CatalogError, match=complaint):
            predict(runner, Task(tmp_path / "list.csv", tmp_path / "out.csv"), PACE)
