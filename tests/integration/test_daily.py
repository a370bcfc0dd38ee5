"""Whole days: real pictures, a real bundle, real rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import FixedClock, day_bounds
from core.errors import BundleError, StaleRunError, UsageError
from core.store import alerts, class_days, class_state, due, flags, jobs, runs, validations
from core.store.database import transaction
from monitor import daily
from monitor.health import health
from monitor.page import DayReport, MonitorOptions
from tests.pool import add_pictures, add_predictions, day, night_after, register

# The plain draw; what suspects get besides is told in test_adaptive_draw.
OPTIONS = MonitorOptions(per_class=10, adaptive=False)

_TABLES = (
    "validations",
    "validation_results",
    "class_days",
    "class_state",
    "model_days",
    "drift_checks",
    "flags",
    "alerts",
    "jobs",
    "prediction_rollups",
)


@dataclass
class World:
    """A pool, a champion, and a monitor that examines days by number."""

    engine: Engine
    home: Path
    options: MonitorOptions = OPTIONS

    def pictures(self, number: int, shown_as: Mapping[str, str] | None = None) -> list[Path]:
        """Put a day's pictures into the pool."""
        return add_pictures(
            self.engine, self.home / "pool", day(number), shown_as=shown_as, dimmed=0.25
        )

    def examine(self, number: int, **changed: Any) -> DayReport:
        """Examine a day in the night after it."""
        arguments: dict[str, Any] = {
            "options": self.options,
            "clock": night_after(number),
            "holder": "test",
            "reports": self.home / "reports",
        }
        return daily.run(self.engine, day(number), **(arguments | changed))

    def live(self, first: int, last: int, shown_as: Mapping[str, str] | None = None) -> None:
        """Examine days from `first` to `last`, each with its own pictures."""
        for number in range(first, last + 1):
            self.pictures(number, shown_as)
            self.examine(number)

    def rows(self) -> dict[str, list[Any]]:
        """Return everything the monitor has written."""
        with transaction(self.engine) as connection:
            return {
                name: sorted(
                    map(str, connection.execute(sa.text(f"SELECT * FROM {name}")))  # noqa: S608
                )
                for name in _TABLES
            }

    def ask(self, question: Any, *arguments: Any, **named: Any) -> Any:
        """Ask the store one question."""
        with transaction(self.engine) as connection:
            return question(connection, *arguments, **named)


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> World:
    """A world in which v1 has just been promoted."""
    register(engine, tmp_path / "bundles")
    return World(engine, tmp_path)


class TestHealthyDays:
    """Nothing is wrong."""

    def test_fifteen_of_them_raise_no_flag(self, world: World):
        """The monitor that cries wolf is switched off."""
        world.live(1, 15)

        assert world.ask(flags.latest) == []
        assert {row["state"] for row in world.ask(health)["classes"]} == {"healthy"}

    def test_a_day_reports_what_was_seen(self, world: World):
        """Ten images of each of three classes, all right."""
        world.pictures(1)
        report = world.examine(1)

        assert (report.status, report.drawn, report.judged, report.correct) == ("done", 30, 30, 30)
        assert [row.n for row in report.classes] == [10, 10, 10]

    def test_no_image_is_ever_judged_twice_by_one_version(self, world: World):
        """Evidence is counted once: with one day's images there is nothing for the second."""
        world.pictures(1)
        first, second = world.examine(1), world.examine(2)

        assert (first.judged, second.status, second.judged) == (30, "done", 0)
        rows = world.ask(health)["classes"]
        assert {(row["n"], row["accuracy"], row["days_without_labels"]) for row in rows} == {
            (0, None, 1)
        }


class TestTraffic:
    """A day on which the service was asked, too."""

    def test_is_summed_up_and_checked_for_drift(self, engine: Engine, tmp_path: Path):
        """Darker pictures all day: told in the report, with Evidently's beside the rows."""
        version = register(engine, tmp_path / "bundles")
        world = World(engine, tmp_path)
        world.pictures(1)
        add_predictions(engine, version, day(1), 120, darker=0.5)
        report = world.examine(1)

        assert (report.predictions, report.judged) == (120, 30)
        assert "brightness" in report.drifted
        assert (tmp_path / "reports" / f"{day(1)}" / "v1.html").stat().st_size > 10_000


class TestWeakClass:
    """Spiders that look like cats, from day 6 on."""

    @pytest.fixture
    def weak(self, world: World) -> World:
        """A world with five good days and one bad."""
        world.live(1, 5)
        world.live(6, 6, {"Spider": "Cat"})
        return world

    def test_the_alert_names_class_day_confusion_and_images(self, weak: World):
        """Whoever reads it knows where to look."""
        (alert,) = weak.ask(alerts.latest)

        assert (alert.label, alert.since, alert.confused_with) == ("Spider", day(6), "Cat")
        shown = weak.ask(validations.wrong_images, "Spider", day(6), day(6))
        assert alert.images == [image.image for image in shown[:5]]
        assert "0 of 10" in alert.title
        assert "at most 0.24 false alarms in 30 days" in alert.body

    def test_the_log_has_a_warning(self, world: World, caplog: pytest.LogCaptureFixture):
        """Those who read logs are told, too."""
        world.live(1, 2)
        world.live(3, 3, {"Spider": "Cat"})

        warned = [record for record in caplog.records if record.levelname == "WARNING"]
        assert [record.getMessage().split(" is weak")[0] for record in warned] == ["Spider"]

    def test_only_that_class_is_weak(self, weak: World):
        """A cat taken for a cat is as good as ever."""
        states = {row["label"]: row["state"] for row in weak.ask(health)["classes"]}

        assert states == {"Cat": "healthy", "Dog": "healthy", "Spider": "weak"}

    def test_f13_five_bad_days_are_one_flag_one_alert_and_one_retraining(self, weak: World):
        """F13: and the cool-down is honoured."""
        weak.live(7, 11, {"Spider": "Cat"})

        assert [len(weak.ask(table.latest)) for table in (flags, alerts, jobs)] == [1, 1, 1]

    def test_a_retraining_is_asked_for_with_its_flag(self, weak: World):
        """The job knows why it is there."""
        (flag,), (job,) = weak.ask(flags.latest), weak.ask(jobs.latest)

        assert (job.flag, job.labels, job.requested_by) == (flag.id, ["Spider"], "monitor")

    def test_f14_a_refused_retraining_is_asked_for_again_after_the_cool_down(self, weak: World):
        """F14: the loop goes on with newer labels, and not before three days are over."""
        now = night_after(6).now()
        with transaction(weak.engine) as connection:
            job = jobs.claim_oldest(connection, worker="w", now=now, lease_s=60, max_attempts=3)
            jobs.finish(connection, job, status="refused", result={}, now=now)
        asked = []
        for number in (7, 8, 9):
            weak.pictures(number, {"Spider": "Cat"})
            asked.append(weak.examine(number).job)

        assert [job is not None for job in asked] == [False, False, True]

    def test_no_retraining_is_asked_for_when_the_owner_wants_none(self, world: World):
        """A setting turns the loop off; the flag is raised all the same."""
        quiet = replace(world, options=replace(OPTIONS, retrain=False))
        quiet.live(1, 2, {"Spider": "Cat"})

        assert (len(quiet.ask(flags.latest)), quiet.ask(jobs.latest)) == (1, [])

    def test_running_every_day_again_changes_nothing(self, weak: World):
        """Neither a row nor the report; not even when the record of the run is lost."""
        before, reported = weak.rows(), weak.examine(6)
        assert reported == weak.examine(6)
        with transaction(weak.engine) as connection:
            connection.execute(sa.text("TRUNCATE runs"))
        again = [weak.examine(number) for number in range(1, 7)]

        assert weak.rows() == before
        assert replace(again[-1], job=reported.job) == reported

    def test_one_good_day_does_not_close_the_flag(self, weak: World):
        """Hysteresis: luck is no recovery."""
        weak.live(7, 7)

        assert len(weak.ask(flags.open_flags)) == 1

    def test_the_recovery_test_closes_flag_and_alert(self, weak: World):
        """Many good days in a row do."""
        weak.live(7, 12)

        assert weak.ask(flags.open_flags) == []
        (alert,) = weak.ask(alerts.latest)
        assert (alert.state, alert.resolved_at is not None) == ("resolved", True)

    def test_a_new_version_is_recovering_until_it_has_shown_it(self, weak: World, tmp_path: Path):
        """A promotion alone closes nothing."""
        register(weak.engine, tmp_path / "bundles", name="v2", promoted_at=day_bounds(day(7))[0])
        weak.live(7, 7)
        states = {row["label"]: row["state"] for row in weak.ask(health)["classes"]}
        weak.live(8, 12)

        assert states["Spider"] == "recovering"
        assert weak.ask(flags.open_flags) == []


class TestMissingLabels:
    """Days with few labels, or none that can be read."""

    def test_f26_an_exam_that_can_mostly_not_be_read_is_invalid(self, world: World):
        """F26: a lost folder is not a model that gets everything wrong."""
        for path in world.pictures(1)[:20]:
            path.unlink()
        report = world.examine(1)

        assert (report.status, report.unreadable) == ("invalid", 20)
        assert world.ask(class_days.matrix, day(1), day(1)) == []

    def test_f26_an_invalid_exam_is_done_when_its_images_are_back(self, world: World):
        """F26: with the same draw."""
        content = {path: path.read_bytes() for path in world.pictures(1)}
        for path in content:
            path.unlink()
        invalid = world.examine(1)
        for path, data in content.items():
            path.write_bytes(data)

        assert (invalid.status, world.examine(1).correct) == ("invalid", 30)

    def test_a_few_unreadable_images_are_counted_and_left_out(self, world: World):
        """A class is judged by the images that could be shown to the model."""
        path = world.pictures(1)[0]
        path.write_bytes(b"no picture")
        report = world.examine(1)

        assert (report.status, report.unreadable, report.judged) == ("done", 1, 29)

    def test_f25_a_class_without_images_is_a_row_with_none(self, world: World):
        """F25: shown as such, never 0 %, never flagged."""
        add_pictures(world.engine, world.home / "pool", day(1))
        with transaction(world.engine) as connection:
            connection.execute(sa.text("DELETE FROM images WHERE label = 'Dog'"))
        world.examine(1)

        rows = {row["label"]: row for row in world.ask(health)["classes"]}
        assert (rows["Dog"]["n"], rows["Dog"]["accuracy"]) == (0, None)
        assert rows["Dog"]["state"] == "no labels"


class TestWhoIsAtIt:
    """Two monitors, interruptions, and days that are not over."""

    def test_f04_of_two_monitors_one_examines_the_day(self, world: World):
        """F04: the other says who does, and goes on."""
        world.pictures(1)
        slot = due.slot_of(day(1), "v1", due.WHOLE)
        with transaction(world.engine) as connection:
            runs.claim(
                connection, slot, holder="other", now=night_after(1).now(), lease_s=OPTIONS.lease_s
            )

        report = world.examine(1)

        assert (report.status, report.detail) == ("held", "held by other")

    def test_f05_an_interrupted_day_goes_on_with_the_same_draw(self, world: World):
        """F05: no second draw, one result."""
        world.pictures(1)
        with pytest.raises(KeyboardInterrupt):
            world.examine(1, on_progress=_interrupt_at("evaluating"))
        drawn = world.rows()["validation_results"]
        report = world.examine(1)

        assert (report.judged, len(drawn)) == (30, 30)

    def test_f06_a_monitor_that_was_overtaken_writes_nothing_more(self, world: World):
        """F06: paused for two hours in the middle of the exam, it is refused when it goes on."""
        world.pictures(1)
        later = FixedClock(night_after(1).now() + timedelta(hours=2))

        def pause(stage: str, _done: int, _total: int) -> None:
            if stage == "evaluating":
                world.examine(1, clock=later, holder="other")

        with pytest.raises(StaleRunError, match=r"taken over by other|ended"):
            world.examine(1, on_progress=pause)
        assert world.examine(1).correct == 30

    def test_a_day_examined_before_its_end_is_examined_again_after_it(self, world: World):
        """The draw stays; the rest of the day's predictions are added."""
        world.pictures(1)
        evening = FixedClock(day_bounds(day(1))[0] + timedelta(hours=23))
        early, late = world.examine(1, clock=evening), world.examine(1)

        (run,) = world.ask(runs.latest)
        assert (early, run.fence, run.detail["scope"]) == (late, 2, due.WHOLE)

    def test_a_day_that_has_not_begun_is_refused(self, world: World):
        """Nothing can be said about tomorrow."""
        with pytest.raises(UsageError, match="has not begun"):
            world.examine(9, clock=night_after(1))

    def test_a_lost_bundle_frees_the_day_and_says_so(self, world: World):
        """The day can be examined once the bundle is back."""
        world.pictures(1)
        world.home.joinpath("bundles/v1/model.onnx").write_bytes(b"")
        with pytest.raises(BundleError):
            world.examine(1)

        (run,) = world.ask(runs.latest)
        assert (run.outcome, run.detail["error"]) == ("failed", "BundleError")

    def test_without_a_champion_there_is_a_report_and_no_crash(
        self, engine: Engine, tmp_path: Path
    ):
        """A monitor may be started before anything was trained."""
        report = World(engine, tmp_path).examine(1)

        assert (report.status, "weakspot train" in report.to_text()) == ("no champion", True)


class TestDaysInDisorder:
    """Days that are examined late."""

    def test_give_the_same_states_as_in_order(self, world: World):
        """Whatever the order, the states follow from each day's counts."""
        for number in (1, 2, 3, 4):
            world.pictures(number)
        for number in (1, 2, 4):
            world.examine(number)
        before = {row.day for row in world.ask(class_days.matrix, day(1), day(4))}
        world.examine(3, clock=night_after(4))
        counts = [row.days for row in world.ask(class_state.at, "v1", day(4))]

        assert (before, counts) == ({day(1), day(2), day(4)}, [4, 4, 4])


def _interrupt_at(stage: str) -> Any:
    def on_progress(reached: str, _done: int, _total: int) -> None:
        if reached == stage:
            raise KeyboardInterrupt

    return on_progress
