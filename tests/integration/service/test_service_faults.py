"""What must hold when something breaks under a service that is answering.

An answered prediction is a logged prediction, once; everything else is a 503 that says when to
try again.
"""

import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.bundle import files
from core.clock import FixedClock
from core.store import database, notices, partitions, registry
from core.store.database import transaction
from core.store.registry import Version
from tests.faults import (
    end_all_connections,
    eventually,
    own_postgres,
    program,
    promote,
    spooled,
    start,
    version_of,
)
from tests.pool import register
from tests.serving import Traffic, jpeg_of, logged, serving


class TestPromotion:
    """The champion changes while requests are answered."""

    def test_loses_and_mixes_nothing(self, engine: Engine, tmp_path: Path):
        """F17: no errors; each answer names one version, and its row the same."""
        register(engine, tmp_path / "bundles")
        register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
        with (
            serving(engine, tmp_path, reload_s=30) as service,
            Traffic(str(service.base_url), callers=6) as traffic,
        ):
            for version in ("v2", "v1", "v2", "v1", "v2"):
                traffic.wait_for(10)
                promote(engine, version)
                eventually(lambda wanted=version: version_of(service) == wanted)
            traffic.wait_for(10)

        assert (traffic.refusals, traffic.broken) == ([], 0)
        assert set(traffic.answers.values()) == {"v1", "v2"}
        assert logged(engine) == traffic.answers

    def test_is_noticed_without_the_notice(self, engine: Engine, tmp_path: Path):
        """A notice can be missed; looking every few seconds makes it certain."""
        version = register(engine, tmp_path / "bundles")
        register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
        with serving(engine, tmp_path, reload_s=0.2) as service:
            with transaction(engine) as connection:
                connection.execute(
                    sa.text("""
                        INSERT INTO aliases (alias, version, follows, at, by, reason)
                        SELECT 'champion', 'v2', max(id), :now, 'test', 'test' FROM aliases
                    """),
                    {"now": version.created_at},
                )

            eventually(lambda: version_of(service) == "v2")

    @pytest.mark.parametrize("damage", ["alter", "truncate", "swap", "remove"])
    def test_of_a_damaged_bundle_changes_nothing(self, engine: Engine, tmp_path: Path, damage: str):
        """F16: the old version serves on, the service stays ready, the failure is kept."""
        register(engine, tmp_path / "bundles")
        bad = register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
        _damage(engine, bad, damage)
        with serving(engine, tmp_path) as service:
            promote(engine, "v2")
            eventually(lambda: _loads(engine, "v2"))

            assert service.get("/readyz").status_code == 200
            assert service.post("/v1/predict", content=jpeg_of("Dog")).json()["label"] == "Dog"
            assert version_of(service) == "v1"
            (load,) = _loads(engine, "v2")
            assert not load.ok
            assert load.detail
            (alert,) = service.get("/v1/alerts").json()["alerts"]
            assert (alert["kind"], alert["state"]) == ("load", "open")
            assert f"{load.instance} goes on serving v1: " in alert["body"]

    def test_of_a_damaged_bundle_heals_with_the_next(self, engine: Engine, tmp_path: Path):
        """Rolling back or promoting another version is all it takes."""
        register(engine, tmp_path / "bundles")
        bad = register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
        register(engine, tmp_path / "bundles", name="v3", promoted_at=None)
        _damage(engine, bad, "truncate")
        with serving(engine, tmp_path) as service:
            promote(engine, "v2")
            eventually(lambda: _loads(engine, "v2"))
            promote(engine, "v3")

            eventually(lambda: version_of(service) == "v3")
            eventually(lambda: not _refused(engine))

    def test_of_a_damaged_bundle_is_over_when_it_is_rolled_back(
        self, engine: Engine, tmp_path: Path
    ):
        """Nothing is loaded then: what should serve has served all the time."""
        register(engine, tmp_path / "bundles")
        _damage(
            engine, register(engine, tmp_path / "bundles", name="v2", promoted_at=None), "alter"
        )
        with serving(engine, tmp_path) as service:
            promote(engine, "v2")
            eventually(lambda: _refused(engine) == ["v2"])
            promote(engine, "v1")

            eventually(lambda: not _refused(engine))
            assert version_of(service) == "v1"

    def test_of_a_bundle_that_arrives_late_is_tried_again(self, engine: Engine, tmp_path: Path):
        """A shared folder may show a promoted bundle only after a while."""
        register(engine, tmp_path / "bundles")
        late = Path(register(engine, tmp_path / "bundles", name="v2", promoted_at=None).uri)
        late.rename(tmp_path / "elsewhere")
        with serving(engine, tmp_path, reload_s=0.2) as service:
            promote(engine, "v2")
            eventually(lambda: _loads(engine, "v2"))
            (tmp_path / "elsewhere").rename(late)

            eventually(lambda: version_of(service) == "v2")
            eventually(lambda: [load.ok for load in _loads(engine, "v2")] == [False, True])
            assert not _refused(engine)


class TestPostgres:
    """The database is hurt while requests are answered."""

    def test_loses_all_connections(self, engine: Engine, tmp_path: Path):
        """F21: the pool heals, and nobody notices."""
        register(engine, tmp_path / "bundles")
        with (
            serving(engine, tmp_path) as service,
            Traffic(str(service.base_url)) as traffic,
        ):
            for _ in range(3):
                traffic.wait_for(20)
                end_all_connections(engine)
            traffic.wait_for(20)

        assert (traffic.refusals, traffic.broken) == ([], 0)
        assert traffic.answers == logged(engine)

    def test_still_hears_of_promotions_afterwards(self, engine: Engine, tmp_path: Path):
        """The connection that listens is one of those that died."""
        register(engine, tmp_path / "bundles")
        register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
        with serving(engine, tmp_path, reload_s=0.5) as service:
            end_all_connections(engine)
            promote(engine, "v2")

            eventually(lambda: version_of(service) == "v2")

    def test_is_killed_and_comes_back(self, tmp_path: Path):
        """F01: every answered prediction is there exactly once, and it heals alone in 15 s."""
        with own_postgres() as (server, folder):
            engine = database.create_engine(server.url)
            register(engine, tmp_path / "bundles")
            with (
                serving(engine, tmp_path) as service,
                Traffic(str(service.base_url), callers=8) as traffic,
            ):
                traffic.wait_for(50)
                pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
                os.kill(pid, signal.SIGKILL)
                eventually(lambda: "Postgres is away" in service.get("/readyz").text)
                assert service.get("/readyz").status_code == 200
                eventually(lambda: _is_well(service), within_s=15)
                traffic.wait_for(50)

            rows = logged(engine)
            engine.dispose()
        assert (traffic.refusals, traffic.broken) == ([], 0)
        assert traffic.answers == rows

    def test_holds_a_lock_on_the_log(self, engine: Engine, tmp_path: Path):
        """F22: callers get a 503 in time, nothing piles up, and it ends with the lock."""
        register(engine, tmp_path / "bundles")
        with serving(engine, tmp_path, timeout_s=0.5, max_queue=8) as service:
            with transaction(engine) as connection:
                connection.execute(sa.text("LOCK TABLE predictions IN EXCLUSIVE MODE"))
                begun = time.monotonic()
                answer = service.post("/v1/predict", content=jpeg_of("Dog"))
                waited_s = time.monotonic() - begun

            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert waited_s < 2
            eventually(
                lambda: service.post("/v1/predict", content=jpeg_of("Dog")).status_code == 200
            )

    def test_is_away_says_readyz(self, engine: Engine, tmp_path: Path):
        """A balancer must send the traffic elsewhere, and a person must learn why."""
        register(engine, tmp_path / "bundles")
        away = database.create_engine("postgresql://weakspot@127.0.0.1:9/weakspot")
        with serving(away, tmp_path) as service:
            answer = service.get("/readyz")

        checks = answer.json()["checks"]
        assert answer.status_code == 503
        assert not checks["database"]["ok"]
        assert "127.0.0.1" not in answer.text


class TestLoad:
    """More is asked than can be answered."""

    def test_beyond_the_queue_is_refused_at_once(self, engine: Engine, tmp_path: Path):
        """F31: 503 with Retry-After for the ones too many; the others get their answers."""
        register(engine, tmp_path / "bundles")
        files_ = [("images", jpeg_of("Dog", seed)) for seed in range(24)]
        with serving(engine, tmp_path, max_queue=3) as service:
            results = service.post("/v1/predict/batch", files=files_).json()["results"]

        answered = [each["id"] for each in results if "id" in each]
        refused = {each["problem"]["code"] for each in results if "problem" in each}
        assert len(answered) >= 3
        assert refused == {"overloaded"}
        assert set(answered) == set(logged(engine))


class TestProcess:
    """The service as a program."""

    def test_finishes_what_it_accepted_at_sigterm(
        self, engine: Engine, database_url: str, tmp_path: Path
    ):
        """F20: exit code 0, and each answer that left is in the log."""
        register(engine, tmp_path / "bundles")
        with (
            program(database_url, tmp_path) as (process, address),
            Traffic(address, callers=6) as traffic,
        ):
            traffic.wait_for(30)
            process.send_signal(signal.SIGTERM)
            code = process.wait(20)

        assert code == 0
        assert {status for status, *_ in traffic.refusals} <= {503}
        assert logged(engine) == traffic.answers

    def test_loses_no_answer_when_killed(self, engine: Engine, database_url: str, tmp_path: Path):
        """F03: a row without an answer may be there, an answer without its row never."""
        register(engine, tmp_path / "bundles")
        with (
            program(database_url, tmp_path) as (process, address),
            Traffic(address, callers=6) as traffic,
        ):
            traffic.wait_for(30)
            process.kill()
            process.wait(20)

        assert traffic.answers.items() <= logged(engine).items()

    def test_waits_for_a_database_that_is_away(self, tmp_path: Path):
        """Programs of one installation start in any order; a stop meanwhile is still clean."""
        url = "postgresql://weakspot:secret@127.0.0.1:9/weakspot"
        process = start(url, tmp_path)
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "waiting for the database" in line)
            process.send_signal(signal.SIGTERM)

            assert process.wait(10) == 0
            assert "secret" not in line
        finally:
            process.kill()
            process.communicate()


class TestDays:
    """A service on a clock of its own."""

    def test_writes_into_the_day_its_clock_shows(self, engine: Engine, tmp_path: Path):
        """The demonstration lives two weeks in two minutes."""
        noon = datetime(2031, 5, 6, 12, tzinfo=UTC)
        register(engine, tmp_path / "bundles")
        with serving(engine, tmp_path, clock=FixedClock(noon)) as service:
            answer = service.post("/v1/predict", content=jpeg_of("Dog")).json()

            row = service.get(f"/v1/predictions/{answer['id']}").json()

            assert row["at"] == "2031-05-06T12:00:00Z"
            eventually(lambda: _has_days(engine, noon - timedelta(days=1), 9))


def _is_well(service: httpx.Client) -> bool:
    """Whether Postgres is back for the log; with nothing spooled yet it may still be starting."""
    return "Postgres is away" not in service.get("/readyz").text and spooled(service) == 0


def _has_days(engine: Engine, start: datetime, n: int) -> bool:
    with transaction(engine) as connection:
        present = partitions.days_present(connection)
    return present == [(start + timedelta(days=i)).date() for i in range(n)]


def _damage(engine: Engine, version: Version, how: str) -> None:
    """Make a registered bundle unusable."""
    model = Path(version.uri) / files.MODEL
    if how == "alter":
        model.write_bytes(model.read_bytes()[:-1] + b"\x00")
    elif how == "truncate":
        model.write_bytes(model.read_bytes()[:100])
    elif how == "remove":
        shutil.rmtree(version.uri)
    else:  # another whole bundle, which is not the one that was registered
        with transaction(engine) as connection:
            elsewhere = str(Path(version.uri).parent / "v1")
            connection.execute(
                sa.text("UPDATE versions SET uri = :uri WHERE version = 'v2'"), {"uri": elsewhere}
            )


def _refused(engine: Engine) -> list[str]:
    """Return the versions of which people have heard that a service cannot load them."""
    with transaction(engine) as connection:
        return notices.causes(connection, "load")


def _loads(engine: Engine, version: str) -> list[registry.Load]:
    with transaction(engine) as connection:
        return registry.loads(connection, version)
