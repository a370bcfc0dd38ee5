"""The dashboard over real rows: what the pages say, what the routes give, how the program ends."""

import io
import json
import re
import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from PIL import Image
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy import Connection, Engine

from core.clock import FixedClock, day_bounds
from core.settings import DashboardSettings
from core.store import alerts, class_days, flags, standing, validations
from core.store.database import create_engine, transaction
from core.store.flags import NewFlag
from dashboard import gather
from dashboard.app import create_app, draw
from dashboard.facts import OneClass, Overview
from monitor.health import health
from tests import story
from tests.pool import add_pictures, day, night_after, register
from tests.showing import showing, start

NOON = day_bounds(day(1))[0] + timedelta(hours=12)
SETTINGS = DashboardSettings(_env_file=None)  # pyright: ignore[reportCallIssue]


@dataclass
class Told:
    """A story that was told, and how to ask the dashboard about it."""

    engine: Engine
    home: Path
    now: FixedClock

    def overview(self, days: int = 30) -> Overview:
        """Gather the overview."""
        with transaction(self.engine) as connection:
            return gather.overview(connection, days=days, now=self.now.now())

    def one_class(self, label: str, days: int = 30) -> OneClass | None:
        """Gather the page of a class."""
        with transaction(self.engine) as connection:
            return gather.one_class(connection, label, days=days, now=self.now.now())

    def page(self, path: str, search: str = "") -> str:
        """Draw a page, and return it as the JSON that is sent."""
        drawn = draw(self.engine, path, search, settings=SETTINGS, now=self.now.now())
        return json.dumps(drawn.content, cls=PlotlyJSONEncoder, ensure_ascii=False)

    def client(self) -> FlaskClient:
        """Return a client of the dashboard's server."""
        return create_app(self.engine, SETTINGS, clock=self.now).server.test_client()


@pytest.fixture(scope="module")
def weak(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A fortnight at whose end one class is weak and its retraining was refused."""
    home = tmp_path_factory.mktemp("weak")
    story.tell(module_engine, home)
    story.refuse_retraining(module_engine)
    return Told(module_engine, home, night_after(story.LAST_DAY))


@pytest.fixture
def empty(engine: Engine, tmp_path: Path) -> Told:
    """A database in which nothing has happened."""
    return Told(engine, tmp_path, night_after(1))


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
        assert weak.overview().predictions == 40

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


class TestAlertsAboutNoClass:
    """The model as a whole, the bundle, the runtime, the monitor."""

    def test_all_that_are_open_are_counted(self, empty: Told):
        """However many alerts there have been since."""
        with transaction(empty.engine) as connection:
            for number in range(250):
                _notice(connection, f"cause {number}")

        assert empty.overview().open_alerts == 250

    def test_an_open_one_is_never_crowded_out(self, empty: Told):
        """An alert from before hundreds of others is as open as they were."""
        with transaction(empty.engine) as connection:
            _notice(connection, "the first")
            for number in range(250):
                _notice(connection, f"cause {number}")
                alerts.resolve_notice(connection, "pooled", f"cause {number}", now=NOON)

        facts = empty.overview()

        assert [each.title for each in facts.events.open_notices] == ["about the first"]
        assert facts.open_alerts == 1
        assert '"about the first. ", "No class has been examined yet"' in empty.page("/")

    def test_a_flag_keeps_its_alert_however_old(self, weak: Told):
        """What a class is mistaken for is read off it."""
        with weak.engine.connect() as connection, connection.begin() as undone:
            for number in range(250):
                _notice(connection, f"cause {number}")
            facts = gather.overview(connection, days=30, now=weak.now.now())
            undone.rollback()

        assert facts.events.alerts[facts.classes[0].flag.id].confused_with == story.TAKEN_FOR
        assert facts.open_alerts == 251

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


def _notice(connection: Connection, cause: str) -> None:
    alerts.raise_notice(connection, "pooled", cause, title=f"about {cause}", body="", now=NOON)


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

        assert "needs attention since 8 Mar" in page
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


class TestRecovery:
    """After a repaired version took over."""

    def test_the_class_is_recovering_and_both_versions_are_kept_apart(
        self, engine: Engine, tmp_path: Path
    ):
        """The old version's mistakes are not the new one's."""
        story.tell(engine, tmp_path)
        story.refuse_retraining(engine)
        story.promote_repair(engine, tmp_path)
        told = Told(engine, tmp_path, night_after(13))

        facts = told.one_class(story.WEAK)

        assert facts is not None
        assert facts.reading.standing == "recovering"
        assert (list(facts.epochs), facts.reading.n) == (["v2", "v1"], 20)
        assert [state.version for state in facts.states] == ["v1"] * 11 + ["v2"] * 2
        assert "is recovering: " in told.page("/")


class TestEmptyAndBroken:
    """When there is nothing to show, or nowhere to get it from."""

    def test_an_empty_database_says_what_to_run(self, empty: Told):
        """The first page anybody sees."""
        page = empty.page("/")

        assert "No class has been examined yet" in page
        assert "weakspot train" in page

    def test_a_class_page_without_any_exam_is_no_crash(self, empty: Told):
        """Bookmarks outlive databases."""
        assert "There is no class" in empty.page("/class/Dog")

    def test_a_champion_without_exam_says_what_to_run(self, empty: Told):
        """Between the first training and the first night."""
        register(empty.engine, empty.home / "bundles")

        assert "weakspot validate" in empty.page("/")

    def test_a_class_without_labels_is_shown_as_such(self, empty: Told):
        """Left out, it would look healthy."""
        register(empty.engine, empty.home / "bundles")
        add_pictures(empty.engine, empty.home / "pool", day(1), labels=("Cat", "Dog"))
        story.examine(empty.engine, empty.home, 1)
        spider = empty.one_class("Spider")

        assert spider is not None
        assert (spider.reading.standing, spider.reading.n) == ("no labels", 0)
        assert "No labelled image of this class was examined" in empty.page("/class/Spider")
        assert "no fresh labels (1 day)" in empty.page("/")
        assert "intra-class correlation is 0.00" in empty.page("/")

    def test_an_exam_that_could_not_be_judged_is_told(self, empty: Told):
        """Silence would look like a good day."""
        register(empty.engine, empty.home / "bundles")
        add_pictures(empty.engine, empty.home / "pool", day(1))
        story.examine(empty.engine, empty.home, 1)
        for path in add_pictures(empty.engine, empty.home / "pool", day(2)):
            path.unlink()
        story.examine(empty.engine, empty.home, 2)

        assert "could not be judged: 30 images could not be read" in empty.page("/")

    def test_a_database_that_is_away_is_a_panel(self, empty: Told):
        """A traceback helps nobody who looks at a dashboard."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"postgresql://nobody:secret@127.0.0.1:{taken.getsockname()[1]}/none"
            away = Told(create_engine(url), empty.home, empty.now)

            page = away.page("/")

        assert "The database does not answer" in page
        assert "secret" not in page

    def test_a_fault_of_ours_is_a_panel_too(self, empty: Told, caplog: pytest.LogCaptureFixture):
        """The page says so, and the log says what."""
        with transaction(empty.engine) as connection:
            register(empty.engine, empty.home / "bundles")
            connection.execute(sa.text("UPDATE versions SET labels = '5'"))
        caplog.clear()

        page = empty.page("/")

        assert "This page could not be drawn" in page
        assert "cannot be drawn" in caplog.text


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


class TestPictures:
    """Pictures of the pool."""

    @pytest.fixture
    def pictures(self, empty: Told) -> list[Path]:
        """Three pictures of the pool."""
        return add_pictures(empty.engine, empty.home / "pool", day(1), per_label=1)

    def test_is_sent_as_a_new_jpeg(self, empty: Told, pictures: list[Path]):
        """PNG, WebP or whatever was stored: what arrives is made from pixels."""
        answer = empty.client().get("/images/1")
        shown = Image.open(io.BytesIO(answer.data))

        assert (answer.mimetype, shown.format, shown.size) == ("image/jpeg", "JPEG", (32, 32))
        assert answer.headers["Cache-Control"] == "private, max-age=3600"

    def test_a_large_photograph_arrives_small_and_without_exif(
        self, empty: Told, pictures: list[Path]
    ):
        """Where a photograph was taken is not shown along with it."""
        exif = Image.Exif()
        exif[0x010E] = "taken at home"
        Image.new("RGB", (1600, 800), "teal").save(pictures[0], "JPEG", exif=exif)

        answer = empty.client().get("/images/1")

        assert Image.open(io.BytesIO(answer.data)).size == (512, 256)
        assert b"taken at home" not in answer.data

    def test_a_file_that_has_gone_is_404(self, empty: Told, pictures: list[Path]):
        """Deletion really deletes; nothing is kept here."""
        pictures[0].unlink()

        assert empty.client().get("/images/1").status_code == 404

    def test_a_file_that_is_no_picture_is_404(self, empty: Told, pictures: list[Path]):
        """Its bytes are not handed on."""
        pictures[0].write_text("<script>alert(1)</script>")

        answer = empty.client().get("/images/1")

        assert answer.status_code == 404
        assert b"script" not in answer.data


class TestProgram:
    """`python -m dashboard`."""

    def test_serves_until_sigterm_and_ends_with_zero(self, engine: Engine, tmp_path: Path):
        """A supervisor takes any other code for a crash."""
        with showing(engine, tmp_path) as board:
            alive = httpx.get(f"{board.url}/healthz")
            board.process.terminate()
            code = board.process.wait(20)

        assert (alive.status_code, code) == (200, 0)
        assert "Traceback" not in board.log.read_text()

    def test_a_taken_port_is_said_to_be_taken(self, engine: Engine, tmp_path: Path):
        """The message names the setting to change."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process, log = start(engine, tmp_path, port=str(taken.getsockname()[1]))
            code = process.wait(60)

        assert code == 1
        assert "WEAKSPOT_DASHBOARD_PORT" in log.read_text()
        assert "Traceback" not in log.read_text()


def _statements(told: Told) -> int:
    """Return how many statements an overview takes."""
    counted: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        counted.append(statement)

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
        ],
        "state": [{"id": "shown", "property": "data", "value": shown}],
        "changedPropIds": ["tick.n_intervals"],
    }
    answer = client.post("/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)["response"]
