"""The champion moved by a person: through the gate or by force, over HTTP and by command."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.errors import ConflictError, UsageError
from core.store import audit, jobs, promotions, registry
from core.store.database import transaction
from tests.jobs import NOW, ask, at, clear
from tests.pool import register
from tests.serving import serving

FORCED = {"force": True, "reason": "a new camera"}


def _make(engine: Engine, bundles: Path) -> None:
    """v1 serves; v2 and v3 could."""
    register(engine, bundles)
    for name in ("v2", "v3"):
        register(engine, bundles, name=name, promoted_at=None)


@pytest.fixture
def client(engine: Engine, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service on those versions."""
    _make(engine, tmp_path / "bundles")
    with serving(engine, tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def home(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of those versions, for tests that move nothing, or take it back."""
    folder = tmp_path_factory.mktemp("home")
    _make(module_engine, folder / "bundles")
    return folder


@pytest.fixture(scope="module")
def settled(module_engine: Engine, home: Path) -> Iterator[httpx.Client]:
    """A service that all refusals are asked of."""
    with serving(module_engine, home) as client:
        yield client


@pytest.fixture
def shelf(module_engine: Engine, home: Path) -> Iterator[Engine]:
    """An engine on those versions; moves and jobs are taken back afterwards."""
    with transaction(module_engine) as connection:
        (first,) = registry.history(connection)
    yield module_engine
    clear(module_engine)
    with transaction(module_engine) as connection:
        connection.execute(sa.text("DELETE FROM aliases WHERE id > :first"), {"first": first.id})


def _promote(engine: Engine, version: str, **how: object) -> str | None:
    with transaction(engine) as connection:
        return promotions.promote(connection, version, now=at(90), by="ann", **how)  # type: ignore[arg-type]


def _passed(engine: Engine, challenger: str, champion: str) -> None:
    """Let a retraining end with a challenger that passed, though it was not promoted."""
    ask(engine)
    result = {"champion": champion, "gate": {"passed": True}}
    with transaction(engine) as connection:
        job = jobs.claim_oldest(connection, worker="w", now=NOW, lease_s=60, max_attempts=3)
        assert job is not None
        jobs.finish(connection, job, status="failed", result=result, now=NOW, challenger=challenger)


class TestPromote:
    """core.store.promotions."""

    def test_refuses_what_has_not_passed_the_gate(self, shelf: Engine):
        """Only what is proven better goes live."""
        with pytest.raises(ConflictError, match="has not passed the gate against the champion v1"):
            _promote(shelf, "v2", reason="I like it")

    def test_takes_what_has_passed_against_the_champion(self, shelf: Engine):
        """It was rolled back, say, and is wanted again."""
        _passed(shelf, "v2", "v1")

        assert _promote(shelf, "v2") == "v1"

    def test_counts_no_pass_against_another_champion(self, shelf: Engine):
        """Better than the one before says nothing about the one now."""
        _passed(shelf, "v2", "v1")
        _promote(shelf, "v3", **FORCED)

        with pytest.raises(ConflictError, match="against the champion v3"):
            _promote(shelf, "v2")

    @pytest.mark.parametrize("reason", [None, "", "  "])
    def test_force_needs_a_reason(self, shelf: Engine, reason: str | None):
        """Somebody will ask, months later."""
        with pytest.raises(UsageError, match="needs a reason"):
            _promote(shelf, "v2", reason=reason, force=True)

    def test_force_is_in_the_audit_trail(self, shelf: Engine):
        """Who, when and why, and what served before."""
        _promote(shelf, "v2", **FORCED)

        with transaction(shelf) as connection:
            deed = audit.latest(connection)[0]
        assert (deed.by, deed.at, deed.subject) == ("ann", at(90), "v2")
        assert deed.detail == {"reason": "by force: a new camera", "before": "v1"}

    def test_is_refused_when_another_champion_is_meant(self, shelf: Engine):
        """Whoever looked before the last move looks again."""
        with pytest.raises(ConflictError, match="the champion is v1 and not v3"):
            _promote(shelf, "v2", over="v3", **FORCED)

    def test_refuses_the_champion_itself(self, shelf: Engine):
        """Nothing would move."""
        with pytest.raises(ConflictError, match="is the champion already"):
            _promote(shelf, "v1")


def test_the_first_champion_needs_no_gate(engine: Engine, tmp_path: Path):
    """There is nothing to be better than."""
    register(engine, tmp_path / "bundles", promoted_at=None)

    assert _promote(engine, "v1") is None


class TestRollBack:
    """core.store.registry.roll_back: back along the line of promotions."""

    @pytest.mark.parametrize(
        ("moves", "gone_through"),
        [
            (["v2", "v3", "back", "back"], ["v2", "v1"]),
            (["v2", "back", "v3", "back"], ["v1", "v1"]),
            (["v2", "back", "v2", "v3", "back", "back"], ["v1", "v2", "v1"]),
            (["v2", "v3", "v2", "back", "back"], ["v3", "v1"]),
        ],
    )
    def test_never_goes_to_what_was_rolled_back(
        self, shelf: Engine, moves: list[str], gone_through: list[str]
    ):
        """F18: a person rolls back after the monitor did, and must not get the bad one again."""
        seen: list[str] = []
        for minute, move in enumerate(moves):
            with transaction(shelf) as connection:
                how = {"now": at(100 + minute), "by": "ann", "reason": "worse"}
                if move == "back":
                    seen.append(registry.roll_back(connection, **how)[1])
                else:
                    registry.promote(connection, move, **how)

        assert seen == gone_through

    def test_ends_at_the_first_champion(self, shelf: Engine):
        """Nothing is left but what was taken away."""
        _promote(shelf, "v2", **FORCED)
        with transaction(shelf) as connection:
            registry.roll_back(connection, now=at(91), by="ann", reason="worse")

        with (
            pytest.raises(ConflictError, match="not rolled back itself"),
            transaction(shelf) as connection,
        ):
            registry.roll_back(connection, now=at(92), by="ann", reason="worse")


class TestRoutes:
    """`POST /v1/models/{version}/promote` and `/v1/models/rollback`."""

    def test_of_two_promotions_at_once_one_wins(self, engine: Engine, client: httpx.Client):
        """F18: the other is told 409, and history is linear."""
        barrier = threading.Barrier(2)

        def promote(version: str) -> int:
            barrier.wait()
            path = f"/v1/models/{version}/promote"
            return client.post(path, json=FORCED | {"over": "v1"}).status_code

        with ThreadPoolExecutor(2) as threads:
            codes = sorted(threads.map(promote, ["v2", "v3"]))
        with transaction(engine) as connection:
            moves = [move.version for move in registry.history(connection)]

        assert codes == [200, 409]
        assert (len(moves), moves[0]) == (2, "v1")

    def test_move_it_there_and_back(self, engine: Engine, client: httpx.Client):
        """Each under who did it, and why."""
        there = client.post("/v1/models/v2/promote", json=FORCED)
        stale = client.post("/v1/models/rollback", json={"reason": "worse", "over": "v1"})
        back = client.post("/v1/models/rollback", json={"reason": "worse at night", "over": "v2"})
        with transaction(engine) as connection:
            deeds = [(each.by, each.action) for each in audit.latest(connection, 2)[::-1]]

        assert there.json() == {"champion": "v2", "before": "v1"}
        assert (stale.status_code, back.json()) == (409, {"champion": "v1", "before": "v2"})
        assert deeds == [("http", "promote"), ("http", "roll back")]

    @pytest.mark.parametrize(
        ("path", "sent", "status"),
        [
            ("v9/promote", FORCED, 404),
            ("v2/promote", {}, 409),
            ("v2/promote", {"force": True}, 422),
            ("v2/promote", {"force": True, "reason": ""}, 422),
            ("v2/promote", {"with": "x"}, 422),
            ("rollback", {"reason": "r"}, 409),
            ("rollback", {}, 422),
            ("rollback", {"reason": "r", "over": "v9"}, 409),
        ],
    )
    def test_say_what_is_wrong(self, settled: httpx.Client, path: str, sent: object, status: int):
        """As a problem, and nothing moves."""
        answer = settled.post(f"/v1/models/{path}", json=sent)

        assert (answer.status_code, answer.json()["status"]) == (status, status)

    def test_refuse_a_bundle_that_was_altered(self, settled: httpx.Client, home: Path):
        """F16; and the answer names no folder."""
        (home / "bundles/v3/model.onnx").write_bytes(b"")
        answer = settled.post("/v1/models/v3/promote", json=FORCED)

        assert (answer.status_code, str(home) in answer.text) == (409, False)

    def test_roll_a_running_service_back_within_seconds(self, engine: Engine, client: httpx.Client):
        """F18: from the request to answers by the old version, under 5 s."""
        _promote(engine, "v2", **FORCED)
        _until(lambda: _serves(client) == "v2")
        started = time.monotonic()
        client.post("/v1/models/rollback", json={"reason": "worse at night"})
        _until(lambda: _serves(client) == "v1")

        assert time.monotonic() - started < 5


def _serves(client: httpx.Client) -> str:
    version: str = client.get("/v1/model").json()["version"]
    return version


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
