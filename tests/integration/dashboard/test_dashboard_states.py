"""The dashboard of a database that is empty, or becomes so; its pictures, and the program."""

import io
import socket
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from PIL import Image
from sqlalchemy import Engine

from core.store import notices
from core.store.database import create_engine, transaction
from tests import story
from tests.pool import add_pictures, day, night_after, register
from tests.showing import showing, start
from tests.told import NOON, Told, notice


@pytest.fixture
def empty(engine: Engine, tmp_path: Path) -> Told:
    """A database in which nothing has happened."""
    return Told(engine, tmp_path, night_after(1))


class TestAlertsAboutNoClass:
    """The model as a whole, the bundle, the runtime, the monitor."""

    def test_all_that_are_open_are_counted(self, empty: Told):
        """However many alerts there have been since."""
        with transaction(empty.engine) as connection:
            for number in range(250):
                notice(connection, f"cause {number}")

        assert empty.overview().numbers.open_alerts.now == 250

    def test_an_open_one_is_never_crowded_out(self, empty: Told):
        """An alert from before hundreds of others is as open as they were."""
        with transaction(empty.engine) as connection:
            notice(connection, "the first")
            for number in range(250):
                notice(connection, f"cause {number}")
                notices.resolve(connection, "pooled", f"cause {number}", now=NOON)

        facts = empty.overview()

        assert [each.title for each in facts.events.open_notices] == ["about the first"]
        assert facts.numbers.open_alerts.now == 1
        assert '"about the first. ", "No class has been examined yet"' in empty.page("/")


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
