"""What the dashboard asks of the monitor's tables."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from core.errors import ConflictError
from core.store import alerts, class_days, class_state, drift, flags, images, validations
from core.store.alerts import NewAlert
from core.store.class_days import ClassDay, Confusion
from core.store.class_state import ClassState
from core.store.database import transaction
from core.store.drift import DriftCheck
from core.store.flags import NewFlag
from core.store.images import Sample
from core.store.validations import Draw, Judgement, Validation
from tests.pool import add_pictures, day, register

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def samples(engine: Engine, tmp_path: Path) -> list[Sample]:
    """Two pictures of each label, and the versions v1 and v2."""
    register(engine, tmp_path / "bundles")
    register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
    add_pictures(engine, tmp_path / "pool", day(1), per_label=2)
    with transaction(engine) as connection:
        return images.samples(connection)


def _examine(
    connection: Connection, number: int, version: str, samples: list[Sample], said: dict[str, str]
) -> Validation:
    """Record an exam in which labels were answered as `said`, or rightly."""
    draw = Draw(day(number), version, 2, False, NOW)
    exam = validations.record_draw(connection, draw, samples)
    judged = [
        Judgement(sample.id, said.get(sample.label, sample.label), 0.5 + sample.id / 1000)
        for sample in samples
    ]
    validations.record_judgements(connection, exam, judged)
    answers = validations.answers(connection, exam)
    rows = [
        ClassDay(day(number), version, each.label, each.n, each.correct, each.confused, 0, 1)
        for each in answers.values()
    ]
    class_days.write(connection, rows)
    return validations.finish(connection, exam, status="done", unreadable=0, now=NOW)


def _flag(number: int = 1, label: str = "Cat") -> NewFlag:
    return NewFlag("change", label, "v1", day(number), day(number), NOW, 400.0, 300.0)


class TestValidations:
    """Draws and answers."""

    def test_a_version_is_never_judged_by_an_image_twice(
        self, engine: Engine, samples: list[Sample]
    ):
        """The primary key is the promise."""
        with transaction(engine) as connection:
            _examine(connection, 1, "v1", samples, {})

        with pytest.raises(ConflictError), transaction(engine) as connection:
            _examine(connection, 2, "v1", samples, {})

    def test_answers_count_what_was_judged(self, engine: Engine, samples: list[Sample]):
        """Cats taken for dogs."""
        with transaction(engine) as connection:
            exam = _examine(connection, 1, "v1", samples, {"Cat": "Dog"})
            cat = validations.answers(connection, exam)["Cat"]

        assert (cat.n, cat.correct, cat.confused) == (2, 0, {"Dog": 2})

    def test_wrong_images_come_surest_first(self, engine: Engine, samples: list[Sample]):
        """Across versions, or for one."""
        with transaction(engine) as connection:
            _examine(connection, 1, "v1", samples, {"Cat": "Dog"})
            _examine(connection, 2, "v2", samples, {"Cat": "Spider"})
            both = validations.wrong_images(connection, "Cat", day(1), day(2))
            second = validations.wrong_images(connection, "Cat", day(1), day(2), version="v2")

        assert [image.confidence for image in both] == sorted(
            (image.confidence for image in both), reverse=True
        )
        assert (len(both), {image.predicted for image in second}) == (4, {"Spider"})

    def test_the_last_exam_may_be_asked_as_of_a_day(self, engine: Engine, samples: list[Sample]):
        """A page about last week shows last week."""
        with transaction(engine) as connection:
            _examine(connection, 1, "v1", samples, {})
            _examine(connection, 4, "v2", samples, {})
            found = [validations.last_done(connection, until) for until in (None, day(3))]

        assert [exam.version for exam in found if exam] == ["v2", "v1"]


class TestClassDays:
    """The counts."""

    def test_the_matrix_shows_the_version_examined_on_each_day(
        self, engine: Engine, samples: list[Sample]
    ):
        """A day examined for two versions shows the later exam, once."""
        with transaction(engine) as connection:
            _examine(connection, 1, "v1", samples, {})
            _examine(connection, 1, "v2", samples[:3], {})
            rows = class_days.matrix(connection, day(1), day(1), ["Cat"])

        assert [row.version for row in rows] == ["v2"]

    def test_confusions_are_added_over_a_range(self, engine: Engine, samples: list[Sample]):
        """Right answers are pairs like any."""
        with transaction(engine) as connection:
            _examine(connection, 1, "v1", samples, {"Cat": "Dog"})
            _examine(connection, 2, "v2", samples, {})
            rows = class_days.confusion(connection, day(1), day(2))

        assert Confusion("Cat", "Dog", 2) in rows
        assert Confusion("Cat", "Cat", 2) in rows
        assert Confusion("Dog", "Dog", 4) in rows


class TestClassState:
    """The detectors' memory."""

    def test_a_series_crosses_versions(self, engine: Engine, samples: list[Sample]):
        """The chart of a class does not end with a promotion."""
        state = ClassState(day(1), "v1", "Cat", 0.9, 300.0, 1.5, [0.0], 1, False, 0.0, [], False, 0)
        with transaction(engine) as connection:
            _examine(connection, 1, "v1", samples, {})
            _examine(connection, 2, "v2", samples, {})
            later = replace(state, day=day(2), version="v2", alarm=True)
            class_state.write(connection, [state, later])

            assert class_state.series(connection, "Cat", day(1), day(9)) == [state, later]
            assert class_state.ever_alarmed(connection, "v2", day(2)) == {"Cat"}
            assert class_state.last_alarm(connection, "v2", "Cat", day(9)) == day(2)


class TestFlags:
    """Open until the opposite is shown."""

    def test_f13_only_one_is_open_per_label(self, engine: Engine):
        """F13: the second is none."""
        with transaction(engine) as connection:
            first = flags.open_flag(connection, _flag())

            assert first is not None
            assert flags.open_flag(connection, _flag(2)) is None

    def test_a_closed_one_makes_room(self, engine: Engine):
        """A class may become weak again."""
        with transaction(engine) as connection:
            first = flags.open_flag(connection, _flag())
            closed = [flags.close(connection, first, on=day(5), now=NOW) for _ in range(2)]
            second = flags.open_flag(connection, _flag(7))

            assert (closed, second is not None) == ([True, False], True)
            assert [f.closed_on for f in flags.latest(connection)] == [None, day(5)]

    @pytest.mark.parametrize(
        ("first", "last", "n"),
        [(day(1), day(1), 1), (day(5), day(9), 1), (day(6), day(9), 0), (date.min, date.max, 1)],
    )
    def test_overlap_is_asked_by_days(self, engine: Engine, first: date, last: date, n: int):
        """The day of closing still counts."""
        with transaction(engine) as connection:
            flag = flags.open_flag(connection, _flag())
            flags.close(connection, flag, on=day(5), now=NOW)

            assert len(flags.overlapping(connection, first, last)) == n
            assert flags.overlapping(connection, first, last, "Dog") == []


class TestAlerts:
    """Told once, resolved once."""

    def test_a_flag_is_told_of_once(self, engine: Engine):
        """F05: not twice, whoever was interrupted."""
        with transaction(engine) as connection:
            flag = flags.open_flag(connection, _flag())
            alert = NewAlert(flag.id, NOW, "t", "b", "Dog", [3, 1, 2])
            told = [alerts.raise_alert(connection, alert) for _ in range(2)]
            (found,) = alerts.latest(connection, label="Cat", state="open")

        assert told == [True, False]
        assert (found.label, found.version, found.images) == ("Cat", "v1", [3, 1, 2])

    def test_a_closed_flag_resolves_it(self, engine: Engine):
        """And only once."""
        with transaction(engine) as connection:
            flag = flags.open_flag(connection, _flag())
            alerts.raise_alert(connection, NewAlert(flag.id, NOW, "t", "b", None, []))
            resolved = [alerts.resolve(connection, flag.id, now=NOW) for _ in range(2)]
            (found,) = alerts.latest(connection)

            assert resolved == [True, False]
            assert alerts.get(connection, found.id) == found
        assert (found.state, found.resolved_at) == ("resolved", NOW)


class TestDriftChecks:
    """The verdicts on columns."""

    def test_are_replaced_when_a_day_is_checked_again(self, engine: Engine):
        """A day has one verdict per column."""
        check = DriftCheck(
            day(1),
            "v1",
            "brightness",
            "KS",
            9,
            9,
            None,
            None,
            None,
            None,
            0.1,
            0.05,
            "not enough data",
            None,
        )
        again = replace(check, n=500, p_value=0.5, verdict="no drift")
        with transaction(engine) as connection:
            drift.write(connection, day(1), "v1", [check])
            drift.write(connection, day(1), "v1", [again])

            assert drift.matrix(connection, day(1), day(2)) == [again]
            assert drift.of_day(connection, day(1)) == [again]
            (verdict,) = drift.verdicts(connection, day(1), day(2))
            assert drift.verdicts(connection, day(2), day(3)) == []
        for name in ("day", "version", "column", "n", "effect_floor", "verdict"):
            assert getattr(verdict, name) == getattr(again, name)
