"""Idempotency-Keys over all fronts."""

import pytest

from service.workers.key_turns import KeyTurns

PLACE = ("app", "key")


@pytest.fixture
def turns() -> KeyTurns:
    """Keys that nobody has used yet."""
    return KeyTurns()


@pytest.fixture
def granted() -> list[int]:
    """The fronts whose turn it was, in order."""
    return []


class TestKeyTurns:
    """One front at a time deals with a key."""

    def test_go_to_whoever_came_first(self, turns: KeyTurns, granted: list[int]):
        """The second is told when the first has let go, not before."""
        for front in (0, 1, 2):
            turns.join(PLACE, front, lambda front=front: granted.append(front))
        before = list(granted)
        turns.leave(PLACE, 0)

        assert (before, granted) == ([0], [0, 1])

    def test_do_not_meet_at_another_key(self, turns: KeyTurns, granted: list[int]):
        """Keys belong to their caller; two of them never wait for each other."""
        turns.join(PLACE, 0, lambda: granted.append(0))
        turns.join(("other", "key"), 1, lambda: granted.append(1))

        assert granted == [0, 1]

    def test_pass_by_who_gave_up(self, turns: KeyTurns, granted: list[int]):
        """A request that timed out in the line must not hold it up later."""
        for front in (0, 1, 2):
            turns.join(PLACE, front, lambda front=front: granted.append(front))
        turns.leave(PLACE, 1)
        turns.leave(PLACE, 0)

        assert granted == [0, 2]

    def test_are_heard_of_in_any_order(self, turns: KeyTurns, granted: list[int]):
        """A front's next request may be here before the word that its last one is over."""
        turns.join(PLACE, 0, lambda: granted.append(0))
        turns.join(PLACE, 0, lambda: granted.append(10))
        turns.join(PLACE, 1, lambda: granted.append(1))
        for front in (0, 0, 1):
            turns.leave(PLACE, front)

        assert granted == [0, 10, 1]
        assert len(turns) == 0

    def test_pass_on_when_a_front_dies(self, turns: KeyTurns, granted: list[int]):
        """Its keys would be locked for ever."""
        for front in (0, 0, 1):
            turns.join(PLACE, front, lambda front=front: granted.append(front))
        turns.forget(0)
        turns.leave(PLACE, 1)

        assert granted == [0, 1]
        assert len(turns) == 0

    def test_remember_what_lies_in_the_spool(self, turns: KeyTurns):
        """A front that starts later cannot read what another one is writing."""
        kept = [{"caller": "app", "key": str(i), "answer": {}} for i in range(5)]
        turns.note("pinned", kept)
        turns.note("unpinned", kept[:2])
        turns.note("recent", [{"caller": "app", "key": "x"}])

        assert list(turns.pinned(at_once=2)) == [kept[2:4], kept[4:]]
