"""`serve --workers N`: several processes, and every promise as with one.

One service with two fronts answers most questions here; those that break it start their own.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from core.store import keys
from core.store.database import transaction
from core.store.keys import Grant
from tests.faults import eventually, gate, program, promote, spooled, start
from tests.pool import register
from tests.serving import Traffic, jpeg_of, logged, serving

_KNOBS = {"workers": 2, "threads": 2, "engine": "onnxruntime-fp32", "trial_s": 0.01}
_LABELS = ("Cat", "Dog", "Spider")
_HEARD_S = 1.0  # fronts say ten times a second how many connections have ended


@dataclass(frozen=True)
class Running:
    """A service with two fronts."""

    process: subprocess.Popen[str]
    address: str

    def fronts(self) -> set[int]:
        """Return the process ids of its fronts."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        pids = {int(pid) for task in tasks for pid in task.read_text().split()}
        return {pid for pid in pids if "service.front" in _command(pid)}

    @contextmanager
    def clients(self, number: int) -> Iterator[list[httpx.Client]]:
        """Give clients with a connection each, to all fronts alike."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(httpx.Client(base_url=self.address, timeout=20))
                for _ in range(number)
            ]


@contextmanager
def workers(url: str, home: Path, **knobs: object) -> Iterator[Running]:
    """Run a service with two fronts."""
    with program(url, home, **(_KNOBS | knobs)) as (process, address):
        yield Running(process, address)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended
        return ""


def _connections(running: Running) -> list[int]:
    """Return how many connections of callers each front holds, fewest first."""
    port = f":{int(running.address.rsplit(':', 1)[1]):04X}"
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    open_here = {f"socket:[{row[9]}]" for row in table if row[1].endswith(port) and row[3] == "01"}
    return sorted(len(open_here & _descriptors(pid)) for pid in running.fronts())


def _descriptors(pid: int) -> set[str]:
    return {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}


def _url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def _value(page: str, name: str) -> float:
    lines = [line for line in page.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@pytest.fixture(scope="module")
def shared(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that nobody breaks."""
    home = tmp_path_factory.mktemp("home")
    register(module_engine, home / "bundles")
    with workers(_url(module_engine), home) as running:
        yield running


class TestAnswers:
    """What callers see of a service with workers."""

    def test_are_those_of_one_process(self, shared: Running, engine: Engine, tmp_path: Path):
        """The way over shared memory changes no bit of an answer."""
        pictures = [jpeg_of(label, seed) for label in _LABELS for seed in range(4)]
        register(engine, tmp_path / "bundles")
        with serving(engine, tmp_path) as alone, shared.clients(2) as clients:
            expected = [_said(alone, picture) for picture in pictures]
            found = [[_said(client, picture) for picture in pictures] for client in clients]

        assert found == [expected, expected]

    def test_are_logged_once_each(self, shared: Running, module_engine: Engine):
        """Every front writes its own rows."""
        before = logged(module_engine)
        with Traffic(shared.address, callers=6) as traffic:
            traffic.wait_for(100)

        new = {key: value for key, value in logged(module_engine).items() if key not in before}
        assert (traffic.refusals, traffic.broken) == ([], 0)
        assert new == traffic.answers

    def test_say_the_same_of_the_model(self, shared: Running):
        """Whoever asks hears of the version and of every engine that was tried."""
        with shared.clients(2) as clients:
            said = [client.get("/v1/model").json() for client in clients]

        assert said[0] == said[1]
        assert said[0]["version"] == "v1"
        assert said[0]["engines"][0]["images_per_s"] > 0

    def test_refuse_a_caller_in_a_hurry(self, shared: Running):
        """What 1 ms cannot do is refused, and its slot is given back: the next are answered."""
        with shared.clients(1) as (client,):
            hurried = [
                client.post("/v1/predict?timeout_ms=1", content=jpeg_of("Cat")).status_code
                for _ in range(30)
            ]
            patient = client.post("/v1/predict", content=jpeg_of("Cat"))

        assert set(hurried) <= {200, 503}
        assert patient.status_code == 200

    def test_come_from_all_fronts_alike(self, shared: Running):
        """The kernel would give one front nearly everything."""
        eventually(lambda: _connections(shared) == [0, 0])  # those of the tests before
        time.sleep(_HEARD_S)
        with shared.clients(8) as clients:
            for client in clients:
                client.get("/healthz")
            spread = _connections(shared)

        assert spread == [4, 4]


def _said(client: httpx.Client, picture: bytes) -> tuple[object, object]:
    answer = client.post("/v1/predict", content=picture).json()
    return answer["label"], answer["top"]


class TestMetrics:
    """One page for all processes."""

    def test_add_up_whoever_is_asked(self, shared: Running):
        """A scrape lands at any front, and a counter must not jump about."""
        with shared.clients(4) as clients:
            before = _value(clients[0].get("/metrics").text, "weakspot_predictions_total")
            for client in clients:
                for _ in range(3):
                    client.post("/v1/predict", content=jpeg_of("Dog"))
            pages = [client.get("/metrics").text for client in clients]

        counted = [_value(page, "weakspot_predictions_total") - before for page in pages]
        assert counted == [12] * 4
        assert {_value(page, "weakspot_model_info") for page in pages} == {1}
        assert {_value(page, "weakspot_fronts ") for page in pages} == {2}


class TestKeys:
    """Callers with keys."""

    def test_have_one_rate_at_all_fronts(self, engine: Engine, tmp_path: Path):
        """A key of six requests a minute has six, not six at each front; likewise wrong keys."""
        register(engine, tmp_path / "bundles")
        with transaction(engine) as connection:
            grant = Grant(("read",), per_minute=6)
            key = keys.create(connection, "app", grant, by="test", now=datetime.now(UTC))[1]
        with (
            workers(_url(engine), tmp_path, require_keys=True) as running,
            running.clients(4) as clients,
        ):
            known, wrong = {"X-API-Key": key}, {"X-API-Key": "wrong"}
            answers = [clients[i % 4].get("/v1/model", headers=known) for i in range(10)]
            guesses = [clients[i % 4].get("/v1/model", headers=wrong) for i in range(24)]

        assert [each.status_code for each in answers] == [200] * 6 + [429] * 4
        assert [each.status_code for each in guesses] == [401] * 20 + [429] * 4


class TestIdempotency:
    """One answer for one key, whichever fronts are asked."""

    def test_holds_at_all_fronts_without_postgres(self, engine: Engine, tmp_path: Path):
        """Postgres, which would tell them apart, is away; then all of it is one row."""
        register(engine, tmp_path / "bundles")
        with (
            gate(_url(engine)) as way,
            workers(way.url, tmp_path) as running,
            running.clients(4) as clients,
        ):
            way.shut()
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(_under_one_key, clients * 3))
            way.open()
            eventually(lambda: spooled(clients[0]) == 0, within_s=40)
            answers += map(_under_one_key, clients)

        assert [each.text for each in answers if each.status_code != 200] == []
        assert len({each.json()["id"] for each in answers}) == 1
        assert set(logged(engine)) == {answers[0].json()["id"]}


def _under_one_key(client: httpx.Client) -> httpx.Response:
    key = {"Idempotency-Key": "the same"}
    return client.post("/v1/predict", content=jpeg_of("Dog"), headers=key)


class TestPromotion:
    """The champion changes under load."""

    def test_loses_and_mixes_nothing(self, engine: Engine, tmp_path: Path):
        """F17: no errors; each answer names one version, and its row the same."""
        register(engine, tmp_path / "bundles")
        # The second calls every Dog a Spider, so an answer shows which version really gave it.
        register(
            engine, tmp_path / "bundles", name="v2", promoted_at=None, confuse=("Dog", "Spider")
        )
        with (
            workers(_url(engine), tmp_path, reload_s=30) as running,
            running.clients(4) as clients,
            Traffic(running.address, callers=6) as traffic,
        ):
            for version in ("v2", "v1", "v2"):
                traffic.wait_for(20)
                promote(engine, version)
                for client in clients:
                    eventually(lambda client=client, wanted=version: _serves(client, wanted))
                said = [_named(client) for client in clients]
                assert set(said) == {(version, "Dog" if version == "v1" else "Spider")}
            traffic.wait_for(20)

        assert (traffic.refusals, traffic.broken) == ([], 0)
        assert set(traffic.answers.values()) == {"v1", "v2"}
        assert logged(engine) == traffic.answers | _of_clients(engine, traffic)


def _serves(client: httpx.Client, version: str) -> bool:
    return client.get("/v1/model").json()["version"] == version


def _named(client: httpx.Client) -> tuple[str, str]:
    answer = client.post("/v1/predict", content=jpeg_of("Dog")).json()
    return answer["model"]["version"], answer["label"]


def _of_clients(engine: Engine, traffic: Traffic) -> dict[str, str]:
    """Return the twelve rows of the clients that looked between the promotions."""
    rows = {key: value for key, value in logged(engine).items() if key not in traffic.answers}
    assert len(rows) == 12
    return rows


class TestDeath:
    """A process is killed."""

    def test_of_a_front_leaves_the_others_answering(self, engine: Engine, tmp_path: Path):
        """Its own connections break; it comes back; what was answered is logged."""
        register(engine, tmp_path / "bundles")
        with workers(_url(engine), tmp_path) as running:
            before = running.fronts()
            with Traffic(running.address, callers=6) as traffic, running.clients(1) as (client,):
                traffic.wait_for(50)
                counted = _value(client.get("/metrics").text, "weakspot_predictions_total")
                # The oldest connections are spread alike; the client's own may break, too.
                os.kill(min(before), signal.SIGKILL)
                traffic.wait_for(50)
                eventually(lambda: len(running.fronts() | before) == 3, within_s=40)
                eventually(lambda: _fronts_ready(running) == 2, within_s=40)
                traffic.wait_for(20)
                page = httpx.get(f"{running.address}/metrics").text

        assert traffic.refusals == []
        assert 1 <= traffic.broken <= 6
        assert set(traffic.answers) <= set(logged(engine))
        assert _value(page, "weakspot_predictions_total") >= counted
        assert _value(page, "weakspot_fronts_lost_total") == 1

    def test_of_the_engine_process_leaves_nothing_running(self, engine: Engine, tmp_path: Path):
        """No orphan goes on answering with a model that nobody promotes."""
        register(engine, tmp_path / "bundles")
        with workers(_url(engine), tmp_path) as running:
            fronts = running.fronts()
            with Traffic(running.address, callers=4) as traffic:
                traffic.wait_for(20)
                running.process.kill()
                eventually(lambda: not any(_command(pid) for pid in fronts))

        assert len(fronts) == 2
        assert set(traffic.answers) <= set(logged(engine))


def _fronts_ready(running: Running) -> float:
    return _value(httpx.get(f"{running.address}/metrics").text, "weakspot_fronts ")


class TestStop:
    """SIGTERM."""

    def test_finishes_what_was_accepted(self, engine: Engine, tmp_path: Path):
        """Whoever got an answer has a row, nobody is left running, and the exit code is 0."""
        register(engine, tmp_path / "bundles")
        with workers(_url(engine), tmp_path) as running:
            fronts = running.fronts()
            with Traffic(running.address, callers=6) as traffic:
                traffic.wait_for(50)
                running.process.terminate()
                code = running.process.wait(60)

        assert code == 0
        assert not any(_command(pid) for pid in fronts)
        assert {code for _, code, _ in traffic.refusals} <= {"overloaded"}
        assert logged(engine) == traffic.answers

    def test_comes_while_it_starts(self, engine: Engine, tmp_path: Path):
        """It ends at once and in order, though no front is ready yet."""
        register(engine, tmp_path / "bundles")
        process = start(_url(engine), tmp_path, **_KNOBS)
        time.sleep(1.5)
        process.terminate()
        _, said = process.communicate(timeout=60)

        assert process.returncode in {0, -signal.SIGTERM}, said
        assert "Traceback" not in said


class TestStart:
    """A front that cannot work."""

    def test_fails_with_the_sentence_of_a_single_process(self, engine: Engine, tmp_path: Path):
        """A person reads why, once, and the exit code says that it is the settings."""
        (tmp_path / "spool").write_text("a file where the folder should be")
        process = start(_url(engine), tmp_path, **_KNOBS)
        _, said = process.communicate(timeout=60)

        assert process.returncode == 2
        assert "weakspot: the spool folder" in said
