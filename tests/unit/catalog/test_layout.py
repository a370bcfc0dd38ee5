"""From paths to classes and sides."""

from __future__ import annotations

import pytest

from core.catalog.layout import Layout, arrange
from core.catalog.report import SetAside


def _arrange(*paths: str) -> tuple[Layout, SetAside]:
    set_aside = SetAside()
    return arrange(paths, set_aside), set_aside


def _placed(*paths: str) -> list[tuple[str, str | None]]:
    layout, _ = _arrange(*paths)
    return [(place.name, place.split) for place in layout.places]


class TestArrange:
    """Two layouts are understood, and nothing is guessed beyond them."""

    def test_takes_the_class_from_the_folder(self):
        """CLASS/IMAGE is the plainest way to label."""
        assert _placed("Cat/1.jpg", "Dog/2.png") == [("Cat", None), ("Dog", None)]

    @pytest.mark.parametrize(
        ("folder", "side"),
        [("train", "train"), ("Training", "train"), ("val", "val"), ("valid", "val"),
         ("validation", "val"), ("TEST", "test")],
    )  # fmt: skip
    def test_takes_the_side_from_split_folders(self, folder: str, side: str):
        """Public data sets spell their splits in half a dozen ways."""
        assert _placed(f"{folder}/Cat/1.jpg") == [("Cat", side)]

    def test_lets_a_class_be_called_train(self):
        """Railways are photographed, too."""
        assert _placed("Train/1.jpg", "Bus/2.jpg") == [("Bus", None), ("Train", None)]

    def test_is_not_misled_by_a_stray_image_beside_the_class_folders(self):
        """One overlooked file must not turn the split into a class."""
        layout, set_aside = _arrange("train/x.jpg", "train/Cat/1.jpg", "train/Dog/2.jpg")

        assert [place.split for place in layout.places] == ["train", "train"]
        assert set_aside.count("misplaced") == 1

    def test_does_not_take_bare_split_folders_for_classes(self):
        """train/1.jpg says nothing about what the image shows."""
        layout, set_aside = _arrange("train/1.jpg", "test/2.jpg")

        assert not layout.places
        assert "no class folder" in set_aside.first("misplaced")[0].why

    def test_reports_images_outside_of_any_class_or_too_deep(self):
        """Guessing a label from a sub-folder would teach the wrong thing."""
        layout, set_aside = _arrange("1.jpg", "Cat/monday/2.jpg", "Cat/3.jpg")

        assert [place.path for place in layout.places] == ["Cat/3.jpg"]
        assert set_aside.count("misplaced") == 2

    def test_reports_what_stands_beside_the_split_folders(self):
        """An unlabelled folder next to them is no class."""
        _, set_aside = _arrange("train/Cat/1.jpg", "train/Cat/2.jpg", "unlabelled/3.jpg")

        assert "beside the split folders train" in set_aside.first("misplaced")[0].why

    def test_passes_over_hidden_files_and_other_kinds(self):
        """Thumbnails databases and manifests lie in every data set."""
        layout, set_aside = _arrange(
            "manifest.csv", "Cat/.DS_Store", "Cat/Thumbs.db", "__MACOSX/Cat/1.jpg", ".git/Cat/1.jpg"
        )

        assert (layout.places, layout.ignored, set_aside.count()) == ([], 5, 0)

    def test_lets_the_content_decide_where_the_name_says_nothing(self):
        """Crawlers save images without a suffix; a GIF is an image that must be reported."""
        assert len(_placed("Cat/a1b2c3", "Cat/4.GIF")) == 2

    def test_gives_the_same_order_whatever_order_the_files_come_in(self):
        """Of two equal files the first is kept: it has to be the same one every time."""
        assert _placed("B/1.jpg", "A/2.jpg") == _placed("A/2.jpg", "B/1.jpg")
