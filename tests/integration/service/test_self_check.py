"""A service asks the version that it serves about its frozen images: real loads, real threads."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.bundle import files
from core.bundle.runner import Runner
from core.bundle.trial import Trial
from core.clock import FixedClock, ShiftedClock
from core.errors import StoreError
from core.images.preprocess import preprocess
from core.store import alert_rules, database, notices, outbox, sentinel_checks
from core.store.alert_policy import parse
from core.store.alerts import Alert
from core.store.database import transaction
from core.store.registry import Version
from core.store.sentinel_checks import Check
from monitor.diagnosis import sentinel_watch
from service.model.batcher import Batcher
from service.model.model_slot import ModelSlot, Serving
from service.self_check import SelfCheck
from tests.faults import eventually, gate, program, promote
from tests.pool import register
from tests.serving import serving
from tests.tiny import LABELS, picture
from weakspot import front
from weakspot.cli import app

NOW = datetime.fromisoformat("2026-03-05T12:00:00+00:00")


def _checks(engine: Engine) -> list[Check]:
    with transaction(engine) as connection:
        return sentinel_checks.latest(connection)


def _verdicts(engine: Engine) -> list[str]:
    return [check.verdict for check in _checks(engine)]


def _alert(engine: Engine) -> Alert | None:
    with transaction(engine) as connection:
        return notices.unresolved(connection, "runtime", "v1")


def _other_bits_before(engine: Engine) -> None:
    """Let the service have given other bits when it first loaded the version."""
    with transaction(engine) as connection:
        connection.execute(sa.text("UPDATE sentinel_baselines SET answers = repeat('0', 64)"))


@pytest.fixture
def version(engine: Engine, tmp_path: Path) -> Version:
    """The champion."""
    return register(engine, tmp_path / "bundles")


class TestService:
    """What a running service does by itself."""

    def test_asks_when_it_has_loaded_a_version(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """What it gives then is what it has to give from now on."""
        with serving(engine, tmp_path):
            eventually(lambda: _checks(engine))

        (check,) = _checks(engine)
        with transaction(engine) as connection:
            before = sentinel_checks.baseline(connection, "v1", check.place, "onnxruntime-fp32")
        assert (check.version, check.verdict) == (version.version, "first here")
        assert check.asked_by.startswith("service on ")
        assert check.place.endswith("one by one")
        assert before is not None
        assert before.answers == check.answers

    def test_asks_again_every_day(self, engine: Engine, version: Version, tmp_path: Path):
        """The same bits, whichever day it is."""
        shift = tmp_path / "shift"
        with serving(engine, tmp_path, clock=ShiftedClock(shift)):
            eventually(lambda: len(_checks(engine)) == 1)
            shift.write_text("86400")
            eventually(lambda: len(_checks(engine)) == 2)

        today, yesterday = _checks(engine)
        assert (today.verdict, yesterday.verdict) == ("same", "first here")
        assert today.day - yesterday.day == timedelta(days=1)

    def test_asks_every_version_that_it_is_given(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """A promotion is a load like any other."""
        with serving(engine, tmp_path):
            eventually(lambda: _checks(engine))
            register(engine, tmp_path / "next", name="v2", promoted_at=None)
            promote(engine, "v2")
            eventually(lambda: len(_checks(engine)) == 2)

        assert {check.version for check in _checks(engine)} == {"v1", "v2"}

    def test_raises_the_alert_when_its_bits_have_changed(
        self, engine: Engine, version: Version, tmp_path: Path
    ):
        """The monitor's own engine may be as it was: nobody else could notice."""
        with serving(engine, tmp_path):
            eventually(lambda: _checks(engine))
        _other_bits_before(engine)
        with serving(engine, tmp_path) as client:
            eventually(lambda: _alert(engine))
            # The alert is committed a moment before the service knows its own verdict.
            eventually(lambda: "weakspot_runtime_changed 1.0" in client.get("/metrics").text)
            told = client.get("/v1/alerts").json()["alerts"]

        assert _verdicts(engine) == ["runtime"]
        assert [each["kind"] for each in told] == ["runtime"]
        assert "In the service on " in told[0]["body"]

    def test_with_workers_asks_in_the_engine_process_alone(
        self, engine: Engine, database_url: str, version: Version, tmp_path: Path
    ):
        """One model, one check, whatever the number of fronts."""
        knobs = {"workers": 2, "engine": "onnxruntime-fp32", "trial_s": 0.01}
        with program(database_url, tmp_path, **knobs):
            eventually(lambda: _checks(engine), within_s=30)

        assert _verdicts(engine) == ["first here"]


class TestTelling:
    """What the monitor makes of a service's checks."""

    @pytest.fixture
    def changed(self, engine: Engine, version: Version) -> FixedClock:
        """A service gives other bits than before, and somebody would hear of it."""
        with transaction(engine) as connection:
            channel = {
                "name": "ops",
                "url": "https://hooks.example.com/x",
                "secret": "env:WEAKSPOT_SECRET",
            }
            alert_rules.write(connection, parse({"channels": [channel]}), by="test", now=NOW)
            asked = sentinel_watch.ask(version, NOW.date(), now=NOW)
            sentinel_watch.settle(connection, asked)
        checked = _check_of(engine, version, FixedClock(NOW))
        checked.look()
        _other_bits_before_of_service(engine)
        later = FixedClock(NOW + timedelta(days=1))
        _check_of(engine, version, later).look()
        return later

    def test_is_told_once_however_often_it_looks(self, engine: Engine, changed: FixedClock):
        """The service can write an alert, and not send it."""
        for _ in range(3):
            sentinel_watch.look(engine, clock=changed)

        with transaction(engine) as connection:
            (message,) = outbox.latest(connection)
        assert "gives other answers than before" in message.message["title"]

    def test_is_told_as_over_when_it_was_accepted(self, engine: Engine, changed: FixedClock):
        """A person says so, and the monitor tells the others."""
        sentinel_watch.look(engine, clock=changed)
        with transaction(engine) as connection:
            accepted = sentinel_checks.accept(connection, "v1", by="ann", now=changed.now())
        sentinel_watch.look(engine, clock=changed)

        assert accepted.asked_by == "service on here"
        assert _alert(engine) is None
        with transaction(engine) as connection:
            assert len(outbox.latest(connection)) == 2

    def test_stays_open_while_the_monitor_itself_finds_nothing(
        self, engine: Engine, version: Version, changed: FixedClock
    ):
        """Its own engine is another one, and no proof of the service's."""
        with transaction(engine) as connection:
            asked = sentinel_watch.ask(version, NOW.date(), now=changed.now())
            check = sentinel_watch.settle(connection, asked)
            sentinel_watch.tell(connection, "v1", now=changed.now())

        assert check.verdict == "same"
        assert _alert(engine) is not None

    def test_is_over_when_the_service_has_gone(self, engine: Engine, changed: FixedClock):
        """A machine that was taken away asks no more."""
        gone = FixedClock(changed.now() + timedelta(days=2, seconds=1))
        sentinel_watch.look(engine, clock=gone)

        assert _alert(engine) is None

    def test_is_no_class_to_blame_for(self, engine: Engine, changed: FixedClock):
        """Exams are computed by the monitor, whose bits are what they were."""
        with transaction(engine) as connection:
            last = sentinel_checks.last(connection, "v1")
            since = sentinel_checks.unsound_since(connection, "v1", changed.now().date())

        assert last is not None
        assert (last.is_sound, since) == (True, None)


class TestCommand:
    """`weakspot model accept`, as a person types it."""

    def test_accepts_what_a_service_gives(
        self,
        engine: Engine,
        version: Version,
        database_url: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ):
        """From then on these bits are the baseline, and the alert is over."""
        monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path))
        monkeypatch.setenv("WEAKSPOT_DATABASE_URL", database_url)
        now = FixedClock(datetime.now(UTC))
        _check_of(engine, version, now).look()
        _other_bits_before(engine)
        _check_of(engine, version, now).look()
        raised = _alert(engine)

        with pytest.raises(SystemExit) as ended:
            front.run(app, ["model", "accept", "v1", "--json"])
        again = _check_of(engine, version, now).look()

        said = json.loads(capsys.readouterr().out)
        assert (ended.value.code or 0, said["asked_by"]) == (0, "service on here")
        assert raised is not None
        assert _alert(engine) is None
        assert again is not None
        assert again.verdict == "same"


class TestPostgresAway:
    """A service goes on answering then, and so does its check."""

    def test_writes_what_it_found_once_it_is_back(
        self, engine: Engine, database_url: str, version: Version
    ):
        """Nothing is asked twice: by then the files may have gone."""
        with gate(database_url) as way:
            through = database.create_engine(way.url)
            checked = _check_of(through, version, FixedClock(NOW))
            way.shut()
            with pytest.raises(StoreError):
                checked.look()
            (Path(version.uri) / files.SENTINELS).unlink()
            way.open()
            check = checked.look()
            through.dispose()

        assert check is not None
        assert (check.verdict, _verdicts(engine)) == ("first here", ["first here"])


class TestGivingWay:
    """Callers come first."""

    def test_begins_no_image_while_others_wait(self, engine: Engine, version: Version):
        """A check that delayed answers would be a fault of its own."""
        batcher = _batcher()
        checked = _check_of(engine, version, FixedClock(NOW), batcher)

        async def ask_while_one_waits() -> list[object]:
            runner = Runner.open(Path(version.uri), "cpu", 1)
            waiting = batcher.submit(runner, preprocess(picture("Cat"), runner.recipe))
            thread = threading.Thread(target=checked.look)
            thread.start()
            await asyncio.sleep(0.3)
            before = checked.last
            batcher.start()
            outcome = await waiting
            await asyncio.to_thread(thread.join)
            return [before, LABELS[int(outcome.probabilities.argmax())], checked.last is None]

        assert asyncio.run(ask_while_one_waits()) == [None, "Cat", False]
        batcher.stop()

    def test_is_given_up_when_the_service_stops(self, engine: Engine, version: Version):
        """A stop must not wait for a frozen set."""
        checked = _check_of(engine, version, FixedClock(NOW))
        checked.start()
        checked.stop()

        assert checked.look() is None
        assert _checks(engine) == []

    def test_says_that_the_bundle_has_gone(self, engine: Engine, version: Version):
        """What serves goes on serving; after a restart it could not."""
        checked = _check_of(engine, version, FixedClock(NOW))
        (Path(version.uri) / files.SENTINELS).unlink()
        check = checked.look()

        assert check is not None
        assert check.verdict == "model"


def _batcher() -> Batcher:
    return Batcher(threads=1, max_batch_size=8, max_queue=8)


def _check_of(
    engine: Engine, version: Version, clock: FixedClock, batcher: Batcher | None = None
) -> SelfCheck:
    """Return the check of a service that has loaded this version."""
    runner = Runner.open(Path(version.uri), "cpu", 1)
    slot = ModelSlot()
    trial = Trial(runner.engine, ())
    slot.swap(Serving(runner, trial, version.name, version.digest, clock.now()))
    return SelfCheck(
        engine, slot, _batcher() if batcher is None else batcher, clock=clock, host="here"
    )


def _other_bits_before_of_service(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(
            sa.text(
                "UPDATE sentinel_baselines SET answers = repeat('0', 64) "
                "WHERE place LIKE '%one by one'"
            )
        )
