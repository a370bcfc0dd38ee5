"""From a folder, a CSV or a URI to a list of images."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from core.catalog.report import SetAside
from core.catalog.sources import Entry, Listing, list_images
from core.errors import CatalogError
from core.images.source import read_bytes


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def _list(source: object) -> Listing:
    return list_images(str(source), SetAside())


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder in fsspec's memory, as remote as an s3:// one to this code."""
    uri = f"memory://{uuid.uuid4().hex}"
    yield uri
    fsspec.filesystem("memory").rm(uri.removeprefix("memory:/"), recursive=True)


class TestFolder:
    """Folders of class folders."""

    def test_gives_absolute_addresses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """Other programs start elsewhere and must still find the images."""
        _touch(tmp_path, "pets/Cat/1.jpg")
        monkeypatch.chdir(tmp_path)

        assert _list("pets").entries == [Entry(str(tmp_path / "pets/Cat/1.jpg"), "Cat")]

    def test_takes_a_file_uri_for_the_path_it_is(self, tmp_path: Path):
        """Both ways of writing it name the same images."""
        _touch(tmp_path, "Cat/1.jpg")

        assert _list(f"file://{tmp_path}") == _list(tmp_path)

    def test_follows_a_linked_class_folder_and_survives_a_circle(self, tmp_path: Path):
        """Large data sets are linked together; a link to the top must end somewhere."""
        _touch(tmp_path, "store/1.jpg", "pets/Dog/2.jpg")
        (tmp_path / "pets/Cat").symlink_to(tmp_path / "store")
        (tmp_path / "pets/Dog/again").symlink_to(tmp_path / "pets")

        assert [entry.name for entry in _list(tmp_path / "pets").entries] == ["Cat", "Dog"]

    def test_does_not_wait_on_a_pipe(self, tmp_path: Path):
        """Opening one would block for ever."""
        _touch(tmp_path, "Cat/1.jpg")
        os.mkfifo(tmp_path / "Cat/pipe.jpg")

        assert len(_list(tmp_path).entries) == 1

    def test_lists_a_link_to_nowhere_so_that_it_is_reported(self, tmp_path: Path):
        """A lost image is not an image that never was."""
        _touch(tmp_path, "Cat/1.jpg")
        (tmp_path / "Cat/2.jpg").symlink_to(tmp_path / "gone.jpg")

        assert len(_list(tmp_path).entries) == 2

    @pytest.mark.parametrize("source", ["nowhere", "s3::file://x"])
    def test_refuses_what_is_not_there(self, source: str, tmp_path: Path):
        """With the place it looked at."""
        with pytest.raises(CatalogError, match=source):
            _list(source if "::" in source else tmp_path / source)

    def test_refuses_a_file_that_is_no_csv(self, tmp_path: Path):
        """And says what can be imported."""
        _touch(tmp_path, "pets.zip")

        with pytest.raises(CatalogError, match=r"no folder and no \.csv file; give a folder"):
            _list(tmp_path / "pets.zip")


class TestCsv:
    """Lists of paths and labels."""

    def test_takes_paths_relative_to_the_list(self, tmp_path: Path):
        """A list travels with its images."""
        listing = tmp_path / "day/list.csv"
        _touch(tmp_path, "day/list.csv")
        listing.write_text("path,label\n../a.jpg,Cat\n/b.jpg,Cat\nfile:///c.jpg,Cat\ngs://d/e,Cat")

        uris = [entry.uri for entry in _list(listing).entries]

        assert uris == [str(tmp_path / "a.jpg"), "/b.jpg", "/c.jpg", "gs://d/e"]

    def test_knows_that_some_images_are_far_away(self, tmp_path: Path):
        """They are read with more threads."""
        listing = tmp_path / "list.csv"
        listing.write_text("path,label\ngs://pets/a.jpg,Cat\n")

        assert _list(listing).is_remote


class TestUri:
    """Anything that fsspec can list."""

    def test_lists_class_folders_with_addresses_that_can_be_read(self, bucket: str):
        """What is listed here is opened by every other program."""
        for name in ("train/Cat/1.jpg", "test/Dog/2.jpg", "notes.txt"):
            with fsspec.open(f"{bucket}/{name}", "wb") as file:
                file.write(name.encode())

        listing = _list(bucket)

        assert [(entry.name, entry.split) for entry in listing.entries] == [
            ("Dog", "test"),
            ("Cat", "train"),
        ]
        assert read_bytes(listing.entries[0].uri) == b"test/Dog/2.jpg"
        assert (listing.ignored, listing.is_remote) == (1, True)

    def test_reads_a_list_beside_its_images(self, bucket: str):
        """Relative paths stay in the bucket."""
        with fsspec.open(f"{bucket}/day.csv", "w") as file:
            file.write("path,label\nimages/1.jpg,Cat\n")
        with fsspec.open(f"{bucket}/images/1.jpg", "wb") as file:
            file.write(b"cat")

        (entry,) = _list(f"{bucket}/day.csv").entries

        assert read_bytes(entry.uri) == b"cat"

    def test_says_which_package_a_backend_needs(self):
        """Cloud storage is nobody's default dependency."""
        with pytest.raises(CatalogError, match="pip install adlfs"):
            _list("az://pets")

    def test_refuses_a_folder_that_is_not_there(self):
        """As on a disk."""
        with pytest.raises(CatalogError, match="memory://nowhere"):
            _list("memory://nowhere")
