"""Which images of a day belong together, and how alike they are."""

from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.judging.likeness import WINDOW_DAYS, Likeness, groups_of
from core.store.class_days import ClassDay

FIRST = date(2026, 3, 1)


def row(label: str, n: int, correct: int, shared: list[list[int]], day: date = FIRST) -> ClassDay:
    """Return a class's day with these groups of two or more."""
    return ClassDay(day, "v1", label, n, correct, {}, 0.0, 1.0, shared)


groups = st.lists(st.tuples(st.integers(2, 30), st.integers(0, 30)), max_size=5).map(
    lambda pairs: [[n, min(k, n)] for n, k in pairs]
)


class TestGroupsOf:
    """Every image of a day in exactly one bet."""

    @given(
        st.lists(st.tuples(groups, st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4)
    )
    def test_lose_no_image_and_no_answer(self, classes):
        """An image in two bets would count twice."""
        rows = [
            row(
                str(i),
                right + wrong + sum(n for n, _ in shared),
                right + sum(k for _, k in shared),
                shared,
            )
            for i, (shared, right, wrong) in enumerate(classes)
        ]
        owner, correct, total = groups_of(rows, [each.label for each in rows])

        size = len(rows)
        assert np.bincount(owner, total, size).tolist() == [each.n for each in rows]
        assert np.bincount(owner, correct, size).tolist() == [each.correct for each in rows]

    def test_leave_out_what_the_version_does_not_know(self):
        """A label that a later version has is nobody's here."""
        owner, _, total = groups_of([row("Emu", 4, 4, [[4, 4]]), row("Cat", 2, 1, [])], ["Cat"])

        assert (owner.tolist(), total.tolist()) == ([0, 0], [1, 1])


class TestLikeness:
    """The estimate that settles the bet."""

    def test_is_nothing_where_nothing_belongs_together(self):
        """A pool without sessions is judged image by image."""
        likeness = Likeness()
        likeness.add([row("Cat", 10, 9, [])])

        assert likeness.correlation(FIRST + timedelta(days=1)) == 0.0

    def test_knows_the_days_before_and_not_the_day_itself(self):
        """A bet that is settled on after its outcome is no bet."""
        likeness = Likeness()
        likeness.add([row("Cat", 20, 10, [[10, 10], [10, 0]])])

        assert likeness.correlation(FIRST) == 0.0
        assert likeness.correlation(FIRST + timedelta(days=1)) == 1.0

    def test_forgets_after_thirty_days(self):
        """Last year's camera says nothing about this one."""
        likeness = Likeness()
        likeness.add([row("Cat", 20, 10, [[10, 10], [10, 0]])])

        assert likeness.correlation(FIRST + timedelta(days=WINDOW_DAYS)) == 1.0
        assert likeness.correlation(FIRST + timedelta(days=WINDOW_DAYS + 1)) == 0.0
