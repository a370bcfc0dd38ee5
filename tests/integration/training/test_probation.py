"""After a promotion the fresh days decide, through the real monitor and with real answers."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.clock import day_bounds
from core.store import alerts, audit, jobs, probations, registry
from core.store.alerts import Alert
from core.store.database import transaction
from core.store.probations import Probation
from monitor import daily, retraining
from monitor.page import DayReport, MonitorOptions
from tests.pool import add_pictures, day, night_after, register
from weakspot.commands import probation_text

# The plain draw, and nothing retrained: what is looked at here comes after.
OPTIONS = MonitorOptions(
    per_class=10, adaptive=False, retrain=False, probation_days=4, drift_rows=50, report_days=0
)
NO_SPIDERS = {"confuse": ("Spider", "Cat")}


@dataclass
class World:
    """A pool, versions, and a monitor that examines days by number."""

    engine: Engine
    home: Path
    options: MonitorOptions = OPTIONS
    reports: dict[int, DayReport] = field(default_factory=dict)

    def promote(self, name: str, number: int, *, by: str = "worker", **made: Any) -> None:
        """Make a version, and promote it in the night after a day."""
        register(self.engine, self.home / "bundles", name=name, promoted_at=None, **made)
        at = night_after(number).now() + timedelta(minutes=30)
        with transaction(self.engine) as connection:
            registry.promote(connection, name, now=at, by=by, reason="passed the gate")

    def live(self, first: int, last: int, **shown: Any) -> None:
        """Let days pass, each with its own pictures, and be examined."""
        for number in range(first, last + 1):
            add_pictures(self.engine, self.home / "pool", day(number), **shown)
            self.reports[number] = daily.run(
                self.engine,
                day(number),
                options=self.options,
                clock=night_after(number),
                holder="test",
                reports=self.home / "reports",
            )

    def moves(self) -> list[tuple[str, str]]:
        """Return version and author of each move of the alias."""
        with transaction(self.engine) as connection:
            return [(move.version, move.by) for move in registry.history(connection)]

    def probation(self, version: str) -> Probation:
        """Return the probation of a version."""
        with transaction(self.engine) as connection:
            (found,) = probations.of_version(connection, version)
        return found

    def told(self) -> Alert:
        """Return the only alert about a rollback."""
        with transaction(self.engine) as connection:
            (found,) = [each for each in alerts.latest(connection) if each.kind == "rolled back"]
        return found

    def promoted_by_a_job(self, version: str, number: int) -> None:
        """Let a job have made a version in the night after a day."""
        now = night_after(number).now()
        with transaction(self.engine) as connection:
            jobs.enqueue(
                connection, labels=["Spider"], reason="weak", requested_by="monitor", now=now
            )
            job = jobs.claim_oldest(connection, worker="w", now=now, lease_s=60, max_attempts=3)
            assert job is not None
            jobs.finish(connection, job, status="promoted", result={}, now=now, challenger=version)


@pytest.fixture(scope="module")
def story(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> World:
    """v2 is worse, what was put back sinks itself, v3 is as good as v1, and v4 is ann's."""
    world = World(module_engine, tmp_path_factory.mktemp("story"))
    register(module_engine, world.home / "bundles")
    world.promote("v2", 0, **NO_SPIDERS)
    world.promoted_by_a_job("v2", 0)
    world.live(1, 3)
    world.live(4, 5, shown_as={"Dog": "Cat"})
    world.promote("v3", 5)
    world.live(6, 10)
    world.promote("v4", 10, by="ann", **NO_SPIDERS)
    world.live(11, 12)
    return world


class TestProbation:
    """A version that the loop has promoted."""

    def test_f14_a_worse_version_is_rolled_back_within_days(self, story: World):
        """It calls every Spider a Cat, and its predecessor does not: two days are enough."""
        back = [story.reports[number].rolled_back for number in (1, 2, 3)]

        assert back == [None, "v2", None]
        assert (story.probation("v2").status, story.reports[3].version) == ("rolled back", "v1")

    def test_a_rollback_is_told_with_its_numbers_and_audited(self, story: World):
        """Whoever reads it can follow it, and knows what to do."""
        alert = story.told()

        assert alert.title.startswith("v2 was rolled back to v1: worse than v1 on newly labelled")
        assert "Shown to be worse: Spider (0 by v2 alone, 20 by v1 alone, of 20;" in alert.body
        assert alert.evidence["whole"]["lost"] == 20
        with transaction(story.engine) as connection:
            deeds = [(each.action, each.by) for each in audit.latest(connection, 200)]
        assert ("roll back", "monitor") in deeds

    def test_there_is_no_to_and_fro(self, story: World):
        """What was put back sinks in its turn; what a person promotes is left to them."""
        assert story.moves() == [
            ("v1", "test"),
            ("v2", "worker"),
            ("v1", "monitor"),
            ("v3", "worker"),
            ("v4", "ann"),
        ]

    def test_an_equal_version_is_kept(self, story: World):
        """Four days, both right about the same images: nothing speaks against it."""
        found = story.probation("v3")

        assert (found.status, found.evidence["whole"]["n"]) == ("kept", 120)
        assert found.last_day == day(9)

    def test_its_numbers_are_shown_with_the_version(self, story: World):
        """Also while nothing has been decided, and long after."""
        with transaction(story.engine) as connection:
            found = probations.of_version(connection, "v2")

        assert probation_text.lines(found) == [
            "  probation rolled back, against v1 until 2026-03-02: 0 right by it alone, 20 by v1 "
            "alone, of 60 newly labelled images; evidence that it is worse 1.19e+05 of 200"
        ]

    def test_the_alert_is_over_when_another_version_serves(self, story: World):
        """A successor has come; nobody has to remember v2 any more."""
        assert story.told().state == "resolved"

    def test_f14_a_rollback_is_a_refusal_to_the_next_job(self, story: World):
        """F14: its job counts as refused, from the rollback on."""
        with transaction(story.engine) as connection:
            last = retraining.last_for(connection, "Spider", night_after(2).now())

        assert last is not None
        assert (last.is_serving, last.ended_at) == (False, night_after(2).now())

    def test_only_images_labelled_since_count(self, engine: Engine, tmp_path: Path):
        """Others were the gate's, or made the predecessor look weak: both would be a bias."""
        world = World(engine, tmp_path)
        register(engine, tmp_path / "bundles")
        add_pictures(engine, tmp_path / "old", day(0), per_label=20)
        world.promote("v2", 1, **NO_SPIDERS)
        world.live(2, 2, per_label=3)

        found = world.probation("v2")
        assert found.began_at > day_bounds(day(1))[1]
        assert (world.reports[2].judged, found.evidence["whole"]["n"]) == (30, 9)

    def test_a_predecessor_that_is_gone_leaves_the_day_examined(
        self, engine: Engine, tmp_path: Path
    ):
        """Somebody cleared the disk; the monitor's own work does not depend on it."""
        world = World(engine, tmp_path)
        register(engine, tmp_path / "bundles")
        world.promote("v2", 0, **NO_SPIDERS)
        (tmp_path / "bundles/v1/model.onnx").unlink()
        world.live(1, 1)

        assert (world.reports[1].status, world.reports[1].judged) == ("done", 30)
        assert world.probation("v2").evidence["whole"]["n"] == 0

    def test_zero_days_turn_it_off(self, engine: Engine, tmp_path: Path):
        """An owner's choice."""
        world = World(engine, tmp_path, replace(OPTIONS, probation_days=0))
        register(engine, tmp_path / "bundles")
        world.promote("v2", 0, **NO_SPIDERS)
        world.live(1, 2)

        assert world.moves()[-1] == ("v2", "worker")
