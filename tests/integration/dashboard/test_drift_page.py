"""The drift page and the system page over rows that the monitor left."""

import csv
import io
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy import Engine

from core.bundle.profile import COLUMNS
from core.store import drift_pictures
from core.store.database import transaction
from core.store.registry import Load, record_load
from dashboard.pages.system import page as system_page
from dashboard.parts.saying import plain
from tests import two_days
from tests.board import HOSTILE
from tests.pool import day, night_after
from tests.told import Told

LABELS = ["Cat", "Cow", HOSTILE]
REPORT = f"{day(2)}/v1.html"


@pytest.fixture(scope="module")
def told(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Two days of a version, the second darker; Evidently's report of it lies in its place."""
    home = tmp_path_factory.mktemp("home")
    two_days.tell(module_engine, home, LABELS)
    _draw_report(module_engine, home)
    with transaction(module_engine) as connection:
        load = Load(
            "v1", "host:1", night_after(1).now(), ok=True, detail="by onnxruntime", seconds=2
        )
        record_load(connection, load)
    return Told(module_engine, home, night_after(2))


def _draw_report(engine: Engine, home: Path, named: str = REPORT) -> None:
    path = home / "reports" / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<script>parent.hacked = 1</script>a report", encoding="utf-8")
    with engine.begin() as connection:
        statement = sa.text("UPDATE drift_checks SET report = :report WHERE day = :day")
        connection.execute(statement, {"report": named, "day": day(2)})


@pytest.fixture(scope="module")
def client(told: Told) -> FlaskClient:
    """A client of the dashboard's server."""
    return told.client()


class TestPictures:
    """What the monitor keeps of a day for those who look."""

    def test_are_both_sides_counted_and_a_map(self, told: Told):
        """So that no page reads the log."""
        with transaction(told.engine) as connection:
            found = drift_pictures.histograms(connection, day(2), "v1")
            points = drift_pictures.points(connection, day(2), "v1")

        assert found is not None
        assert points is not None
        assert (found.columns, found.labels) == (list(COLUMNS), LABELS)
        brightness = found.of("brightness")
        assert brightness is not None
        assert (brightness.current.sum(), int(points.is_current.sum())) == (150, 150)

    def test_are_forgotten_with_the_days_that_nothing_looks_back_to(self, told: Told):
        """A year of them would be of no use to anybody."""
        with transaction(told.engine) as connection:
            drift_pictures.forget(connection, day(2))
            left = [drift_pictures.points(connection, day(n), "v1") for n in (1, 2)]
            connection.rollback()

        assert (left[0], left[1] is None) == (None, False)


class TestDriftPage:
    """What moved, when, and how far."""

    def test_names_what_drifted_on_the_last_day(self, told: Told):
        """In the sentence on top, with a mark in the matrix."""
        page = told.page("/drift")

        assert "On 2 Mar, brightness" in page
        assert "could not be drawn" not in page

    def test_shows_the_day_and_column_that_its_address_names(self, told: Told):
        """A pasted link shows the same."""
        page = told.page("/drift", "?day=2026-03-01&check=margin")

        assert "Margin: the day and the reference" in page
        assert "On 1 Mar the traffic looked like the reference" in page

    def test_is_had_as_files(self, client: FlaskClient):
        """Whatever a class is called; the mix of labels adds up to the day's predictions."""
        classes = list(csv.DictReader(io.StringIO(client.get("/drift/classes.csv").text)))
        mix = list(csv.DictReader(io.StringIO(client.get("/drift/labels.csv").text)))
        checks = list(csv.DictReader(io.StringIO(client.get("/drift/drift.csv").text)))

        assert {each["day"] for each in checks} == {"2026-03-01", "2026-03-02"}
        assert all(each["method"] and each["level"] for each in checks)
        assert {each["class"] for each in classes} == {each["class"] for each in mix} == {*LABELS}
        assert sum(int(each["predictions"]) for each in mix) == 150
        assert sum(float(each["reference_share"]) for each in mix) == pytest.approx(1)

    def test_shows_one_class(self, told: Told):
        """Whatever it is called."""
        page = told.page("/drift", "?day=2026-03-02&class=Cat&check=brightness")

        assert "Among predictions of " in page
        assert "Brightness: the day and the reference" in page

    @pytest.mark.parametrize(
        ("search", "said"),
        [
            ("?day=2020-01-01", "Nothing was checked on 1 Jan 2020"),
            ("?class=Nobody", "It had too few predictions"),
            ("?check=nonsense", "On 2 Mar"),
            ("?check=embedding", "the map below shows them"),
        ],
    )
    def test_says_why_where_there_is_nothing_to_see(self, told: Told, search: str, said: str):
        """An old link is no error."""
        page = told.page("/drift", search)

        assert said in page
        assert "could not be drawn" not in page

    def test_says_so_where_an_older_release_kept_no_pictures(self, told: Told):
        """After an upgrade, the verdicts of before stand there alone."""
        with transaction(told.engine) as connection:
            kept = connection.execute(
                sa.text("DELETE FROM drift_pictures WHERE day = :day RETURNING histograms, points"),
                {"day": day(1)},
            ).one()

        page = told.page("/drift", "?day=2026-03-01")

        assert page.count("No pictures were kept of this day") == 3
        with transaction(told.engine) as connection:
            connection.execute(
                sa.text("INSERT INTO drift_pictures VALUES (:day, 'v1', :histograms, :points)"),
                {"day": day(1), "histograms": kept.histograms, "points": kept.points},
            )

    def test_of_an_empty_house_says_what_comes(self, engine: Engine, tmp_path: Path):
        """Before the first night."""
        page = Told(engine, tmp_path, night_after(1)).page("/drift")

        assert "No day has been checked for drift yet" in page


class TestReports:
    """Evidently's pages, which have scripts in them."""

    def test_are_served_without_an_origin(self, client: FlaskClient):
        """They may run, and reach neither the session nor the network."""
        answer = client.get(f"/drift/reports/{day(2)}/v1")

        assert (answer.status_code, answer.data[-8:]) == (200, b"a report")
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox allow-scripts; default-src 'none';")
        assert "allow-same-origin" not in policy

    @pytest.mark.parametrize(
        "path",
        [
            f"{day(1)}/v1",
            f"{day(2)}/v2",
            "2026-02-30/v1",
            f"{day(2)}/..%2Fv1",
            f"{day(2)}/%2Fetc%2Fpasswd",
            f"{day(2)}/v1%00",
        ],
    )
    def test_s06_are_only_those_that_a_verdict_names(self, client: FlaskClient, path: str):
        """S06: no path of the address is a path on the disk."""
        answer = client.get(f"/drift/reports/{path}")

        # More parts than a report has are a page of the dashboard, that there is none.
        assert answer.status_code == (200 if "%2F" in path else 404)
        assert not [held for held in (b"a report", b"root:") if held in answer.data]

    def test_s06_never_lie_outside_their_folder(self, told: Told, client: FlaskClient):
        """S06: not even when somebody has written into the table."""
        (told.home / "secret.html").write_text("secret", encoding="utf-8")
        _draw_report(told.engine, told.home, named="../secret.html")

        answer = client.get(f"/drift/reports/{day(2)}/v1")

        assert (answer.status_code, b"secret" in answer.data) == (404, False)
        _draw_report(told.engine, told.home)


class TestSystemPage:
    """Does everything run."""

    def test_says_what_runs_how_fast_and_how_full_it_is(self, told: Told):
        """All of it read off rows."""
        page = told.page("/system")

        for said in ("host:1", "by onnxruntime", "5.0 ms", "drift_checks", "Jobs: none yet"):
            assert said in page
        assert "could not be drawn" not in page

    def test_tells_disk_and_clock_apart_from_the_rest(self, told: Told):
        """They change by themselves, and would have the whole page sent anew."""
        disk, clock = system_page.moving(told.house)

        assert "free" in plain(disk)
        assert plain(clock).startswith("Clock: 2026-03-03 02:00 UTC; the database's is")

    def test_of_an_empty_house_sends_to_the_training(self, engine: Engine, tmp_path: Path):
        """And draws every panel."""
        page = Told(engine, tmp_path, night_after(1)).page("/system")

        assert "Run: weakspot train" in page
        assert "could not be drawn" not in page

    def test_gives_the_licences_as_a_file(self, client: FlaskClient):
        """Whoever must approve them wants a list."""
        answer = client.get("/system/licences.csv")

        assert answer.data.startswith(b"package,version,licence")
        assert b"sqlalchemy" in answer.data.lower()
