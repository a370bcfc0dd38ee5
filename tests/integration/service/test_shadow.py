"""A challenger that waits for gate images answers a share of the traffic, too: real processes."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine

from core.bundle import files
from core.clock import FixedClock
from core.images.preprocess import Recipe, preprocess
from core.store import challengers, jobs, predictions
from core.store.challengers import Beside, SecondOpinion
from core.store.database import transaction
from core.store.job_rows import Outcome
from core.store.partitions import ensure_partitions
from core.store.predictions import Prediction, new_id
from service.shadow.shadow import Habits, Shadow, Told
from service.upkeep import Upkeep
from tests.faults import eventually, program
from tests.pool import admit, register
from tests.serving import jpeg_of, serving
from tests.tiny import forge, picture, tiny_bundle
from weakspot import front
from weakspot.cli import app

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
SPIDER = preprocess(picture("Spider"), Recipe(16, 16, resize=16))


def ended(
    engine: Engine,
    status: Outcome,
    *,
    challenger: str | None = "v2",
    label: str = "Spider",
    against: str = "v1",
) -> None:
    """Let a retraining for one class end."""
    asked = {"labels": [label], "reason": "weak", "requested_by": "monitor", "now": NOW}
    with transaction(engine) as connection:
        jobs.enqueue(connection, **asked)  # type: ignore[arg-type]
        job = jobs.claim_oldest(connection, worker="w", now=NOW, lease_s=60, max_attempts=3)
        assert job is not None
        result = {"champion": against}
        jobs.finish(connection, job, status=status, result=result, now=NOW, challenger=challenger)


def predicted(label: str = "Spider", version: str = "v1") -> Prediction:
    """Return an answer of the champion."""
    return Prediction(new_id(NOW), NOW, version, label, 0.9, [], 0.8, 0.1, {}, 1.0, "ab" * 32)


def beside(engine: Engine) -> list[Beside]:
    """Return how v2 stands beside champions."""
    with transaction(engine) as connection:
        return challengers.beside(connection, "v2")


@pytest.fixture
def waits(engine: Engine, tmp_path: Path) -> Engine:
    """The database of a champion, v1, and a challenger that takes every Spider for a Cat, v2."""
    register(engine, tmp_path / "bundles")
    confused = {"confuse": ("Spider", "Cat"), "promoted_at": None}
    register(engine, tmp_path / "bundles", name="v2", **confused)  # type: ignore[arg-type]
    ended(engine, "more images")
    return engine


@dataclass
class Desk:
    """A shadow that is moved by hand, and what it told."""

    engine: Engine
    shadow: Shadow = field(init=False)
    idle: bool = True
    scored: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        told = Told(self._on_scored, self._on_dropped)
        self.shadow = Shadow(
            self.engine,
            is_idle=lambda: self.idle,
            habits=Habits(1.0, buffer=3, rest_s=0.0),
            told=told,
        )

    def offer(self, n: int = 1) -> None:
        """Answer so many Spiders."""
        for _ in range(n):
            self.shadow.offer(predicted(), SPIDER)

    def _on_scored(self, n: int) -> None:
        self.scored += n

    def _on_dropped(self, why: str, n: int) -> None:
        self.dropped[why] = self.dropped.get(why, 0) + n


@pytest.fixture
def desk(waits: Engine) -> Iterator[Desk]:
    """A shadow that has found the challenger."""
    made = Desk(waits)
    made.shadow.look()
    yield made
    made.shadow.start()
    made.shadow.stop()


class TestWaiting:
    """Which challenger waits."""

    def _found(self, engine: Engine, champion: str = "v1") -> str | None:
        with transaction(engine) as connection:
            found = challengers.waiting(connection, champion)
        return found.version if found else None

    def test_is_the_one_that_lacks_gate_images(self, waits: Engine):
        """Of this champion; before another one it has sat no exam."""
        assert self._found(waits) == "v2"
        assert self._found(waits, "v2") is None

    @pytest.mark.parametrize("status", ["refused", "promoted", "failed"])
    def test_is_none_when_a_later_look_has_settled_it(self, waits: Engine, status: Outcome):
        """The last verdict counts."""
        ended(waits, status)

        assert self._found(waits) is None

    def test_goes_on_when_a_later_look_has_not(self, waits: Engine):
        """There may be many looks."""
        ended(waits, "more images")

        assert self._found(waits) == "v2"

    def test_is_none_when_its_class_has_had_another_job_since(self, waits: Engine):
        """The monitor looks at the last job for a class, and never again at those before."""
        ended(waits, "failed", challenger=None, label="Cat")
        assert self._found(waits) == "v2"

        ended(waits, "failed", challenger=None)

        assert self._found(waits) is None


class TestSample:
    """Which predictions are in it."""

    def test_holds_its_share_and_that_of_every_smaller_one(self):
        """By the id alone: the same prediction always, whatever either version says of it."""
        ids = [new_id(NOW) for _ in range(4000)]

        tenth = {each for each in ids if challengers.is_sampled(each, 0.1)}
        half = {each for each in ids if challengers.is_sampled(each, 0.5)}

        assert len(tenth) == pytest.approx(400, abs=100)
        assert tenth < half
        assert all(challengers.is_sampled(each, 1.0) for each in ids)
        assert not any(challengers.is_sampled(each, 0.0) for each in ids)


class TestShadow:
    """Offered pictures, looked at by hand."""

    def test_keeps_what_the_challenger_says(self, desk: Desk):
        """Of a Spider, which it takes for a Cat."""
        desk.offer(2)

        assert desk.shadow.score() == 2

        (found,) = beside(desk.engine)
        with transaction(desk.engine) as connection:
            rows = challengers.differing(connection, "v2")
        assert (found.champion, found.scored, found.differing) == ("v1", 2, 2)
        assert {(row.answered, row.label) for row in rows} == {("Spider", "Cat")}
        assert all(0.5 < row.probability <= 1 for row in rows)

    def test_waits_while_anybody_else_does_and_drops_what_has_no_room(self, desk: Desk):
        """An answer comes first, and a buffer that grows would be a delay of another kind."""
        desk.idle = False
        desk.offer(5)
        assert (desk.shadow.score(), desk.shadow.waiting, desk.dropped) == (0, 3, {"full": 2})

        desk.idle = True

        assert (desk.shadow.score(), desk.scored, desk.shadow.waiting) == (3, 3, 0)

    def test_takes_an_offer_in_no_time_while_the_challenger_hangs(self, desk: Desk):
        """The request that offers never waits, whatever becomes of the picture."""
        os.kill(desk.shadow.process, signal.SIGSTOP)
        begun = time.perf_counter()

        desk.offer(1000)

        assert time.perf_counter() - begun < 2  # a thousand waits would be minutes
        assert desk.dropped == {"full": 997}

    def test_leaves_out_answers_of_another_version(self, desk: Desk):
        """It is held against one champion."""
        desk.shadow.offer(predicted(version="v0"), SPIDER)

        assert desk.shadow.waiting == 0

    @pytest.mark.parametrize("how", ["settled", "another champion"])
    def test_lets_go_of_a_challenger_that_waits_no_more(self, desk: Desk, tmp_path: Path, how: str):
        """Settled, or its champion is gone: its process ends, and what waits is counted."""
        process = desk.shadow.process
        desk.offer(2)
        if how == "settled":
            ended(desk.engine, "refused")
        else:
            register(desk.engine, tmp_path / "bundles", name="v3", promoted_at=NOW)

        desk.shadow.look()

        assert (desk.shadow.process, desk.dropped) == (0, {"replaced": 2})
        assert not Path(f"/proc/{process}").exists()

    def test_survives_a_challenger_that_crashes(self, desk: Desk):
        """It is named, and tried again after a while, not at once."""
        os.kill(desk.shadow.process, signal.SIGKILL)
        desk.offer(2)

        assert desk.shadow.score() == 0
        desk.shadow.look()

        assert (desk.shadow.process, desk.dropped) == (0, {"failed": 2})
        assert not desk.shadow.state.ok
        assert "v2 cannot be scored beside v1" in desk.shadow.state.detail
        assert "signal 9" in desk.shadow.state.detail

    def test_names_a_challenger_that_cannot_be_loaded(self, waits: Engine, tmp_path: Path):
        """Altered since it was registered: nobody may answer under its name."""
        forge(tmp_path / "bundles/v2", {files.MODEL: b"no graph"})
        desk = Desk(waits)

        desk.shadow.look()
        desk.offer()

        assert (desk.shadow.state.ok, desk.shadow.waiting) == (False, 0)
        assert "v2 cannot be scored" in desk.shadow.state.detail

    def test_names_a_challenger_that_takes_other_pictures(self, engine: Engine, tmp_path: Path):
        """The champion's pictures would be squeezed for it as for nobody."""
        register(engine, tmp_path / "bundles")
        admit(engine, tiny_bundle(tmp_path / "bundles", version="v2", size=20), promoted_at=None)
        ended(engine, "more images")
        desk = Desk(engine)

        desk.shadow.look()

        assert "20 x 20" in desk.shadow.state.detail


class TestLabels:
    """What labels of differing predictions say."""

    def test_say_who_is_right(self, waits: Engine):
        """One each, and one that both have wrong."""
        said = [predicted() for _ in range(4)]
        with transaction(waits) as connection:
            ensure_partitions(connection, [NOW.date()])
            predictions.insert_many(connection, said)
            challengers.write(connection, [_cat(each) for each in said])
            for each, truth in zip(said, ("Cat", "Spider", "Dog"), strict=False):
                predictions.set_label(connection, each.id, truth, by="ann", now=NOW)

        (found,) = beside(waits)

        assert (found.differing, found.labelled, found.gained, found.lost) == (4, 3, 1, 1)

    def test_go_with_the_predictions(self, waits: Engine):
        """What retention drops, it drops whole."""
        old = predicted()
        with transaction(waits) as connection:
            challengers.write(connection, [_cat(old)])
        Upkeep(waits, clock=FixedClock(NOW + timedelta(days=6)), retention_days=5).run_once()
        assert beside(waits) == []


class TestService:
    """A running service, with one request after the other."""

    def test_scores_beside_its_answers_and_shows_it(
        self,
        waits: Engine,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ):
        """Over HTTP, in the metrics, and as `weakspot model show` and `data wanted` tell it."""
        with serving(waits, tmp_path, shadow_share=1.0) as client:
            eventually(lambda: "v2 is scored" in _check(client)["detail"], within_s=60)
            ids = {_ask(client, label) for label in ("Spider", "Dog", "Spider", "Cat")}
            eventually(lambda: beside(waits) and beside(waits)[0].scored == 4, within_s=60)
            shown = client.get("/v1/models/v2", params={"limit": 1}).json()
            told = client.get("/metrics").text
            unknown = client.get("/v1/models/v9").status_code
        monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path))
        address = waits.url.render_as_string(hide_password=False)
        monkeypatch.setenv("WEAKSPOT_DATABASE_URL", address)
        said = [_run(words, capsys) for words in ("model show v2", "data wanted")]

        assert [row["scored"] for row in shown["shadow"]] == [4]
        assert [row["share"] for row in shown["shadow"]] == [0.5]
        (one,) = shown["differing"]
        assert UUID(one["prediction"]) in ids
        assert (one["answered"], one["label"]) == ("Spider", "Cat")
        assert "weakspot_shadow_scored_total 4.0" in told
        assert 'weakspot_shadow_dropped_total{why="full"} 0.0' in told
        assert unknown == 404
        assert "4 answers beside v1" in said[0]
        assert "2 differ, 50.0 %" in said[0]
        assert "v2 and v1 answer 2 of 4 sampled predictions differently" in said[1]

    def test_answers_all_the_same_when_the_challenger_cannot_be_loaded(
        self, waits: Engine, tmp_path: Path
    ):
        """It is ready, and says which challenger it is."""
        forge(tmp_path / "bundles/v2", {files.MODEL: b"no graph"})
        with serving(waits, tmp_path, shadow_share=1.0) as client:
            eventually(lambda: not _check(client)["ok"], within_s=60)
            ready = client.get("/readyz").status_code
            _ask(client, "Dog")

        assert ready == 200

    def test_has_no_shadow_with_a_share_of_nothing(self, waits: Engine, tmp_path: Path):
        """Off is off."""
        with serving(waits, tmp_path, shadow_share=0.0) as client:
            assert "shadow" not in client.get("/readyz").json()["checks"]

    def test_scores_in_the_first_front_of_many(
        self, waits: Engine, database_url: str, tmp_path: Path
    ):
        """The pictures are in the fronts; one of them stands for all."""
        knobs = {"workers": 2, "threads": 2, "engine": "onnxruntime-fp32", "trial_s": 0.01}
        with program(database_url, tmp_path, shadow_share=0.5, **knobs) as (_, address):

            def scored() -> bool:
                # A connection each, so that the first front is among those who answer.
                for _ in range(4):
                    with httpx.Client(base_url=address, timeout=20) as client:
                        _ask(client, "Spider")
                return bool(beside(waits))

            eventually(scored, within_s=60)

        assert beside(waits)[0].champion == "v1"


def _cat(prediction: Prediction) -> SecondOpinion:
    return SecondOpinion("v2", prediction.id, prediction.at, "v1", prediction.label, "Cat", 0.9)


def _ask(client: httpx.Client, label: str) -> UUID:
    answer = client.post("/v1/predict", content=jpeg_of(label))
    assert answer.status_code == 200
    return UUID(answer.json()["id"])


def _check(client: httpx.Client) -> dict[str, object]:
    return client.get("/readyz").json()["checks"]["shadow"]


def _run(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as over:
        front.run(app, words.split())
    assert not over.value.code
    return capsys.readouterr().out
