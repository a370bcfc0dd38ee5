"""The states a class can be in, as health and dashboard both tell them."""

from datetime import UTC, date, datetime

import pytest

from core.store.class_state import ClassState
from core.store.flags import Flag
from core.store.standing import standing_of

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)


def _state(*, evidence: float = 1.0, days: int = 9, stale: int = 0) -> ClassState:
    return ClassState(
        day=date(2026, 3, 9),
        version="v2",
        label="Cat",
        reference=0.9,
        threshold=300.0,
        evidence=evidence,
        log_m=[0.0] * 8,
        days=days,
        alarm=False,
        recovery_evidence=0.0,
        recovery_log_m=[],
        recovered=False,
        days_without_labels=stale,
    )


def _flag(version: str) -> Flag:
    today = date(2026, 3, 9)
    return Flag(1, "change", "Cat", version, today, today, NOW, None, None, 400.0, 300.0)


class TestStandingOf:
    """`standing_of`, by the definitions of its module."""

    @pytest.mark.parametrize(
        ("state", "flag", "alarmed", "expected"),
        [
            (_state(), None, False, "healthy"),
            (_state(), _flag("v2"), True, "weak"),
            (_state(), _flag("v1"), False, "recovering"),
            (_state(), _flag("v1"), True, "weak"),
            (None, _flag("v1"), False, "recovering"),
            (None, None, False, "no labels"),
            (_state(days=0, stale=3), None, False, "no labels"),
            (_state(evidence=30.0), None, False, "uncertain"),
            (_state(stale=7), None, False, "uncertain"),
            (_state(evidence=29.0, stale=6), None, False, "healthy"),
        ],
    )
    def test_follows_flag_labels_and_evidence(
        self, state: ClassState | None, flag: Flag | None, alarmed: bool, expected: str
    ):
        """A flag outweighs everything; without one, doubt outweighs health."""
        assert standing_of(state, flag, version="v2", alarmed=alarmed) == expected
