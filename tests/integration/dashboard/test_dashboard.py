"""The dashboard over real rows: what the pages say, and what the routes give."""

import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy import Engine

from core.store import class_days, flags, standing, validations
from core.store.database import transaction
from core.store.flags import NewFlag
from dashboard.pages.health import gather
from monitor.health import health
from tests import story
from tests.pool import day, night_after
from tests.told import NOON, Told, notice


@pytest.fixture(scope="module")
def weak(fortnight: story.Fortnight) -> Told:
    """A fortnight at whose end one class is weak and its retraining was refused."""
    story.refuse_retraining(fortnight.engine)
    return Told(fortnight.engine, fortnight.home, night_after(story.LAST_DAY))


class TestOverview:
    """What the overview is drawn from."""

    def test_has_the_weak_class_on_top(self, weak: Told):
        """The worst is looked at first."""
        facts = weak.overview()

        assert facts.classes[0].label == story.WEAK
        assert [each.standing for each in facts.classes] == ["weak"] + ["healthy"] * 9

    def test_counts_the_weak_class_since_it_fell(self, weak: Told):
        """Its good days before would hide how bad it is."""
        worst = weak.overview().classes[0]

        assert (worst.since, worst.n) == (day(story.FAULT_DAY), 40)
        assert worst.correct / worst.n < 0.2

    def test_begins_where_there_is_something_to_see(self, weak: Told):
        """A young installation fills its charts; today is on them, because a job ended today."""
        span = weak.overview().range

        assert (span.first, span.last) == (day(1), day(story.LAST_DAY + 1))

    def test_a_short_range_is_short(self, weak: Told):
        """What the address asks for."""
        facts = weak.overview(days=3)

        assert facts.range.first == day(story.LAST_DAY - 2)
        assert {row.day for row in facts.classes[0].days} == {day(9), day(10), day(11)}

    def test_stands_as_the_monitor_says(self, weak: Told):
        """Two programs that disagree on who is weak are worse than one."""
        with transaction(weak.engine) as connection:
            said = {each["label"]: each["state"] for each in health(connection)["classes"]}

        assert {each.label: each.standing for each in weak.overview().classes} == said

    def test_counts_predictions_of_the_day_examined(self, weak: Told):
        """From the rollups, which stay when the log is dropped."""
        assert weak.overview().numbers.predictions.now == 40

    def test_asks_as_many_questions_for_three_classes_as_for_ten(
        self, weak: Told, engine: Engine, tmp_path: Path
    ):
        """No query per class: at 2,500 classes the page would never come."""
        story.tell(engine, tmp_path, labels=story.LABELS[:3], days=2)
        few = Told(engine, tmp_path, night_after(2))

        assert _statements(few) == _statements(weak)

    def test_never_reads_the_prediction_log(self, engine: Engine, tmp_path: Path):
        """Ten million rows a day: every page is drawn from rollups and the monitor's tables."""
        story.tell(engine, tmp_path, labels=story.LABELS[:3], days=2)
        told, asked = Told(engine, tmp_path, night_after(2)), list[str]()

        def note(_connection, _cursor, statement, *_rest):
            asked.append(statement)

        sa.event.listen(engine, "before_cursor_execute", note)
        told.page("/")
        told.page(f"/class/{story.LABELS[0]}")

        assert any("prediction_rollups" in each for each in asked)
        assert [each for each in asked if re.search(r"\bpredictions\b", each)] == []


class TestManyAlerts:
    """Hundreds about other things."""

    def test_a_flag_keeps_its_alert_however_old(self, weak: Told):
        """What a class is mistaken for is read off it."""
        with weak.engine.connect() as connection, connection.begin() as undone:
            for number in range(250):
                notice(connection, f"cause {number}")
            facts = gather.overview(connection, days=30, now=weak.now.now())
            undone.rollback()

        assert facts.events.alerts[facts.classes[0].flag.id].confused_with == story.TAKEN_FOR
        assert facts.numbers.open_alerts.now == 251

    def test_a_class_keeps_its_flags_however_many_others_have(self, weak: Told):
        """Of thousands of classes, two hundred may have sunk since."""
        with weak.engine.connect() as connection, connection.begin() as undone:
            for number in range(210):
                flags.open_flag(
                    connection,
                    NewFlag("change", f"C{number}", "v1", day(9), day(9), NOON, 2000.0, 1250.0),
                )
            facts = gather.one_class(connection, story.WEAK, days=30, now=weak.now.now())
            undone.rollback()

        assert facts is not None
        assert [flag.label for flag in facts.events.flags] == [story.WEAK]


class TestPages:
    """What is sent to the browser."""

    def test_the_overview_says_what_is_wrong(self, weak: Told):
        """Verdict in words first."""
        page = weak.page("/")

        assert "1 of 10 classes needs attention: " in page
        assert f'"href": "/class/{story.WEAK}"' in page
        assert "was refused by the gate" in page

    def test_the_class_page_tells_its_story(self, weak: Told):
        """What, since when, mistaken for what, and what was done."""
        page = weak.page(f"/class/{story.WEAK}")

        assert re.search("needs attention since 8 Mar, (over )?[0-9.]+ % sure", page)
        assert "Since 2026-03-08, v1 was right on" in page
        assert "Cow is shown to be worse" in page

    def test_the_class_page_has_the_wrong_images(self, weak: Told):
        """The pictures themselves tell most."""
        with transaction(weak.engine) as connection:
            wrong = validations.wrong_images(connection, story.WEAK, day(1), day(11), limit=24)
        page = weak.page(f"/class/{story.WEAK}")

        assert len(wrong) == 24
        assert all(f'"/images/{each.image}"' in page for each in wrong)

    def test_the_range_stands_in_every_link(self, weak: Told):
        """A pasted link shows the same."""
        assert f'"/class/{story.WEAK}?days=7"' in weak.page("/", "?days=7")
        assert f'"/class/{story.WEAK}"' in weak.page("/", "?days=30")

    def test_an_unchanged_page_is_not_sent_again(self, weak: Told):
        """An open page asks every few seconds, and must not flicker."""
        client = weak.client()
        first = _ask(client, shown=None)

        again = _ask(client, shown=first["shown"]["data"])

        assert "page" in first
        assert "page" not in again
        assert again["heard"]["children"]

    def test_an_unknown_class_is_said_to_be_unknown(self, weak: Told):
        """A link may be older than the model."""
        assert "There is no class" in weak.page("/class/Yeti")

    def test_another_address_is_said_to_be_none(self, weak: Told):
        """Not a blank page."""
        assert "There is no such page" in weak.page("/settings")


class TestTally:
    """core.store.class_days.tally, which the overview counts with."""

    def test_counts_each_class_from_its_own_day_on(self, weak: Told):
        """A weak class is counted since it fell, the others over a week."""
        since = {"Dog": day(10), story.WEAK: day(11), "Yeti": day(1)}
        with transaction(weak.engine) as connection:
            found = class_days.tally(connection, "v1", since, day(11))

        assert {label: (each.n, each.first) for label, each in found.items()} == {
            "Dog": (20, day(10)),
            story.WEAK: (10, day(11)),
        }

    def test_of_no_class_is_nothing(self, weak: Told):
        """A version without classes asks for none."""
        with transaction(weak.engine) as connection:
            assert class_days.tally(connection, "v1", {}, day(11)) == {}


class TestStanding:
    """core.store.standing, which the dashboard asks."""

    def test_a_flag_closed_on_the_day_is_closed(self, weak: Told):
        """As the monitor's health has it."""
        with weak.engine.connect() as connection, connection.begin() as undone:
            flag = flags.open_flags(connection)[0]
            flags.close(connection, flag, on=day(11), now=weak.now.now())
            found = standing.standings(connection, "v1", story.LABELS, day(11))
            undone.rollback()

        assert found[story.LABELS.index(story.WEAK)].flag is None

    def test_knows_the_past(self, weak: Told):
        """On day 7 nothing had happened yet."""
        with transaction(weak.engine) as connection:
            found = standing.standings(connection, "v1", story.LABELS, day(7))

        assert {each.standing for each in found} == {"healthy"}


class TestRoutes:
    """The addresses that are no pages."""

    @pytest.mark.parametrize(
        "path", ["/", "/class/Dog", "/healthz", "/images/1", "/images/0", "/_dash-layout", "/nope"]
    )
    def test_all_carry_the_headers(self, weak: Told, path: str):
        """Dash sends none of them by itself."""
        headers = weak.client().get(path).headers

        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "'unsafe-inline'" not in headers["Content-Security-Policy"].split("; ")[1]

    def test_the_page_names_no_other_host(self, weak: Told):
        """No font, script or style is fetched from anywhere."""
        page = weak.client().get("/").text

        assert 'src="http' not in page
        assert 'href="http' not in page

    def test_healthz_says_the_process_lives(self, weak: Told):
        """Whatever the database does."""
        answer = weak.client().get("/healthz")

        assert (answer.status_code, answer.json) == (200, {"status": "ok"})

    @pytest.mark.parametrize("number", [0, 10**6, 2**63, 10**30])
    def test_a_picture_that_is_not_there_is_404(self, weak: Told, number: int):
        """Also a number that no database could hold."""
        assert weak.client().get(f"/images/{number}").status_code == 404

    @pytest.mark.parametrize("path", ["/images/-1", "/images/x", "/images/../../etc/passwd"])
    def test_a_picture_is_named_by_its_number_alone(self, weak: Told, path: str):
        """Anything else is a page that says there is none."""
        assert weak.client().get(path).mimetype == "text/html"


def _statements(told: Told) -> int:
    """Return how many statements an overview takes."""
    counted: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        counted.append(statement)

    told.overview()  # What changes once an exam is kept from now on.
    sa.event.listen(told.engine, "before_cursor_execute", note)
    told.overview()
    sa.event.remove(told.engine, "before_cursor_execute", note)
    return len(counted)


def _ask(client: FlaskClient, *, shown: str | None) -> dict[str, dict[str, object]]:
    """Ask as the browser does, and return what changes."""
    outputs = ["page.children", "shown.data", "title.data", "heard.children"]
    body = {
        "output": f"..{'...'.join(outputs)}..",
        "outputs": [
            dict(zip(("id", "property"), each.split("."), strict=True)) for each in outputs
        ],
        "inputs": [
            {"id": "address", "property": "pathname", "value": "/"},
            {"id": "address", "property": "search", "value": ""},
            {"id": "tick", "property": "n_intervals", "value": 1},
            {"id": "acted", "property": "data", "value": None},
        ],
        "state": [{"id": "shown", "property": "data", "value": shown}],
        "changedPropIds": ["tick.n_intervals"],
    }
    answer = client.post("/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)["response"]
