"""Images that belong together are one bet wherever answers are counted, not in the alarm alone."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from core.judging import rules
from core.store import (
    class_days,
    flags,
    images,
    model_days,
    shadow_days,
    validations,
    worsening,
)
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.flags import Flag, NewFlag
from core.store.model_days import ModelDay
from core.store.registry import Version
from core.store.validations import Draw, Judgement
from monitor import validation
from monitor.diagnosis import material
from monitor.diagnosis.mistaken import most_mistaken_for
from monitor.judgement import judging, shadow, standards
from monitor.page import MonitorOptions
from tests.integration.test_alerts import DAY, NOW, examined, open_alert
from tests.pool import day, drawn_image, register

SESSION = 10


def whole(on: date, correlation: float, version: str = "v1") -> ModelDay:
    """Return the whole of a day, of which only this is known."""
    grouped = correlation > 0.02
    return ModelDay(
        on, version, 0, 0, correlation, grouped, None, None, 0.0, [], False, 0.0, [], False
    )


def answered(connection: Connection, after: int, right: list[int], version: str = "v1") -> None:
    """Let so many images of each session of Cat be right on a day."""
    on, n = DAY + timedelta(days=after), SESSION * len(right)
    if version == "v1":
        examined(connection, on)
    else:
        validations.record_draw(connection, Draw(on, version, 10, False, NOW), [])
    sessions = [[SESSION, k] for k in right]
    row = ClassDay(on, version, "Cat", n, sum(right), {}, 0, 1, sessions)
    class_days.write(connection, [row])


class TestWorse:
    """Told: 12 of 20, in two sessions of ten."""

    @pytest.mark.parametrize(("alike", "worse"), [(0.0, 1), (0.3, 0), (1.0, 0)])
    def test_is_shown_by_few_sessions_only_where_they_are_not_alike(
        self, engine: Engine, alike: float, worse: int
    ):
        """Two sessions that were wrong are not twenty images that were."""
        with transaction(engine) as connection:
            open_alert(connection)
            answered(connection, 0, [8, 4])
            for after in (1, 2):
                answered(connection, after, [0])
            model_days.write(connection, [whole(DAY, alike)])

            assert len(worsening.take_worsened(connection)) == worse

    def test_a_version_just_promoted_takes_over_how_alike_images_are(
        self, engine: Engine, tmp_path: Path
    ):
        """It has no days to know it by, and the sessions are those of the same camera."""
        register(engine, tmp_path, name="v2", promoted_at=None)
        with transaction(engine) as connection:
            open_alert(connection)
            answered(connection, 0, [8, 4])
            answered(connection, 1, [0, 0], "v2")
            next_day = DAY + timedelta(days=1)
            model_days.write(connection, [whole(DAY, 1.0), whole(next_day, 0.0, "v2")])

            assert worsening.take_worsened(connection) == []


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """The champion."""
    return register(engine, tmp_path)


def examine(engine: Engine, version: Version, number: int) -> None:
    """Examine two sessions of spiders: of one all are taken for cats, of the other none."""
    with transaction(engine) as connection:
        names = [f"{number} {place}" for place in range(2 * SESSION)]
        drawn = [
            replace(
                drawn_image(Path("x.png"), name.encode(), "Spider", day(number), place),
                session=f"{number} {place // SESSION}",
            )
            for place, name in enumerate(names)
        ]
        images.insert(connection, drawn)
        known = images.ids(connection, [each.sha256 for each in drawn])
        ids = [known[each.sha256] for each in drawn]
        samples = [sample for each in ids if (sample := images.get(connection, each))]
        intent = Draw(day(number), version.version, 20, False, NOW)
        exam = validations.record_draw(connection, intent, samples)
        said = [
            Judgement(each, "Cat" if place < SESSION else "Spider", 0.9)
            for place, each in enumerate(ids)
        ]
        validations.record_judgements(connection, exam, said)
        answers = validations.answers(connection, exam)
        class_days.write(connection, validation.count(exam, version.labels, answers))
        validations.finish(connection, exam, status="done", unreadable=0, now=NOW)
        options = MonitorOptions()
        judging.judge(connection, version, day(number), options=options, now=NOW, by="test")


class TestMistakenFor:
    """The e-value of what a class is now mistaken for."""

    def test_counts_a_session_once(self, engine: Engine, version: Version):
        """Twenty spiders called cats, in two sessions: far from the evidence of twenty."""
        for number in (1, 2):
            examine(engine, version, number)
        new = NewFlag("change", "Spider", "v1", day(1), day(2), NOW, 400.0, 300.0)
        with transaction(engine) as connection:
            flag = flags.open_flag(connection, new) or _open(connection)
            found = material.gather(connection, flag, day(2), "v1")

        groups = [(each.day, each.n, each.said) for each in found.together]
        expected = [{"Cat": SESSION}, {"Spider": SESSION}]
        assert sorted(groups, key=str) == [
            (day(number), SESSION, said) for number in (1, 2) for said in expected
        ]
        once, each = most_mistaken_for(found), most_mistaken_for(replace(found, together=()))
        assert once is not None
        assert each is not None
        assert (once.label, once.times, once.images) == ("Cat", 2 * SESSION, 4 * SESSION)
        assert 1 < once.e_value < 100
        assert each.e_value > 1e6


def _open(connection: Connection) -> Flag:
    (flag,) = flags.open_flags(connection)
    return flag


class TestShadow:
    """The healthy classes that do not exist."""

    def test_are_judged_by_the_groups_of_the_real_ones(self, engine: Engine, version: Version):
        """A first day image by image, a second in sessions: the same bets, and the same change."""
        for number in (1, 2):
            examine(engine, version, number)

        with transaction(engine) as connection:
            levels = standards.standard(
                version, standards.rules_on(connection, day(2), MonitorOptions())
            ).levels
            wholes = model_days.from_day(connection, "v1", day(1))
            kept = shadow_days.of_version(connection, "v1")[-1].memory
            memory, before = rules.nothing_remembered(len(levels.labels)), None
            for today in wholes:
                rows = class_days.of_day(connection, today.day, "v1")
                answers = shadow.answer(levels, rows, today, version="v1", day=today.day)
                memory = rules.for_bet(memory, answers, before)
                memory, _ = shadow.next_day(memory, levels, answers, today.day)
                before = today
        assert [(each.grouped, each.correlation) for each in wholes] == [(False, 0.0), (True, 1.0)]
        assert kept == shadow.packed(memory)

    def test_go_on_alike_when_days_are_replayed(self, engine: Engine, version: Version):
        """From the third day on, with the memory and the bet of the second."""
        for number in (1, 2, 3):
            examine(engine, version, number)
        with transaction(engine) as connection:
            levels = standards.judge(connection, version, day(1), MonitorOptions()).levels
            in_order = shadow_days.of_version(connection, "v1")
            for first in (3, 2, 1):
                shadow.replay(connection, "v1", day(first), levels)

                assert shadow_days.of_version(connection, "v1") == in_order
