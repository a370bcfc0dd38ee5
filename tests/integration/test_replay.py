"""Days computed anew: the same bits whatever the order of arrival, and no decision lost."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from core.clock import FixedClock
from core.errors import UsageError
from core.store import (
    alerts,
    audit,
    class_days,
    flags,
    images,
    model_days,
    predictions,
    registry,
    rollups,
    validations,
)
from core.store.database import transaction
from core.store.images import Image
from core.store.registry import Version
from core.store.validations import Draw, Judgement
from monitor import validation
from monitor.health import health
from monitor.judgement import judging
from monitor.page import MonitorOptions
from monitor.replay import Replayed
from monitor.replay import replay as replay_days
from tests.pool import add_predictions, day, drawn_image, register

NOW = datetime(2026, 4, 1, tzinfo=UTC)
LABELS = ("Cat", "Dog", "Spider")
DAYS, PER_CLASS = 9, 10
SWITCH, ROLLBACK = 4, 7  # v2 serves from the one day on, v1 again from the other
REFERENCE = {label: {"n": 400, "correct": 380, "confused": {}} for label in LABELS}
_ROWS = ("class_days", "class_state", "model_days", "shadow_days")
_ALL = ("validations", "validation_results", "images", "flags", "alerts", "audit", *_ROWS)


@dataclass(frozen=True)
class Picture:
    """One labelled image, and what is said of it: of the day, the class, and whichever."""

    number: int
    label: str
    place: int
    wrong: bool
    session: str | None = None

    @property
    def predicted(self) -> str:
        """What the version answers."""
        return "Dog" if self.wrong and self.label != "Dog" else self.label


def _pictures(seed: int) -> list[Picture]:
    """Return a pool in which v1 takes spiders for dogs, and v2 is not quite over it.

    Pools of odd seeds are taken in sessions of three, whose pictures are mistaken together.
    """
    rng = np.random.default_rng(seed)
    slips = {2: 0.8, 3: 0.8, 4: 0.2, 5: 0.2, 6: 0.2}
    if seed % 2:
        return [
            Picture(number, label, place, wrong, f"{number} {label} {place // 3}")
            for number in range(1, DAYS + 1)
            for label in LABELS
            for share in [slips.get(number, 0.1) if label == "Spider" else 0.1]
            for place, wrong in enumerate(np.repeat(rng.random(3) < share, 3)[: rng.integers(10)])
        ]
    return [
        Picture(number, label, place, bool(rng.random() < share))
        for number in range(1, DAYS + 1)
        for label in LABELS
        for share in [slips.get(number, 0.05) if label == "Spider" else 0.05]
        for place in range(int(rng.integers(0, PER_CLASS + 1)))
    ]


class World:
    """A database in which days arrive, and labels are corrected, in any order."""

    def __init__(self, engine: Engine, versions: tuple[Version, Version]) -> None:
        self.engine = engine
        self.versions = versions
        self.options = MonitorOptions()

    def begin(self, pictures: list[Picture], mislabelled: frozenset[int]) -> None:
        """Empty the database and fill the pool; some images have a wrong label at first."""
        self.pictures = pictures
        with transaction(self.engine) as connection:
            connection.execute(sa.text(f"TRUNCATE {', '.join(_ALL)} RESTART IDENTITY CASCADE"))
            images.insert(connection, [self._image(i, mislabelled) for i in range(len(pictures))])

    def _image(self, index: int, mislabelled: frozenset[int]) -> Image:
        picture = self.pictures[index]
        label = "Cat" if index in mislabelled else picture.label
        name = str(index).encode()
        drawn = drawn_image(Path("x.png"), name, label, day(picture.number), index)
        return replace(drawn, session=picture.session)

    def examine(self, number: int) -> None:
        """Let one day's exam arrive, as the daily run writes it down."""
        version = self.versions[SWITCH <= number < ROLLBACK]
        with transaction(self.engine) as connection:
            samples = [
                sample
                for index, picture in enumerate(self.pictures)
                if picture.number == number
                and (sample := images.get(connection, index + 1)) is not None
            ]
            draw = Draw(day(number), version.version, PER_CLASS, False, NOW)
            exam = validations.record_draw(connection, draw, samples)
            said = [
                Judgement(sample.id, self.pictures[sample.id - 1].predicted, 0.9)
                for sample in samples
            ]
            validations.record_judgements(connection, exam, said)
            answers = validations.answers(connection, exam)
            class_days.write(connection, validation.count(exam, version.labels, answers))
            validations.finish(connection, exam, status="done", unreadable=0, now=NOW)
            judging.judge(
                connection, version, day(number), options=self.options, now=NOW, by="monitor"
            )

    def correct(self, index: int) -> None:
        """Give an image the label that it should have had."""
        with transaction(self.engine) as connection:
            label = self.pictures[index].label
            images.relabel(connection, index + 1, label, now=NOW, by="anna")

    def replay(self, first: int = 1, last: int = DAYS) -> Replayed:
        """Compute days anew."""
        return replay_days(
            self.engine,
            day(first),
            day(last),
            options=self.options,
            clock=FixedClock(NOW),
            by="anna",
        )

    def rows(self) -> dict[str, list[str]]:
        """Return what all judgement rests on, and what follows from it, to the last bit."""
        with transaction(self.engine) as connection:
            return {
                name: sorted(
                    repr(row)
                    for row in connection.execute(sa.text(f"SELECT * FROM {name}"))  # noqa: S608
                )
                for name in _ROWS
            }

    def ask(self, question: Any, *arguments: Any) -> Any:
        """Ask the store one question."""
        with transaction(self.engine) as connection:
            return question(connection, *arguments)


@pytest.fixture(scope="module")
def versions(
    module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Version, Version]:
    """Two versions, the second serving until it is rolled back."""
    bundles = tmp_path_factory.mktemp("bundles")
    first = register(module_engine, bundles, reference=REFERENCE)
    second = register(module_engine, bundles, name="v2", reference=REFERENCE, promoted_at=None)
    with transaction(module_engine) as connection:
        for name, number in (("v2", SWITCH), ("v1", ROLLBACK)):
            moment = datetime(2026, 3, number, tzinfo=UTC)
            registry.promote(connection, name, now=moment, by="test", reason="test")
    return first, second


@pytest.fixture
def world(module_engine: Engine, versions: tuple[Version, Version]) -> Iterator[World]:
    """An empty world."""
    return World(module_engine, versions)


def _spiders(world: World, number: int) -> list[int]:
    return [
        index
        for index, picture in enumerate(world.pictures)
        if picture.label == "Spider" and picture.number == number
    ]


class TestOrder:
    """Whatever the order in which days and labels arrive."""

    @settings(
        max_examples=12,
        phases=[Phase.generate],  # each example takes seconds, and shrinking takes hundreds of them
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(seed=st.integers(0, 99), data=st.data())
    def test_a_replay_gives_the_bits_of_having_run_in_order(
        self, world: World, seed: int, data: st.DataObject
    ):
        """Late labels, corrections and missed days leave no trace in any count or detector."""
        pictures = _pictures(seed)
        world.begin(pictures, frozenset())
        for number in range(1, DAYS + 1):
            world.examine(number)
        in_order = world.rows()

        wrong = data.draw(st.sets(st.integers(0, len(pictures) - 1), max_size=30))
        events = [("day", n) for n in range(1, DAYS + 1)] + [("label", i) for i in sorted(wrong)]
        world.begin(pictures, frozenset(wrong))
        for what, which in data.draw(st.permutations(events)):
            world.examine(which) if what == "day" else world.correct(which)
        world.replay()

        assert world.rows() == in_order

    def test_alarms_and_recoveries_are_among_what_is_compared(self, world: World):
        """Equal rows would say little if nothing ever happened in them."""
        world.begin(_pictures(0), frozenset())
        for number in range(1, DAYS + 1):
            world.examine(number)

        opened = world.ask(flags.latest)
        assert [(flag.label, flag.version) for flag in opened] == [("Spider", "v1")]
        checked = world.ask(health)["self_check"]
        assert (checked["days"], checked["budget"], checked["since"]) == (
            DAYS,
            pytest.approx(0.24),
            str(day(1)),
        )
        assert checked["low"] <= checked["per_30_days"] <= checked["high"]

    def test_a_change_of_the_bet_is_among_what_is_compared(self, world: World):
        """A pool in sessions: some days image by image, others session by session."""
        world.begin(_pictures(1), frozenset())
        for number in range(1, DAYS + 1):
            world.examine(number)

        days = world.ask(model_days.from_day, "v1", day(1))
        assert {each.grouped for each in days} == {False, True}
        assert any(row.shared for row in world.ask(class_days.of_day, day(2), "v1"))

    def test_a_second_replay_finds_nothing_to_change(self, world: World):
        """Whoever is unsure may ask again."""
        world.begin(_pictures(1), frozenset())
        for number in (3, 1, 9, 2, 8, 4, 7, 5, 6):
            world.examine(number)
        world.replay()
        before = world.rows()
        again = world.replay()

        assert (again.corrected, again.recounted, again.changes) == (0, 0, ())
        assert world.rows() == before


class TestCorrectedLabels:
    """Labels that turn out to be wrong."""

    @pytest.fixture
    def flagged(self, world: World) -> World:
        """Cats that are dogs, labelled Cat by mistake: Cat looks weak on day 2, and is flagged."""
        pictures = [
            Picture(number, label, place, wrong=False)
            for number in range(1, 5)
            for label in LABELS
            for place in range(20 if label == "Dog" else PER_CLASS)
        ]
        wrong = [i for i, p in enumerate(pictures) if p.number == 2 and p.label == "Dog"]
        world.begin(pictures, frozenset(wrong))
        for number in range(1, 4):
            world.examine(number)
        for index in wrong:
            world.correct(index)
        return world

    def test_change_no_count_before_the_days_are_replayed(self, flagged: World):
        """Numbers that people have seen do not change behind their backs."""
        (cat,) = [row for row in flagged.ask(class_days.of_day, day(2), "v1") if row.label == "Cat"]

        assert (cat.n, cat.correct) == (30, 10)

    def test_are_counted_under_their_new_class(self, flagged: World):
        """The counts are those of the labels that images have now."""
        found = flagged.replay(2, 2)
        rows = {row.label: row for row in flagged.ask(class_days.of_day, day(2), "v1")}

        assert (found.corrected, found.recounted) == (20, 2)
        assert [(rows[x].n, rows[x].correct) for x in ("Cat", "Dog")] == [(10, 10), (20, 20)]

    def test_close_the_flag_they_had_raised_and_say_so(self, flagged: World):
        """Nothing told is silently untold: the alert is resolved, and the trail has both."""
        (flag,) = flagged.ask(flags.open_flags)
        found = flagged.replay(2, 2)

        assert [(c.label, c.decision, c.flag) for c in found.changes] == [
            ("Cat", "alarm", flag.id),
            ("Cat", "flag", flag.id),
        ]
        assert found.changes[0].before.startswith("raised")
        assert found.changes[0].after.startswith("not raised")
        assert [alert.state for alert in flagged.ask(alerts.latest)] == ["resolved"]

    def test_leave_each_changed_decision_in_the_audit_trail(self, flagged: World):
        """Before, after, who asked, and for which days."""
        found = flagged.replay(2, 3)
        deeds = [deed for deed in flagged.ask(audit.latest) if deed.by == "anna"]

        kept = [deed.detail for deed in deeds if deed.action == "replay changed a decision"]
        assert {(each["label"], each["decision"]) for each in kept} == {
            ("Cat", "alarm"),
            ("Cat", "flag"),
        }
        assert all({"day", "before", "after", "version"} <= set(each) for each in kept)
        (deed,) = [deed for deed in deeds if deed.action == "replay"]
        assert (deed.subject, deed.detail["changes"]) == (f"{day(2)} to {day(3)}", 2)
        assert len(found.changes) == 2

    def test_may_raise_an_alarm_that_was_missed(self, world: World):
        """Spiders labelled Cat hid that spiders are taken for cats; the flag opens now."""
        pictures = [
            Picture(number, label, place, wrong=label == "Spider")
            for number in (1, 2)
            for label in LABELS
            for place in range(PER_CLASS)
        ]
        spiders = [i for i, picture in enumerate(pictures) if picture.label == "Spider"]
        world.begin(pictures, frozenset(spiders))
        world.examine(1)
        (before,) = [world.ask(flags.latest)]
        for index in spiders:
            world.correct(index)
        found = world.replay(1, 1)

        raised = {(c.label, c.decision, c.after.split(" ")[0]) for c in found.changes}
        assert ("Spider", "alarm", "raised") in raised
        assert ("Spider", "flag", "opened") in raised
        assert {flag.label for flag in world.ask(flags.open_flags)} == {"Spider"}, before

    def test_name_a_flag_that_was_opened_later_than_it_should(self, world: World):
        """The day people were told stays; the day they should have been told is written down."""
        pictures = [
            Picture(number, label, place, wrong=label == "Spider" and number >= 2)
            for number in (1, 2, 3)
            for label in LABELS
            for place in range(PER_CLASS)
        ]
        world.begin(pictures, frozenset())
        world.examine(1)
        world.examine(3)
        (flag,) = world.ask(flags.open_flags)
        world.examine(2)
        found = world.replay()

        (kept,) = world.ask(flags.open_flags)
        assert (kept.id, kept.raised_on, found.changes) == (flag.id, day(3), ())
        told = [deed.detail for deed in world.ask(audit.latest) if "decision" in deed.detail]
        assert ("flag", f"opened for {day(3)}", f"due on {day(2)}") in {
            (each["decision"], each["before"], each["after"]) for each in told
        }

    def test_name_another_day_from_which_on_a_class_is_weak(self, world: World):
        """The flag keeps what was told; that it began a day earlier is said, and said once."""
        pictures = [
            Picture(number, label, place, wrong=label == "Spider" and number >= 2)
            for number in (1, 2, 3)
            for label in LABELS
            for place in range(2 if (label, number) == ("Spider", 2) else PER_CLASS)
        ]
        hidden = [i for i, p in enumerate(pictures) if (p.label, p.number) == ("Spider", 2)]
        world.begin(pictures, frozenset(hidden))
        for number in (1, 2, 3):
            world.examine(number)
        (flag,) = world.ask(flags.open_flags)
        for index in hidden:
            world.correct(index)
        found, again = world.replay(1, 3), world.replay(1, 3)

        assert (flag.raised_on, flag.since) == (day(3), day(3))
        said = [(c.day, c.before, c.after) for c in found.changes if c.decision == "since"]
        assert said == [(day(3), f"since {day(3)}", f"since {day(2)}")]
        assert again.changes == ()
        assert world.ask(flags.open_flags) == [flag]


class TestTraffic:
    """What predictions turn out to have been."""

    def test_true_labels_that_came_late_are_in_the_sums(self, world: World):
        """PUT /v1/predictions/{id}/label after the day was rolled up."""
        world.begin([], frozenset())
        add_predictions(world.engine, world.versions[0], day(1), 20)
        world.replay(1, 1)
        before = world.ask(rollups.by_day, day(1), day(1))
        with transaction(world.engine) as connection:
            query = sa.text("SELECT id, label FROM predictions ORDER BY id LIMIT 5")
            for id_, label in connection.execute(query).all():
                predictions.set_label(connection, id_, label, by="anna", now=NOW)
        world.replay(1, 1)
        after = world.ask(rollups.by_day, day(1), day(1))

        assert [sum(row.labelled for row in rows) for rows in (before, after)] == [0, 5]
        assert sum(row.correct for row in after) == 5


class TestRefusals:
    """Stretches that are none."""

    @pytest.mark.parametrize(("first", "last"), [(3, 2), (1, 60)])
    def test_days_that_are_exchanged_or_have_not_begun(self, world: World, first: int, last: int):
        """A typing error must not cost a night's computing."""
        with pytest.raises(UsageError, match=r"exchange|not begun"):
            world.replay(first, last)


class TestCommands:
    """`weakspot data relabel` and `weakspot health --replay`."""

    def test_lead_from_a_wrong_label_to_the_decisions_it_changed(
        self, world: World, module_engine: Engine, tmp_path: Path
    ):
        """The first names the days, and the second does them."""
        pictures = [
            Picture(number, label, place, wrong=label == "Spider" and place < 9)
            for number in (1, 2)
            for label in LABELS
            for place in range(PER_CLASS)
        ]
        world.begin(pictures, frozenset())
        world.examine(1)
        url = module_engine.url.render_as_string(hide_password=False)
        spider = next(i for i, p in enumerate(pictures) if p.label == "Spider") + 1

        relabelled = _run(url, tmp_path, "data", "relabel", str(spider), "Dog")
        replayed = _run(url, tmp_path, "health", "--replay", str(day(1)), str(day(1)))
        unknown = _run(url, tmp_path, "data", "relabel", str(spider), "Spidre")

        assert relabelled == (0, {**relabelled[1], "before": "Spider", "days": [str(day(1))]})
        assert (replayed[0], replayed[1]["corrected"], replayed[1]["recounted"]) == (0, 1, 2)
        assert (unknown[0], "Spider" in unknown[1]["detail"]) == (2, True)


def _run(url: str, home: Path, *words: str) -> tuple[int, dict[str, Any]]:
    environment = os.environ | {"WEAKSPOT_DATABASE_URL": url, "WEAKSPOT_HOME": str(home)}
    command = [sys.executable, "-m", "weakspot", *words, "--json"]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said: dict[str, Any] = json.loads(outcome.stdout)
    return outcome.returncode, said
