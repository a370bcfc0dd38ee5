"""How soon, who is below the floor, and the model as a whole: read off real rows."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.judging import rules
from core.store import class_days
from core.store.alert_policy import AlertRules
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.registry import Version
from monitor.forecast.outlook import Outlook, outlook
from monitor.judgement import standards
from tests.pool import day, register

LABELS = ("Cat", "Dog", "Spider")


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """The champion."""
    return register(engine, tmp_path)


def look(
    engine: Engine,
    version: Version,
    counts: dict[str, tuple[int, int]],
    *,
    days: int,
    first: int = 1,
    shared: dict[str, list[list[int]]] | None = None,
) -> Outlook:
    """Return the outlook after days on which each class had the same counts."""
    held_to = standards.standard(version, AlertRules(budget=0.3, floor=0.8)).levels
    rows = [
        ClassDay(day(number), "v1", label, n, k, {}, 0.0, 1.0, (shared or {}).get(label, []))
        for number in range(first, days + 1)
        for label, (k, n) in counts.items()
    ]
    with transaction(engine) as connection:
        class_days.write(connection, rows)
        rules.replay(connection, version.version, day(first), held_to)
        return outlook(connection, version, held_to, day(max(days, 1)), floor=0.8)


@pytest.mark.postgres
class TestOutlook:
    """What `weakspot health` says beyond alarms."""

    def test_foretells_days_at_the_rate_of_labels_of_each_class(
        self, engine: Engine, version: Version
    ):
        """Twice the labels, half the wait; none at all, never."""
        seen = look(engine, version, {"Cat": (19, 20), "Dog": (9, 10), "Spider": (0, 0)}, days=10)

        assert seen.labels_a_day.tolist() == [20, 10, 0]
        assert seen.days[2, 0] < seen.days[2, 1] < float("inf")
        assert seen.of_class(2)["days_to_notice"]["35 points"] is None

    def test_lists_the_class_below_the_floor_and_leaves_it_out_of_the_whole(
        self, engine: Engine, version: Version
    ):
        """Cat at 30 % has an alarm of its own; the others are as good as ever."""
        seen = look(engine, version, {"Cat": (3, 10), "Dog": (10, 10), "Spider": (10, 10)}, days=9)

        assert seen.weak == ("Cat",)
        assert seen.pooled is not None
        assert not seen.pooled.since_alarm
        assert (seen.pooled.n, seen.pooled.correct) == (20, 20)

    def test_begins_the_weak_list_anew_after_thirty_days(self, engine: Engine, version: Version):
        """Weak for a month and mended since: on the thirtieth day listed, on the next no more."""
        counts = {"Cat": (3, 10), "Dog": (10, 10), "Spider": (10, 10)}
        seen = [look(engine, version, counts, days=30)]
        seen.append(look(engine, version, counts | {"Cat": (10, 10)}, first=31, days=31))
        seen.append(look(engine, version, counts, first=32, days=34))

        assert [each.weak for each in seen] == [("Cat",), (), ("Cat",)]

    @pytest.mark.parametrize(("belongs_together", "listed"), [(True, ()), (False, ("Cat",))])
    def test_lists_no_class_for_a_burst_that_was_wrong_together(
        self, engine: Engine, version: Version, belongs_together: bool, listed: tuple[str, ...]
    ):
        """Every fourth session is all wrong; image by image that looks like a weak class."""
        counts = {"Dog": (10, 10), "Spider": (10, 10)}
        for number in range(1, 13):
            right = 0 if number in {4, 8, 12} else 10
            shared = {"Cat": [[10, right]]} if belongs_together else {}
            each = counts | {"Cat": (right, 10)}
            seen = look(engine, version, each, first=number, days=number, shared=shared)

        assert seen.weak == listed

    def test_has_an_answer_for_a_version_that_was_never_examined(
        self, engine: Engine, version: Version
    ):
        """The first morning: no rows, no error."""
        seen = look(engine, version, {}, days=0)

        assert seen.weak == ()
        assert seen.pooled is None
        assert seen.labels_a_day.tolist() == [0, 0, 0]
