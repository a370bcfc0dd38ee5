"""One cause is one retraining: flags that stand for weeks, and jobs that end in every way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.store import alerts, class_days, flags, images, jobs
from core.store.alerts import NewAlert
from core.store.class_days import ClassDay
from core.store.database import transaction
from core.store.flags import Flag, NewFlag
from core.store.job_rows import LOOK_AGAIN
from core.store.jobs import Job
from core.store.registry import Version
from monitor import grounds, lacking, retraining
from monitor.page import MonitorOptions
from monitor.retraining import Occasion
from tests.pool import day, drawn_image, night_after, register
from weakspot.commands import grounds_text, health_text

OPTIONS = MonitorOptions(cool_down_days=3, retrainings_a_day=2)


@dataclass
class Loop:
    """Flags, jobs and labels as they come, and what is asked for each night."""

    engine: Engine
    version: Version
    options: MonitorOptions = OPTIONS
    labelled: int = 0

    def flag(self, label: str, number: int, cause: str | None = None) -> Flag:
        """Open a flag on a day, with an alert that names its cause."""
        evidence = 5_400.0
        new = NewFlag(
            "change", label, "v1", day(number), day(number), self.night(number), evidence, 375.0
        )
        with transaction(self.engine) as connection:
            flag = flags.open_flag(connection, new)
            assert flag is not None
            why = {"cause": cause} if cause else {}
            told = NewAlert(flag.id, self.night(number), label, "", None, [], evidence=why)
            alerts.raise_alert(connection, told)
        return flag

    def ask(self, number: int, alarmed: Collection[str] = ()) -> Job | None:
        """Ask for a retraining in the night after a day, as the monitor does."""
        occasion = Occasion(day(number), self.version, alarmed, self.night(number))
        with transaction(self.engine) as connection:
            return retraining.request(connection, occasion, options=self.options)

    def end(self, number: int, status: Any, **result: Any) -> Job:
        """Let the job that waits end in the night after a day."""
        now = self.night(number)
        with transaction(self.engine) as connection:
            job = jobs.claim_oldest(connection, worker="w", now=now, lease_s=60, max_attempts=3)
            assert job is not None
            challenger = result.pop("challenger", None)
            jobs.finish(
                connection, job, status=status, result=result, now=now, challenger=challenger
            )
        return job

    def label(self, label: str, number: int, n: int, *, split: str = "train") -> None:
        """Let images of a class be labelled on a day."""
        rows: list[images.Image] = []
        for _ in range(n):
            self.labelled += 1
            row = drawn_image(
                Path(f"/{self.labelled}.png"), f"{self.labelled}".encode(), label, day(number), 0
            )
            rows.append(replace(row, split=split))
        with transaction(self.engine) as connection:
            images.insert(connection, rows)

    def wanted(self, number: int) -> list[str]:
        """Return what people are told that retrainings wait for, in the night after a day."""
        with transaction(self.engine) as connection:
            return health_text.retraining_lines(lacking.wanted(connection, self.night(number)))

    def night(self, number: int) -> datetime:
        """Return the moment at which a day is judged."""
        return night_after(number).now()


@pytest.fixture(scope="module")
def champion(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The version that all tests of this module examine."""
    return register(module_engine, tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def loop(module_engine: Engine, champion: Version) -> Loop:
    """A champion, and nothing weak yet."""
    with transaction(module_engine) as connection:
        connection.execute(sa.text("TRUNCATE flags, jobs, images RESTART IDENTITY CASCADE"))
        connection.execute(sa.text("TRUNCATE alerts RESTART IDENTITY CASCADE"))
    return Loop(module_engine, champion)


class TestStorms:
    """F13 and F14: many days, few retrainings."""

    def test_f13_a_class_weak_on_five_days_is_one_job(self, loop: Loop):
        """F13: whether it waits or runs."""
        loop.flag("Spider", 1)
        asked = [loop.ask(number, {"Spider"}) for number in range(1, 6)]

        assert [job is not None for job in asked] == [True, False, False, False, False]

    def test_f13_all_that_is_weak_on_one_day_is_one_job(self, loop: Loop):
        """F13: each begins from the champion; two at once would undo one another."""
        loop.flag("Cat", 1)
        loop.flag("Spider", 1)

        job = loop.ask(1)
        assert job is not None
        assert job.labels == ["Cat", "Spider"]

    def test_f14_a_refused_challenger_opens_no_loop(self, loop: Loop):
        """F14: thirty nights with nothing new to learn; then one labelled image."""
        loop.flag("Spider", 1)
        loop.ask(1)
        loop.end(1, "refused")
        quiet = [loop.ask(number, {"Spider"}) for number in range(2, 32)]
        loop.label("Spider", 32, 1)

        assert quiet == [None] * 30
        assert loop.ask(32) is not None

    def test_f14_the_cool_down_holds_however_much_is_labelled(self, loop: Loop):
        """F14: refused on the first night, asked again on the fourth."""
        loop.flag("Spider", 1)
        loop.ask(1)
        loop.end(1, "refused")
        loop.label("Spider", 2, 50)

        assert [loop.ask(number) is not None for number in (2, 3, 4)] == [False, False, True]

    def test_no_more_than_so_many_a_day(self, loop: Loop):
        """Twenty classes that sink one after another in a night are a storm, too."""
        loop.options = replace(OPTIONS, cool_down_days=0)
        asked: list[bool] = []
        for label in ("Cat", "Dog", "Spider"):
            loop.flag(label, 1)
            asked.append(loop.ask(1) is not None)
            if asked[-1]:
                loop.end(1, "failed", error="no memory")

        assert asked == [True, True, False]
        assert loop.ask(2) is not None

    @pytest.mark.parametrize(("cause", "asked"), [("label", False), ("model", True)])
    def test_f14_nothing_is_asked_for_where_it_would_not_help(
        self, loop: Loop, cause: str, asked: bool
    ):
        """Wrong labels would be learnt."""
        loop.flag("Spider", 1, cause)

        assert (loop.ask(1) is not None) is asked

    def test_images_that_were_named_are_waited_for(self, loop: Loop):
        """Neither the next night, nor with four of five; and no cool-down once they are there."""
        loop.flag("Spider", 1)
        loop.ask(1)
        loop.end(1, "more images", missing={"Spider": 5})
        loop.label("Spider", 2, 4)
        before, wanted = loop.ask(2), loop.wanted(2)
        loop.label("Spider", 3, 1)

        assert (before, loop.wanted(3), loop.ask(3) is not None) == (None, [], True)
        assert [line.split() for line in wanted] == [
            ["Spider", "1", "more", "training", "images,", "for", "retraining", "1"]
        ]

    def test_a_challenger_is_looked_at_again_when_its_gate_images_are_there(self, loop: Loop):
        """Nothing is trained anew; the job names the exam that goes on."""
        loop.flag("Spider", 1)
        loop.ask(1)
        register(loop.engine, Path(loop.version.uri).parent, name="v2", promoted_at=None)
        missing = {"missing": {"Cat": 2, "Spider": 3}}
        first = loop.end(1, "more images", gate=missing, champion="v1", challenger="v2")
        loop.label("Spider", 2, 3, split="test")
        before, (wanted,) = loop.ask(2), loop.wanted(2)
        loop.label("Cat", 3, 2, split="test")
        job = loop.ask(3)

        assert (before, wanted.split()[:4]) == (None, ["Cat", "2", "more", "gate"])
        assert job is not None
        assert (job.payload[LOOK_AGAIN], job.labels) == (first.id, ["Spider"])


class TestByHand:
    """What a person asked for waits and goes on as what a flag asked for does."""

    def ask(self, loop: Loop, label: str) -> None:
        """Ask as `weakspot retrain` does."""
        with transaction(loop.engine) as connection:
            jobs.enqueue(
                connection, labels=[label], reason="x", requested_by="ann", now=loop.night(1)
            )

    def test_it_says_which_gate_images_it_lacks_and_is_looked_at_again(self, loop: Loop):
        """No flag is open; the exam is not left lying all the same."""
        self.ask(loop, "Dog")
        register(loop.engine, Path(loop.version.uri).parent, name="v3", promoted_at=None)
        gate = {"missing": {"Cat": 2}}
        first = loop.end(1, "more images", gate=gate, champion="v1", challenger="v3")
        before, (wanted,) = loop.ask(2), loop.wanted(2)
        loop.label("Cat", 3, 2, split="test")
        job = loop.ask(3)

        assert (before, wanted.split()[:4]) == (None, ["Cat", "2", "more", "gate"])
        assert job is not None
        assert (job.payload, job.labels) == ({LOOK_AGAIN: first.id}, ["Dog"])

    def test_it_is_trained_when_its_images_are_there(self, loop: Loop):
        """And once: the next night asks for nothing."""
        self.ask(loop, "Dog")
        loop.end(1, "more images", missing={"Dog": 2})
        before, wanted = loop.ask(2), loop.wanted(2)
        loop.label("Dog", 3, 2)
        job = loop.ask(3)
        loop.end(3, "refused")

        assert (before, len(wanted)) == (None, 1)
        assert job is not None
        assert (job.labels, job.payload, loop.ask(4)) == (["Dog"], {}, None)


class TestGrounds:
    """What a job is asked for on."""

    def test_the_job_carries_the_alerts_numbers(self, loop: Loop):
        """Whoever reads the job a month later sees what was known."""
        flag = loop.flag("Spider", 2, "data")
        counts = [(1, 10, 10, {}), (2, 10, 2, {"Cat": 8}), (3, 10, 1, {"Cat": 7, "Dog": 2})]
        rows = [
            ClassDay(day(number), "v1", "Spider", n, k, confused, 0, 1)
            for number, n, k, confused in counts
        ]
        with transaction(loop.engine) as connection:
            class_days.write(connection, rows)
        job = loop.ask(3)

        assert job is not None
        (found,) = job.payload[grounds.KEY]
        assert found["now"] == {"n": 20, "correct": 3, "accuracy": 0.15}
        assert found["before"] == {"n": 200, "correct": 196, "accuracy": 0.98}
        assert (found["evidence"], found["threshold"], found["days"]) == (5_400, 375, 2)
        assert found["confused_with"] == [["Cat", 15], ["Dog", 2]]
        assert (found["cause"], found["flag"]) == ("data", flag.id)
        assert job.reason == "weak: Spider (since 2026-03-02: 3 of 20 right, was 98 %)"
        assert grounds_text.lines(job.payload[grounds.KEY])[1] == (
            "  Spider: 3 of 20 right since 2026-03-02 (2 days); 196 of 200 right before; "
            "evidence 5,400 of 375; mistaken for Cat (15), Dog (2); cause: data; alert 1"
        )
