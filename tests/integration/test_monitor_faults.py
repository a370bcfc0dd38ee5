"""Monitors that are killed, paused, or started twice: real processes against a real Postgres.

A picture that lies on a slow server holds a process in the middle of its exam for as long as it
takes: the server answers when the test says so.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.clock import ShiftedClock
from core.store import alerts, class_state, due, runs, validations
from core.store.database import transaction
from monitor import schedule
from monitor.page import MonitorOptions
from monitor.status import status, step_of
from tests.pool import add_pictures, day, night_after, register

ONCE = ("monitor", "--once", "--json")


@dataclass
class Home:
    """A home in which v1 serves from day 1 on, and whose programs live in March."""

    engine: Engine
    url: str
    path: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def clock_file(self) -> Path:
        """The file that moves the programs' clock."""
        return self.path / "clock"

    def live_at(self, moment: datetime) -> None:
        """Set the clock of all programs; it goes on from there."""
        shift_s = round((moment - datetime.now(UTC)).total_seconds())
        aside = self.clock_file.with_suffix(".new")
        aside.write_text(str(shift_s), encoding="ascii")
        aside.replace(self.clock_file)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start the command as a process."""
        environment = os.environ | {
            "WEAKSPOT_DATABASE_URL": self.url,
            "WEAKSPOT_HOME": str(self.path),
            "WEAKSPOT_CLOCK_FILE": str(self.clock_file),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "weakspot", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def once(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run `monitor --once` to its end; its exit code and what it printed."""
        return _end(self.start(*ONCE, *words))

    def exam(self) -> str | None:
        """Return where day 1's exam stands."""
        with transaction(self.engine) as connection:
            found = validations.get(connection, day(1), "v1")
        return found.status if found else None

    def run(self) -> Any:
        """Return the run started last."""
        with transaction(self.engine) as connection:
            found = runs.latest(connection, 1, (due.DAY,))
        return found[0] if found else _Nothing()


@dataclass
class _Nothing:
    detail: dict[str, Any] = field(default_factory=dict)


class SlowServer(ThreadingHTTPServer):
    """Has one picture, and gives it to nobody until `feed`, or to newcomers after `mend`."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Slowly)
        self.content = content
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.mended = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the picture."""
        return f"http://127.0.0.1:{self.server_port}/picture.png"

    def mend(self) -> None:
        """Answer at once from now on; who waits already goes on waiting."""
        self.mended = True

    def feed(self) -> None:
        """Give the picture to whoever waits, and to all who come."""
        self.gate.set()


class _Slowly(BaseHTTPRequestHandler):
    server: SlowServer

    def do_GET(self) -> None:
        if not self.server.mended:
            self.server.asked.set()
            self.server.gate.wait(60)
        # Whoever was killed meanwhile takes nothing.
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's word
        """Say nothing."""


@pytest.fixture
def home(engine: Engine, database_url: str, tmp_path: Path) -> Iterator[Home]:
    """Such a home, in the night after day 1; what still runs at the end is killed."""
    register(engine, tmp_path / "bundles")
    built = Home(engine, database_url, tmp_path)
    built.live_at(night_after(1).now())
    yield built
    for process in built.processes:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@pytest.fixture
def slow(home: Home) -> Iterator[SlowServer]:
    """A pool of day 1 in which spiders look like cats, and one picture lies on a slow server."""
    paths = add_pictures(home.engine, home.path / "pool", day(1), shown_as={"Spider": "Cat"})
    server = SlowServer(paths[0].read_bytes())
    moved = sa.text("UPDATE images SET uri = :url WHERE uri = :path")
    with transaction(home.engine) as connection:
        connection.execute(moved, {"url": server.url, "path": str(paths[0])})
    yield server
    server.feed()
    server.shutdown()
    server.server_close()


class TestKilled:
    """F05: a monitor that is killed in the middle of an exam."""

    def test_f05_the_next_one_finishes_the_same_exam_once(self, home: Home, slow: SlowServer):
        """One draw, one result, one alert; and until the lease is over, the day is held."""
        first = home.start(*ONCE)
        assert slow.asked.wait(60)
        first.kill()
        slow.mend()
        held = home.once("--fail-if-held")
        home.live_at(night_after(1).now() + timedelta(minutes=10))
        code, said = home.once()

        assert (held[0], held[1]["outcome"]) == (5, "held")
        assert (code, said["days"][0]["judged"], said["days"][0]["opened"]) == (0, 30, ["Spider"])
        with transaction(home.engine) as connection:
            assert len(validations.latest(connection)) == 1
            assert len(alerts.latest(connection)) == 1


class TestPaused:
    """F06: a monitor that is stopped for two hours, and goes on."""

    def test_f06_its_writes_are_refused_once_another_has_taken_over(
        self, home: Home, slow: SlowServer
    ):
        """What the second wrote stays as it is, to the last row."""
        first = home.start(*ONCE)
        assert slow.asked.wait(60)
        first.send_signal(signal.SIGSTOP)
        slow.mend()
        home.live_at(night_after(1).now() + timedelta(hours=2))
        second = home.once()
        after = (home.run(), home.exam())
        first.send_signal(signal.SIGCONT)
        slow.feed()
        code, said = _end(first)

        assert (second[0], second[1]["outcome"], home.run().fence) == (0, "done", 2)
        assert (code, said["outcome"]) == (0, "held")
        assert (home.run(), home.exam()) == after


class TestTwoAtOnce:
    """F04: two monitors that start in the same moment."""

    def test_f04_one_examines_the_day_and_the_other_says_who(self, home: Home, slow: SlowServer):
        """Both end with 0, and the day has one run under its first fence."""
        both = [home.start(*ONCE) for _ in range(2)]
        _wait_for(lambda: any(process.poll() is not None for process in both))
        loser = next(process for process in both if process.poll() is not None)
        winner = next(process for process in both if process is not loser)
        slow.feed()
        ends = [_end(loser), _end(winner)]

        assert [(code, said["outcome"]) for code, said in ends] == [(0, "held"), (0, "done")]
        assert ends[0][1]["days"][0]["detail"].endswith(f"/{winner.pid}")
        assert (home.run().fence, home.run().outcome) == (1, "done")


class TestOnce:
    """`weakspot monitor --once`, and what its exit code says."""

    def test_nothing_due_is_0(self, home: Home):
        """A scheduler may call it as often as it likes."""
        home.live_at(night_after(1).now() - timedelta(hours=1))

        assert home.once() == (0, {"outcome": "nothing due", "days": [], "failed": []})

    def test_an_invalid_exam_is_3(self, home: Home):
        """F26: a lost folder is no result; the scheduler tries again."""
        for path in add_pictures(home.engine, home.path / "pool", day(1), per_label=2):
            path.unlink()
        code, said = home.once()

        assert (code, said["outcome"], said["days"][0]["status"]) == (3, "invalid", "invalid")

    def test_a_database_that_is_away_is_4(self, home: Home):
        """Postgres is down: nothing is known of the days."""
        home.url = "postgresql://127.0.0.1:1/weakspot"
        code, said = home.once()

        assert (code, said["error"]) == (4, "StoreAwayError")

    def test_a_lost_bundle_is_1_and_names_the_day(self, home: Home):
        """Somebody has to look."""
        add_pictures(home.engine, home.path / "pool", day(1), per_label=2)
        home.path.joinpath("bundles/v1/model.onnx").write_bytes(b"")
        code, said = home.once()

        assert (code, said["failed"][0]["day"]) == (1, day(1).isoformat())

    def test_sigterm_gives_the_day_back(self, home: Home, slow: SlowServer):
        """F20: a pod that is moved leaves no lease behind."""
        process = home.start(*ONCE)
        assert slow.asked.wait(60)
        process.send_signal(signal.SIGTERM)
        slow.feed()
        code, said = _end(process)

        assert (code, said["outcome"], home.run().outcome) == (1, "stopped", "failed")

    def test_status_names_the_last_run_of_every_step(self, home: Home):
        """What a day consists of, and how long each part took."""
        add_pictures(home.engine, home.path / "pool", day(1), per_label=2)
        home.once()
        code, said = _end(home.start("monitor", "--status", "--json"))

        assert (code, said["last_examined"], said["due"]) == (0, day(1).isoformat(), [])
        done = {step["step"]: (step["outcome"], step["slot"]) for step in said["steps"]}
        expected = {"rollup", "draw", "validation", "drift", "rules", "shadow", "flags", "alerts"}
        assert expected | {"judging", "retraining"} <= set(done)
        assert set(done.values()) == {("done", day(1).isoformat())}
        assert all(step["seconds"] >= 0 for step in said["steps"])


class TestJudging:
    """Rules, flags, alerts and retraining are one transaction, whose steps nobody sees before."""

    def test_says_so_meanwhile_and_when_it_was_killed(self, home: Home):
        """Else the status says "drift" for as long as it takes, and a dead one leaves no trace."""
        add_pictures(home.engine, home.path / "pool", day(1), per_label=2)
        with transaction(home.engine) as connection:
            class_state.lock(connection, "v1")
            process = home.start(*ONCE)
            _wait_for(lambda: step_of(home.run()) == "judging")
            with transaction(home.engine) as looking:
                now = ShiftedClock(home.clock_file).now()
                text = status(looking, now, MonitorOptions()).to_text()
            process.kill()
            process.wait()

        assert f"at work: {day(1)} v1 by " in text
        assert ", judging" in text
        last = home.run().detail["steps"][-1]
        assert (last["step"], last["outcome"]) == ("judging", "running")


class TestClockJumps:
    """F07: the clock is set while the program runs."""

    def test_f07_a_day_ahead_and_a_day_back_leave_no_day_out_and_none_double(self, home: Home):
        """What is due is examined at once; what was done too early, again under its next fence."""
        for number in (1, 2, 3):
            add_pictures(home.engine, home.path / "pool", day(number), per_label=2)
        stop = threading.Event()
        thread = threading.Thread(
            target=schedule.run_forever,
            args=(home.engine,),
            kwargs={
                "options": MonitorOptions(per_class=2),
                "clock": ShiftedClock(home.clock_file),
                "holder": "test",
                "reports": home.path / "reports",
                "stop": stop,
                "beat_s": 0.1,
            },
        )
        thread.start()
        try:
            for last, until in ((1, 1), (2, 2), (1, 1), (3, 3)):
                home.live_at(night_after(last).now() + timedelta(minutes=5))
                _wait_for(lambda until=until: _done(home.engine) == _days(until))
        finally:
            stop.set()
            thread.join(20)

        with transaction(home.engine) as connection:
            done = runs.latest(connection, kinds=(due.DAY,))
            assert sorted((run.slot, run.fence) for run in done) == [
                (_days(1)[-1], 1),
                (_days(2)[-1], 2),
                (_days(3)[-1], 1),
            ]
            assert len(validations.latest(connection)) == 3


def _days(last: int) -> list[str]:
    return [day(number).isoformat() for number in range(1, last + 1)]


def _done(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return sorted(runs.done_slots(connection, (due.DAY,), "2026-01-01", "2026-12-31"))


def _end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    output, complaints = process.communicate(timeout=90)
    assert output, complaints
    said: dict[str, Any] = json.loads(output)
    return process.returncode, said


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
