"""What is computed once and kept."""

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from dashboard.parts.keeping import Kept


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection to a database of its own; what it holds does not matter here."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.connect() as found:
        yield found
    engine.dispose()


class TestKept:
    """The last few values, by what they follow from."""

    def test_computes_once_for_each_key(self, connection: Connection):
        """And anew where the key is another one."""
        kept: Kept[list[int]] = Kept(2)

        first = kept.get(connection, "a", lambda: [1])

        assert kept.get(connection, "a", lambda: [2]) is first
        assert kept.get(connection, "b", lambda: [3]) == [3]

    def test_lets_go_of_what_was_asked_for_longest_ago(self, connection: Connection):
        """What is kept does not grow."""
        kept: Kept[int] = Kept(2)
        for key, value in (("a", 1), ("b", 2), ("a", 0), ("c", 3)):
            kept.get(connection, key, lambda value=value: value)

        assert kept.get(connection, "a", lambda: 9) == 1
        assert kept.get(connection, "b", lambda: 9) == 9

    def test_knows_one_database_from_another(self, connection: Connection):
        """Two of them may be in the same state and hold other rows."""
        kept: Kept[int] = Kept(2)
        kept.get(connection, "a", lambda: 1)
        other = sa.create_engine("sqlite://", poolclass=sa.StaticPool)

        with other.connect() as elsewhere:
            assert kept.get(elsewhere, "a", lambda: 2) == 2
        other.dispose()

    def test_keeps_nothing_of_what_failed(self, connection: Connection):
        """The database may be back at the next look."""
        kept: Kept[int] = Kept(2)

        with pytest.raises(ZeroDivisionError):
            kept.get(connection, "a", lambda: 1 // 0)

        assert kept.get(connection, "a", lambda: 1) == 1

    def test_is_computed_once_for_all_who_ask_at_once(self, connection: Connection):
        """Ten open pages ask in the moment in which a day was judged."""
        kept: Kept[int] = Kept(2)
        computed: list[int] = []

        def slowly() -> int:
            time.sleep(0.05)
            computed.append(1)
            return len(computed)

        asking = [
            threading.Thread(target=kept.get, args=(connection, "a", slowly)) for _ in range(5)
        ]
        for each in asking:
            each.start()
        for each in asking:
            each.join()

        assert computed == [1]
