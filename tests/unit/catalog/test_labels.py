"""Which names a class may have."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.labels import fault, normalise, settle

COMPOSED = "Caf\u00e9"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


class TestFault:
    """The few names that cannot stand everywhere a label goes."""

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "   ",
            "a" * 201,
            "Cat/Dog",
            ".",
            "..",
            "a\nb",
            "a\0b",
            "a\x1b[2J",
            "\u202etaC",
            "\ud800",
        ],
    )
    def test_is_found_in_a_name_that_breaks_paths_or_screens(self, name: str):
        """Rows, file names, metrics and terminals all show labels."""
        assert fault(normalise(name)) is not None

    @pytest.mark.parametrize(
        "name",
        ["Cat", "Ελέφαντας", "猫", "قط", "<script>", "100 %", "=1+1", "'; DROP", "a\\b", "👩‍👩‍👧"],
    )
    def test_is_not_found_in_names_that_only_look_odd(self, name: str):
        """Any script and any punctuation is a name; whoever shows it escapes it."""
        assert fault(normalise(name)) is None

    def test_says_which_character_is_at_fault_without_printing_it(self):
        """The message is read in the very terminal that the name could steer."""
        why = fault("a\x1bb")

        assert why is not None
        assert r"\x1b" in why
        assert why.isprintable()


class TestSettle:
    """Deciding about all names of an import at once."""

    def test_accepts_different_names(self):
        """The ordinary case."""
        assert settle(["Cat", "Dog"], pool=[]).labels == {"Cat": "Cat", "Dog": "Dog"}

    @pytest.mark.parametrize(
        "pair", [("Cat", "cat"), (COMPOSED, DECOMPOSED), ("straße", "STRASSE")]
    )
    def test_refuses_both_of_two_names_that_differ_only_in_case_or_form(
        self, pair: tuple[str, str]
    ):
        """Nobody can say whether one class is meant or two."""
        settled = settle(pair, pool=[])

        assert not settled.labels
        assert set(settled.refused) == set(pair)

    def test_names_both_so_that_they_can_be_told_apart(self):
        """On screen the two forms of one name look the same."""
        why = settle([COMPOSED, DECOMPOSED], pool=[]).refused[COMPOSED]

        assert r"'Caf\xe9'" in why
        assert r"'Cafe\u0301'" in why

    def test_takes_the_spelling_of_the_pool(self):
        """What was decided once is not asked again."""
        settled = settle(["Cat", "cat"], pool=["Cat"])

        assert settled.labels == {"Cat": "Cat"}
        assert "'Cat'" in settled.refused["cat"]
        assert "'cat'" in settled.refused["cat"]

    def test_knows_a_pool_label_in_its_other_unicode_form(self):
        """A Mac writes folder names decomposed; the class is the same."""
        assert settle([DECOMPOSED], pool=[COMPOSED]).labels == {DECOMPOSED: COMPOSED}

    def test_takes_white_space_around_a_name_for_no_difference(self):
        """CSV files are full of it."""
        assert settle(["Cat", "Cat "], pool=[]).labels == {"Cat": "Cat", "Cat ": "Cat"}

    @given(st.sets(st.text(max_size=8), max_size=6), st.sets(st.sampled_from("abcß")))
    def test_decides_about_every_name_exactly_once(self, names: set[str], pool: set[str]):
        """No image may fall between the two."""
        settled = settle(names, pool)

        assert set(settled.labels) | set(settled.refused) == names
        assert not set(settled.labels) & set(settled.refused)
