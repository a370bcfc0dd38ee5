"""Labels corrected after their exam: the days are replayed, and no decision is lost."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.clock import FixedClock
from core.store import alerts, audit, class_days, flags, images, last_runs
from core.store.database import transaction
from monitor import corrections, schedule
from monitor.replay import Replayed
from tests.any_order import LABELS, NOW, PER_CLASS, Picture, World, two_versions
from tests.pool import day


@pytest.fixture(scope="module")
def world(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two versions, and a pool that each test fills anew."""
    return World(module_engine, two_versions(module_engine, tmp_path_factory.mktemp("bundles")))


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


class TestByTheMonitor:
    """Corrections are counted before the next day is examined, without anybody's asking."""

    @pytest.fixture
    def hidden(self, world: World) -> World:
        """Spiders labelled Cat on day 2, of which the version takes each for a dog."""
        pictures = [
            Picture(number, label, place, wrong=label == "Spider")
            for number in (1, 2)
            for label in LABELS
            for place in range(PER_CLASS)
        ]
        spiders = [i for i, p in enumerate(pictures) if (p.label, p.number) == ("Spider", 2)]
        world.begin(pictures, frozenset(spiders))
        world.examine(1)
        world.examine(2)
        return world

    def test_the_days_of_corrected_images_are_counted_anew_and_only_once(self, hidden: World):
        """As by a replay of these days; what was followed once is not followed again."""
        for index, picture in enumerate(hidden.pictures):
            if (picture.label, picture.number) == ("Spider", 2):
                hidden.correct(index)
        found = _follow(hidden, hours=1)
        by_itself = hidden.rows()
        hidden.replay(2, 2)

        assert found is not None
        assert (found.first, found.last, found.corrected) == (day(2), day(2), PER_CLASS)
        assert by_itself == hidden.rows()
        assert _follow(hidden, hours=2) is None

    def test_an_unusable_image_leaves_the_counts(self, hidden: World):
        """Its label is as it was, and yet its day counts otherwise."""
        with transaction(hidden.engine) as connection:
            images.set_purpose(connection, 1, "nothing", now=NOW, by="anna")
        found = _follow(hidden)
        (first, *_) = hidden.ask(class_days.of_day, day(1), "v1")

        assert found is not None
        assert (found.first, found.recounted, first.n) == (day(1), 1, PER_CLASS - 1)

    def test_a_last_time_in_the_future_hides_no_correction(self, hidden: World):
        """The clock was ahead then, and is right now."""
        assert _follow(hidden, hours=48) is None
        hidden.correct(_hidden_spider(hidden))
        found = _follow(hidden)

        assert found is not None
        assert found.corrected == 1

    def test_the_monitor_does_so_before_it_examines_the_day(self, hidden: World, tmp_path: Path):
        """Whatever becomes of the day itself; who did it is in the audit trail."""
        hidden.correct(_hidden_spider(hidden))
        schedule.catch_up(
            hidden.engine,
            options=hidden.options,
            clock=FixedClock(NOW),
            holder="monitor",
            reports=tmp_path,
        )

        (deed,) = [deed for deed in hidden.ask(audit.latest) if deed.action == "replay"]
        assert (deed.by, deed.subject) == ("monitor", f"{day(2)} to {day(2)}")
        errand = hidden.ask(last_runs.last_errand, last_runs.CORRECTIONS)
        assert (errand.outcome, errand.detail["corrected"]) == ("done", 1)


def _hidden_spider(world: World) -> int:
    return next(i for i, p in enumerate(world.pictures) if (p.label, p.number) == ("Spider", 2))


def _follow(world: World, *, hours: int = 0) -> Replayed | None:
    clock = FixedClock(NOW + timedelta(hours=hours))
    return corrections.follow(world.engine, options=world.options, clock=clock, by="monitor")


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
