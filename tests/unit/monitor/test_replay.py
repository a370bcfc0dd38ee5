"""In how many rounds versions that were exchanged and taken back are computed anew."""

import hashlib
from datetime import date, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from monitor.replay import rounds

FIRST = date(2026, 3, 1)
Rows = dict[tuple[int, str], str]


def _day(number: int) -> date:
    return FIRST + timedelta(days=number)


def _computed(exams: list[tuple[int, str]], number: int, rows: Rows) -> str:
    """Return an exam's row as it follows from those it rests on: whatever they are, all counts."""
    day, name = exams[number]
    own = [each for each in exams[:number] if each[1] == name]
    others = [
        each
        for each in exams[:number]
        if each[1] != name and each[0] < day and (not own or each[0] >= own[-1][0])
    ]
    rests_on = [rows.get(each, "") for each in (own[-1:] + others[-1:])]
    return hashlib.sha256(repr((day, name, rests_on)).encode()).hexdigest()


def _in_order(exams: list[tuple[int, str]]) -> Rows:
    rows: Rows = {}
    for number, exam in enumerate(exams):
        rows[exam] = _computed(exams, number, rows)
    return rows


def _by_version(exams: list[tuple[int, str]], versions: list[str], times: int) -> Rows:
    """Compute one version after the other, from rows that are all wrong."""
    rows: Rows = dict.fromkeys(exams, "stale")
    for _ in range(times):
        for name in versions:
            for number, exam in enumerate(exams):
                if exam[1] == name:
                    rows[exam] = _computed(exams, number, rows)
    return rows


def _versions(exams: list[tuple[int, str]]) -> list[str]:
    return list(dict.fromkeys(name for _, name in exams))


class TestRounds:
    """`rounds`."""

    def test_one_for_versions_that_followed_each_other(self):
        """The usual history costs nothing more."""
        exams = [(_day(i), "v1" if i < 3 else "v2") for i in range(6)]

        assert rounds(exams, ["v1", "v2"]) == 1

    def test_two_after_a_rollback(self):
        """What v1 has to recover from on day 7, v2 left on day 6, and that v1 on day 3."""
        exams = [(_day(i), "v2" if 3 <= i < 6 else "v1") for i in range(9)]

        assert rounds(exams, ["v1", "v2"]) == 2

    def test_none_is_needed_without_any_exam(self):
        """A stretch in which nothing was examined."""
        assert rounds([], []) == 1

    @given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abcd")), max_size=40))
    @example([(i, "ab"[i % 2]) for i in range(20)])
    def test_are_enough_whatever_was_promoted_and_rolled_back(self, drawn: list[tuple[int, str]]):
        """Computed version by version, every row is what going through the days would have left."""
        exams = sorted(dict.fromkeys(drawn), key=lambda exam: exam[0])
        versions = _versions(exams)

        times = rounds([(_day(number), name) for number, name in exams], versions)

        assert _by_version(exams, versions, times) == _in_order(exams)

    @given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), max_size=30))
    def test_are_no_more_than_needed(self, drawn: list[tuple[int, str]]):
        """A round of 2,500 classes rewrites a row for each of them and each day."""
        exams = sorted(dict.fromkeys(drawn), key=lambda exam: exam[0])
        versions = _versions(exams)

        times = rounds([(_day(number), name) for number, name in exams], versions)

        fewer = _by_version(exams, versions, times - 1)
        assert not exams or fewer != _in_order(exams)
