"""When a flag asks for a retraining."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from core.store.flags import Flag
from monitor.retraining import Last, is_due

NOW = datetime(2026, 3, 20, 2, tzinfo=UTC)
RAISED = NOW - timedelta(days=10)
FLAG = Flag(
    1, "change", "Cat", "v1", date(2026, 3, 8), date(2026, 3, 9), RAISED, None, None, 400.0, 300.0
)
DAY = timedelta(days=1)


def _last(
    status: str,
    *,
    days_ago: float | None,
    before_the_flag: bool = False,
    serving: bool = False,
    missing: int | None = None,
    labelled: int = 0,
    look: bool | None = None,
) -> Last:
    requested_at = RAISED - DAY if before_the_flag else RAISED
    job: Any = SimpleNamespace(status=status, requested_at=requested_at)
    ended_at = None if days_ago is None else NOW - days_ago * DAY
    return Last(job, ended_at, serving, missing, labelled, look)


class TestIsDue:
    """`is_due`, with a cool-down of three days."""

    @pytest.mark.parametrize(
        ("last", "again", "expected"),
        [
            (None, False, True),
            (_last("running", days_ago=None), True, False),
            (_last("refused", days_ago=2.9, labelled=50), False, False),
            (_last("refused", days_ago=3, labelled=1), False, True),
            (_last("more images", days_ago=4, labelled=1), False, True),
            (_last("failed", days_ago=2), False, False),
            (_last("failed", days_ago=4), False, True),
            (_last("cancelled", days_ago=4), False, True),
            (_last("promoted", days_ago=4, serving=True), False, False),
            (_last("promoted", days_ago=4, serving=True), True, True),
            (_last("promoted", days_ago=1, serving=True), True, False),
            (_last("promoted", days_ago=11, serving=True, before_the_flag=True), False, True),
        ],
    )
    def test_f13_f14_follows_the_last_job(self, last: Last | None, again: bool, expected: bool):
        """F13, F14: the loop goes on after a refusal, but never faster than the cool-down."""
        due = is_due(FLAG, last, again=again, cool_down=3 * DAY, now=NOW)

        assert due is expected

    @pytest.mark.parametrize("status", ["refused", "promoted"])
    def test_f14_nothing_is_tried_again_with_the_same_images(self, status: str):
        """F14: refused or rolled back, the same images would make the same challenger again."""
        last = _last(status, days_ago=400)

        assert not is_due(FLAG, last, again=True, cool_down=3 * DAY, now=NOW)

    @pytest.mark.parametrize(("missing", "expected"), [(1, False), (0, True)])
    def test_a_number_that_was_named_is_waited_for_and_no_longer(
        self, missing: int, expected: bool
    ):
        """Who labels what was asked for is not kept waiting for a cool-down."""
        last = _last("more images", days_ago=0.1, missing=missing)

        assert is_due(FLAG, last, again=False, cool_down=3 * DAY, now=NOW) is expected

    @pytest.mark.parametrize(
        ("days_ago", "look", "expected"), [(0.1, True, True), (2, False, False), (3, False, True)]
    )
    def test_a_challenger_waits_for_its_gate_images_but_not_for_ever(
        self, days_ago: float, look: bool, expected: bool
    ):
        """Another look costs nothing; after the cool-down another challenger is trained."""
        last = _last("more images", days_ago=days_ago, labelled=3, look=look)

        assert is_due(FLAG, last, again=False, cool_down=3 * DAY, now=NOW) is expected
