"""The overview and the pages of classes over real rows: numbers, files, and what buttons do."""

import csv
import io
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from core.clock import day_bounds
from core.errors import ConflictError, NotFoundError, UsageError
from core.store import (
    alerts,
    audit,
    class_days,
    class_history,
    flags,
    health_days,
    jobs,
    traces,
    validations,
)
from core.store.class_days import ClassDay
from core.store.database import transaction
from dashboard.door.caller import OWNER, Caller
from dashboard.pages.health import once
from dashboard.pages.health.actions import ACTIONS
from dashboard.pages.health.facts import ClassTable
from dashboard.pages.health.once import TREND_DAYS
from monitor.health import health
from monitor.page import MonitorOptions
from tests import story
from tests.pool import day, night_after
from tests.told import Told

ANNA = Caller("anna", frozenset({"read", "label"}))


@pytest.fixture(scope="module")
def weak(fortnight: story.Fortnight) -> Told:
    """A fortnight at whose end one class is weak."""
    return Told(fortnight.engine, fortnight.home, night_after(story.LAST_DAY))


def rows(told: Told, path: str) -> list[dict[str, str]]:
    """Return the rows of a CSV of the dashboard."""
    answer = told.client().get(path)
    assert (answer.status_code, answer.mimetype) == (200, "text/csv"), answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def table_of(told: Told) -> ClassTable:
    """Return what the table of all classes is made of."""
    with transaction(told.engine) as connection:
        return once.table(connection)


class TestOverview:
    """What stands beside the counts."""

    def test_tells_how_the_numbers_moved(self, weak: Told):
        """A week ago no class was flagged."""
        numbers = weak.overview().numbers

        assert (numbers.flagged.now, numbers.flagged.before) == (1, 0)
        assert (numbers.open_alerts.now, numbers.open_alerts.before) == (1, 0)
        assert numbers.accuracy.now < numbers.accuracy.before

    def test_knows_each_class_on_each_day(self, weak: Told):
        """The trend is that of the rows, to a sixty-third."""
        trend = table_of(weak).trends[story.WEAK]
        with transaction(weak.engine) as connection:
            counted = class_days.matrix(connection, day(1), day(11), [story.WEAK])

        told = [class_history.share_of(each) for each in trend[-story.LAST_DAY :]]
        assert len(trend) == TREND_DAYS
        assert told == pytest.approx([each.correct / each.n for each in counted], abs=1 / 100)

    def test_tells_the_days_to_notice_of_the_monitor(self, weak: Told):
        """Not computed a second time, so never another number."""
        with transaction(weak.engine) as connection:
            options = MonitorOptions(per_class=10, adaptive=False)
            said = health(connection, options=options)["classes"]

        noticed = table_of(weak).noticed
        assert noticed == {each["label"]: each["days_to_notice"] for each in said}

    def test_a_day_that_nobody_examined_is_an_event(self, weak: Told):
        """Three days later, two of them are over and still not done."""
        later = Told(weak.engine, weak.home, night_after(story.LAST_DAY + 3))

        missed = [each for each in later.overview().events.missed if each > day(story.LAST_DAY)]

        assert missed == [day(12), day(13)][: len(missed)]
        assert missed


class TestRows:
    """The rows of the table, which have an address of their own."""

    def test_are_those_of_the_csv(self, weak: Told):
        """The browser and the file say the same."""
        said = weak.client().get("/health/classes.json").get_json()["rows"]

        assert [(each["label"], each["n"], each["right"]) for each in said] == [
            (each["class"], int(each["images"]), int(each["right"]))
            for each in rows(weak, "/health/classes.csv")
        ]

    def test_belong_to_the_page_that_was_drawn(self, weak: Told):
        """The page names the state of the rows that it was drawn from."""
        mark = weak.client().get("/health/classes.json").get_json()["mark"]

        assert f'"data-mark": "{mark}"' in weak.page("/")


class TestKept:
    """What is read once a judgement is read again when anything was judged."""

    def test_an_opened_flag_is_seen_at_once(self, engine: Engine, tmp_path: Path):
        """Nothing is out of date for as much as one look."""
        story.tell(engine, tmp_path, labels=story.LABELS[:2], days=2)
        told = Told(engine, tmp_path, night_after(2))
        before = told.overview()
        same = told.overview()
        with transaction(engine) as connection:
            new = flags.NewFlag(
                "change", story.LABELS[0], "v1", day(2), day(2), told.now.now(), 2e3, 1e3
            )
            flags.open_flag(connection, new)

        after = told.overview()

        assert same.classes[0].state is before.classes[0].state
        assert before.numbers.flagged.now == 0
        assert after.numbers.flagged.now == 1
        assert (after.classes[0].label, after.classes[0].standing) == (story.LABELS[0], "weak")
        assert after.mark != before.mark

    def test_a_day_judged_anew_is_seen_at_once(self, engine: Engine, tmp_path: Path):
        """By the very same clock: it is the row that was written anew, whatever the time."""
        story.tell(engine, tmp_path, labels=story.LABELS[:2], days=2)
        told = Told(engine, tmp_path, night_after(2))
        before = told.overview()
        with transaction(engine) as connection:
            kept = class_days.of_day(connection, day(2), "v1")
            class_days.write(connection, [replace(each, correct=0) for each in kept])
            judged = health_days.get(connection, day(2))
            assert judged is not None
            health_days.write(connection, judged)

        after = told.overview()

        assert before.answers.correct > 0
        assert after.answers.correct == 0
        assert [each.correct for each in after.classes[0].days[-1:]] == [0]


class TestLongRange:
    """More days than can be told apart on a screen."""

    def test_is_shown_by_week(self, engine: Engine, tmp_path: Path):
        """The same images, counted together; an exam of last winter makes the range long."""
        story.tell(engine, tmp_path, labels=story.LABELS[:2], days=3)
        told, label = Told(engine, tmp_path, night_after(3)), story.LABELS[0]
        assert told.overview(days=365).classes[0].weeks == []
        with transaction(engine) as connection:
            recent = class_days.matrix(connection, day(1), day(3), [label])
            _examine_also(connection, day(-140), recent)

        classes = {each.label: each for each in told.overview(days=365).classes}
        old, new = classes[label].weeks

        assert classes[label].days == []
        assert (new.start, new.start - old.start) == (day(-3), timedelta(days=140))
        assert (new.n, new.correct) == (
            sum(each.n for each in recent),
            sum(each.correct for each in recent),
        )
        wrong = [Counter(each.confused) for each in recent]
        assert Counter(new.confused) == sum(wrong, Counter())
        assert (old.n, old.correct) == (recent[0].n, recent[0].correct)
        assert "A column is seven days." in told.page("/", "?days=365")

    def test_begins_with_the_first_exam(self, weak: Told):
        """A fortnight is not shown by week because a year was asked for."""
        facts = weak.overview(days=365)

        assert facts.classes[0].days
        assert facts.classes[0].weeks == []
        assert facts.range.first == day(1)


class TestClassPage:
    """What is gathered for one class."""

    def test_counts_what_was_called_so(self, weak: Told):
        """Precision of Cow: most of what is called so was an elephant."""
        facts = weak.one_class(story.TAKEN_FOR)
        assert facts is not None
        with transaction(weak.engine) as connection:
            counted = class_days.confusion(connection, facts.range.first, facts.range.last)

        called = sum(each.n for each in counted if each.predicted == story.TAKEN_FOR)
        assert sum(week.called for week in facts.weeks) == called
        assert facts.weeks[-1].precision < 0.75
        assert facts.weeks[-1].recall > 0.9

    def test_shows_the_right_image_that_looks_most_alike(self, weak: Told):
        """Nearer than any other of its class, by the embeddings."""
        facts = weak.one_class(story.WEAK)
        assert facts is not None
        image = facts.wrong[0]
        with transaction(weak.engine) as connection:
            own = traces.Stretch("v1", day(1), day(11))
            seen = {
                each.image: each for each in traces.of_class(connection, own, story.WEAK, limit=999)
            }

        right = [each for each in seen.values() if each.predicted == story.WEAK]
        nearest = min(
            right, key=lambda each: ((each.embedding - seen[image.image].embedding) ** 2).sum()
        )
        assert facts.neighbours[image.image].image == nearest.image

    def test_leaves_out_buttons_that_may_not_be_pressed(self, weak: Told):
        """A key that may read sees what is the matter, and nothing to press."""
        page = weak.page(f"/class/{story.WEAK}")

        assert '"health.ack"' in page
        assert '"health.retrain"' in page
        assert f'"/inbox?class={story.WEAK}"' in page


class TestFiles:
    """Every table as CSV."""

    def test_all_classes_or_those_of_a_state(self, weak: Told):
        """What the table shows."""
        assert len(rows(weak, "/health/classes.csv")) == len(story.LABELS)
        found = rows(weak, "/health/classes.csv?state=weak")

        assert [(each["class"], each["state"]) for each in found] == [(story.WEAK, "weak")]

    def test_events_and_the_tables_of_a_class(self, weak: Told):
        """Day by day, image by image."""
        of_class = rows(weak, f"/health/class.csv?class={story.WEAK}")
        wrong = rows(weak, f"/health/wrong.csv?class={story.WEAK}")

        assert {each["kind"] for each in rows(weak, "/health/events.csv")} >= {"alert"}
        assert [each["images"] for each in of_class] == ["10"] * story.LAST_DAY
        assert {each["label"] for each in wrong} == {story.WEAK}
        assert rows(weak, f"/health/drift.csv?class={story.WEAK}") == []

    def test_an_unknown_class_has_none(self, weak: Told):
        """A link may be older than the model."""
        assert weak.client().get("/health/class.csv?class=Yeti").status_code == 404


class TestActions:
    """What the buttons of a class do."""

    def test_an_alert_is_acknowledged_snoozed_and_resolved_by_name(
        self, engine: Engine, tmp_path: Path
    ):
        """And each deed is written down."""
        told = _flagged(engine, tmp_path)
        with transaction(engine) as connection:
            number = str(alerts.latest(connection, 1)[0].id)

        for deed, said in (("ack", "acknowledged"), ("snooze", "until"), ("resolve", "resolved")):
            assert said in ACTIONS[f"health.{deed}"].do(told.house, ANNA, number)

        with transaction(engine) as connection:
            alert = alerts.get(connection, int(number))
            deeds = [each for each in audit.latest(connection) if each.by == "anna"]
        assert alert.state == "resolved"
        assert {each.action for each in deeds} == {
            "acknowledge alert", "snooze alert", "resolve alert",
        }  # fmt: skip
        with pytest.raises(ConflictError):
            ACTIONS["health.ack"].do(told.house, ANNA, number)
        with pytest.raises(UsageError):
            ACTIONS["health.ack"].do(told.house, ANNA, "x")

    def test_a_retraining_is_asked_for(self, weak: Told):
        """In the queue, under the caller's name; the open one where the monitor asked first."""
        said = ACTIONS["health.retrain"].do(weak.house, OWNER, "Dog")
        with transaction(weak.engine) as connection:
            job = jobs.find(connection, 1)[0]

        assert said == f"Retraining {job.id} of Dog is queued; a worker picks it up."
        assert (job.labels, job.requested_by) == (["Dog"], OWNER.name)
        with pytest.raises(NotFoundError):
            ACTIONS["health.retrain"].do(weak.house, OWNER, "Yeti")

    def test_what_costs_a_machine_needs_admin(self):
        """And what is a person's judgement, the scope to label."""
        assert ACTIONS["health.retrain"].scope == "admin"
        assert {ACTIONS[f"health.{each}"].scope for each in ("ack", "snooze", "resolve")} == {
            "label"
        }


def _examine_also(connection: Connection, on: date, days: list[ClassDay]) -> None:
    """Let a day of v1 long ago have been as the first of these."""
    moment = day_bounds(on)[1]
    draw = validations.Draw(on, "v1", per_class=10, late=False, drawn_at=moment)
    exam = validations.record_draw(connection, draw, [])
    validations.finish(connection, exam, status="done", unreadable=0, now=moment)
    class_days.write(connection, [replace(days[0], day=on)])


def _flagged(engine: Engine, home: Path) -> Told:
    """Return a database with one open alert of a class, and the morning after."""
    now = night_after(3)
    with transaction(engine) as connection:
        flag = flags.open_flag(
            connection,
            flags.NewFlag("change", "Dog", "v1", day(2), day(3), now.now(), 2000.0, 1250.0),
        )
        assert flag is not None
        raised = alerts.NewAlert(flag.id, now.now(), "Dog is weak", "Since day 2.", "Cat", [])
        alerts.raise_alert(connection, raised)
    return Told(engine, home, type(now)(now.now() + timedelta(hours=1)))
