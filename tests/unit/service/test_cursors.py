"""Cursors of the prediction log."""

import base64
import uuid
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.store.predictions import Position
from service import cursors
from service.schemas import LARGEST_NUMBER


class TestCursors:
    """A place in the log as text."""

    @given(st.datetimes(timezones=st.just(UTC)), st.uuids())
    def test_come_back_as_they_went(self, at: datetime, identity: uuid.UUID):
        """A microsecond lost here would repeat or skip a row."""
        position = Position(at, identity)

        assert cursors.read(cursors.write(position)) == position

    @given(st.text(max_size=60))
    def test_of_others_are_refused_and_nothing_worse(self, text: str):
        """S03: a cursor is input like any other."""
        with suppress(UsageError):
            assert cursors.write(cursors.read(text)) == text

    def test_need_no_quoting_in_an_address(self):
        """They are pasted into query strings."""
        cursor = cursors.write(
            Position(datetime(2026, 1, 1, tzinfo=UTC), uuid.UUID(int=2**128 - 1))
        )

        assert set(cursor) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        )

    def test_beyond_all_time_are_refused(self):
        """Year 300,000 fits the cursor and no datetime."""
        with pytest.raises(UsageError):
            cursors.read("f" * 32)


class TestNumbers:
    """Cursors of a numbered list: alerts."""

    @given(st.integers(1, LARGEST_NUMBER))
    def test_come_back_as_they_went(self, number: int):
        """A list has no gaps between its pages."""
        assert cursors.read_number(cursors.write_number(number)) == number

    @pytest.mark.parametrize("cursor", ["", "f", "AAAAAAAAAAA=", "__________8=", "é", "f" * 32])
    def test_of_others_are_refused(self, cursor: str):
        """No row has such a number, or none is meant."""
        with pytest.raises(UsageError, match="not one of ours"):
            cursors.read_number(cursor)


class TestWords:
    """A place in a list that is ordered by words."""

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
    def test_come_back_as_they_went(self, words: list[str]):
        """Labels are in any script, and a check over everything has none."""
        assert cursors.read_words(cursors.write_words(*words), len(words)) == words

    @given(st.text(max_size=60), st.integers(0, 4))
    def test_of_others_are_refused_and_nothing_worse(self, text: str, n: int):
        """S03: a cursor is input like any other."""
        with suppress(UsageError):
            assert len(cursors.read_words(text, n)) == n

    @pytest.mark.parametrize(
        "said",
        ['["a", 1]', '["a"]', '{"a": "b"}', '["a", "\\ud800"]', '["a", "\\u0000"]', "[" * 9_999],
    )
    def test_that_no_statement_takes_are_refused(self, said: str):
        """Neither numbers, nor halves of characters, nor NUL reach Postgres."""
        cursor = base64.urlsafe_b64encode(said.encode()).decode()

        with pytest.raises(UsageError, match="cursor"):
            cursors.read_words(cursor, 2)
