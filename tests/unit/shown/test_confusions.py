"""What a class was mistaken for."""

from datetime import date

import pytest

from core.shown import confusions
from tests.board import LAST, class_day, flag, version

FIRST = date(2026, 3, 8)
DAYS = [class_day("Dog", 9, 10), class_day("Dog", 11, 4), class_day("Dog", 13, 6)]


class TestOfClass:
    """By version and stretch."""

    def test_counts_before_and_since_the_fall_apart(self):
        """What it looks like now would be watered down by what it was."""
        since, before, reference = confusions.of_class(
            {"v1": DAYS}, FIRST, LAST, flag=flag("Dog", since=11), newest=version(), label="Dog"
        )

        assert (since.stretch, since.n, since.times) == ("since the fall", 20, {"Cow": 10})
        assert since.shares == {"Cow": 0.5}
        assert (before.stretch, before.n, before.times) == ("before the fall", 10, {})
        assert (before.first, before.last) == (FIRST, date(2026, 3, 10))
        assert (reference.stretch, reference.n, reference.times) == ("reference", 100, {"Cow": 10})

    @pytest.mark.parametrize(
        "flagged", [None, flag("Dog", since=1), flag("Dog", since=8)], ids=["no", "long ago", "all"]
    )
    def test_counts_all_days_together_where_it_did_not_fall_within_them(self, flagged):
        """There is nothing to compare with."""
        whole, _ = confusions.of_class(
            {"v1": DAYS}, FIRST, LAST, flag=flagged, newest=version(), label="Dog"
        )

        assert (whole.stretch, whole.n, whole.times["Cow"]) == ("whole", 30, 10)

    def test_leaves_out_the_days_of_other_ranges_and_divides_by_nothing(self):
        """A version that was examined before the range has no share."""
        old, _ = confusions.of_class(
            {"v1": [class_day("Dog", 1)]}, FIRST, LAST, flag=None, newest=version(), label="Dog"
        )

        assert (old.n, old.shares) == (0, {})
