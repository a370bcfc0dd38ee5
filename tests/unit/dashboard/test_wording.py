"""Numbers and days in words."""

from datetime import UTC, date, datetime

import pytest

from dashboard.parts.wording import (
    count,
    day_text,
    evidence_text,
    moment_text,
    percent,
    points,
    rarity_text,
    shortened,
)

TODAY = date(2026, 3, 15)


class TestDays:
    """Days as people say them."""

    def test_this_year_goes_without_saying(self):
        """Every date on a page repeats it otherwise."""
        assert day_text(date(2026, 3, 8), today=TODAY) == "8 Mar"

    def test_another_year_is_said(self):
        """In January, 31 Dec is last year's."""
        assert day_text(date(2025, 12, 31), today=TODAY) == "31 Dec 2025"

    def test_a_moment_says_its_zone(self):
        """02:03 of whom?"""
        assert moment_text(datetime(2026, 3, 8, 2, 3, tzinfo=UTC), today=TODAY) == (
            "8 Mar 02:03 UTC"
        )


class TestShares:
    """Shares in percent."""

    @pytest.mark.parametrize(
        ("share", "text"),
        [(0, "0 %"), (1, "100 %"), (0.934, "93 %"), (0.996, "99.6 %"), (0.004, "0.4 %")],
    )
    def test_never_round_to_perfection(self, share, text):
        """996 of 1,000 are not all of them."""
        assert percent(share) == text

    def test_differences_have_a_sign(self):
        """Gain or loss is the first thing to know."""
        assert (points(0.021), points(-0.004)) == ("+2.1", "−0.4")


class TestEvidence:
    """E-values, which span twenty powers of ten."""

    @pytest.mark.parametrize(
        ("evidence", "text"),
        [(0.31, "0.3"), (9.4, "9.4"), (812.6, "813"), (43_449.0, "43,449"), (1.3e9, "1.3 × 10⁹")],
    )
    def test_is_told_to_two_digits_or_as_a_power(self, evidence, text):
        """1,293,481,662.4 tells nothing more than 1.3 × 10⁹."""
        assert evidence_text(evidence) == text


class TestRarity:
    """How seldom chance alone would show so much evidence."""

    @pytest.mark.parametrize(
        ("evidence", "classes", "text"),
        [
            (3, 10, "at most once in 1 day"),
            (400, 10, "at most once in 40 days"),
            (1250, 10, "at most once in 4 months"),
            (6.0e6, 10, "at most once in 1,600 years"),
            (1e12, 2500, "less than once in a million years"),
        ],
    )
    def test_is_the_evidence_shared_by_the_classes_in_days(self, evidence, classes, text):
        """As at the threshold: 30 K / b is once in 30 / b days, the budget itself."""
        assert rarity_text(evidence, classes) == text


class TestCounts:
    """Things counted."""

    def test_one_is_singular(self):
        """'1 classes' looks careless."""
        assert count(1, "class", "classes") == "1 class"
        assert count(1200, "image") == "1,200 images"

    def test_long_names_end_in_an_ellipsis(self):
        """An axis has room for some letters."""
        assert shortened("Hippopotamus", 8) == "Hippopo…"
        assert shortened("Dog", 8) == "Dog"
