"""What addresses mean."""

import pytest

from dashboard.address import (
    LONGEST_DAYS,
    class_address,
    days_of,
    image_address,
    label_of,
    overview_address,
)
from tests.board import HOSTILE


class TestClassAddress:
    """A class's page is named by its label."""

    @pytest.mark.parametrize(
        "label", ["Dog", "Wild dog", "100 %", "Übersee", "狗", "a?b#c", HOSTILE]
    )
    def test_leads_back_to_the_label(self, label):
        """A link that loses a character shows another class, or none."""
        assert label_of(class_address(label)) == label

    @pytest.mark.parametrize(
        "label", ["javascript:alert(1)", "//evil.example", "..\\..\\x", HOSTILE]
    )
    def test_is_never_a_scheme_or_a_host(self, label):
        """A label comes from outside, and stands in an href."""
        address = class_address(label, 7)

        assert address.startswith("/class/")
        assert not set(':/\\<>"') & set(address.removeprefix("/class/"))

    def test_carries_the_range_on(self):
        """A pasted link shows the same days."""
        assert class_address("Dog", 90) == "/class/Dog?days=90"
        assert overview_address() == "/"

    @pytest.mark.parametrize("path", [None, "", "/", "/class/", "/classes/Dog", "/other"])
    def test_other_paths_name_no_class(self, path):
        """The overview is no class."""
        assert label_of(path) is None


class TestDays:
    """The range stands in the address."""

    @pytest.mark.parametrize(
        ("search", "days"),
        [("?days=7", 7), ("?days=0", 1), ("?days=9999", LONGEST_DAYS), ("?a=1&days=90", 90)],
    )
    def test_is_read_within_bounds(self, search, days):
        """A year is what the database is asked for at most."""
        assert days_of(search, 30) == days

    @pytest.mark.parametrize(
        "search", [None, "", "?days=", "?days=-3", "?days=1e9", "?days=99999", "?days=x", "?days=²"]
    )
    def test_nonsense_is_the_usual_range(self, search):
        """A mistyped address shows a page."""
        assert days_of(search, 30) == 30


class TestImageAddress:
    """A picture is named by its number."""

    def test_is_a_path_of_ours(self):
        """Where the picture lies is nobody's business."""
        assert image_address(7) == "/images/7"
