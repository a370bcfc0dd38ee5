"""When a flag asks for a retraining."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from core.store.flags import Flag
from monitor.retraining import is_due

NOW = datetime(2026, 3, 20, 2, tzinfo=UTC)
RAISED = NOW - timedelta(days=10)
FLAG = Flag(
    1, "change", "Cat", "v1", date(2026, 3, 8), date(2026, 3, 9), RAISED, None, None, 400.0, 300.0
)
DAY = timedelta(days=1)


def _job(status: str, *, days_ago: float, before_the_flag: bool = False) -> Any:
    requested_at = RAISED - DAY if before_the_flag else RAISED
    return SimpleNamespace(
        status=status, requested_at=requested_at, finished_at=NOW - days_ago * DAY
    )


class TestIsDue:
    """`is_due`, with a cool-down of three days."""

    @pytest.mark.parametrize(
        ("last", "again", "expected"),
        [
            (None, False, True),
            (_job("refused", days_ago=2.9), False, False),
            (_job("refused", days_ago=3), False, True),
            (_job("more images", days_ago=4), False, True),
            (_job("failed", days_ago=4), False, True),
            (_job("promoted", days_ago=4), False, False),
            (_job("promoted", days_ago=4), True, True),
            (_job("promoted", days_ago=1), True, False),
            (_job("promoted", days_ago=11, before_the_flag=True), False, True),
        ],
    )
    def test_f13_f14_follows_the_last_job(self, last: Any, again: bool, expected: bool):
        """F13, F14: the loop goes on after a refusal, but never faster than the cool-down."""
        due = is_due(FLAG, last, again=again, cool_down=3 * DAY, now=NOW)

        assert due is expected
