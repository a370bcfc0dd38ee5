"""A class found by a few letters."""

import pytest

from dashboard.finding import fitting

LABELS = ["Wild Cat", "Bobcat", "Cat", "Catfish", "Straße 7", "Dog"]


class TestFitting:
    """Which classes fit, the best first."""

    def test_the_whole_name_goes_before_its_beginning_and_that_before_the_rest(self):
        """Enter opens what was typed in full."""
        assert fitting(LABELS, " CAT ") == ["Cat", "Catfish", "Wild Cat", "Bobcat"]

    @pytest.mark.parametrize(("typed", "found"), [("strasse", ["Straße 7"]), ("yeti", [])])
    def test_case_does_not_matter(self, typed: str, found: list[str]):
        """In any script."""
        assert fitting(LABELS, typed) == found

    def test_nothing_typed_is_every_class_by_name(self):
        """The list begins somewhere."""
        assert fitting(LABELS, "") == sorted(LABELS)
