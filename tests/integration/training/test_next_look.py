"""An exam that ended with "more images" goes on when they are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from core.clock import FixedClock
from core.errors import TrainingError
from core.store import jobs, registry
from core.store.database import transaction
from core.store.job_rows import LOOK_AGAIN
from tests.training import NOW, add, tiny_backbone, tiny_config
from trainer import pipeline
from trainer.pipeline import RetrainOptions, RetrainOutcome

FIRST, SECOND = NOW + timedelta(days=9), NOW + timedelta(days=12)
# Twelve gate images a class rule out no drop of 20 points by the score test.
OPTIONS = RetrainOptions(
    device="cpu",
    learning_rate=5e-3,
    epochs=8,
    gate_margin=0.12,
    gate_overall_margin=0.1,
    max_ece=0.9,
    max_latency_ratio=1000,
)


def _look(
    engine: Engine, folder: Path, at: datetime, options: RetrainOptions = OPTIONS, **payload: object
) -> tuple[jobs.Job, RetrainOutcome]:
    """Carry out a job for Red, and end it as a worker does."""
    with transaction(engine) as connection:
        wanted = {"labels": ["Red"], "reason": "weak", "requested_by": "me", "now": at}
        jobs.enqueue(connection, **wanted, payload=payload)  # type: ignore[arg-type]
        job = jobs.claim_oldest(connection, worker="w", now=at, lease_s=60, max_attempts=9)
    assert job is not None
    outcome = pipeline.retrain(
        engine,
        job,
        options=options,
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(at),
    )
    with transaction(engine) as connection:
        if outcome.promote is not None:
            outcome.promote(connection, now=at)
        jobs.finish(
            connection,
            job,
            status=outcome.status,
            result=outcome.result,
            now=at,
            challenger=outcome.challenger,
        )
    return job, outcome


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures, bundles and runs lie."""
    return tmp_path_factory.mktemp("next-look")


@pytest.fixture(scope="module")
def made(module_engine: Engine, folder: Path) -> tuple[jobs.Job, RetrainOutcome]:
    """A challenger that repaired dull Reds, and too few gate images to show the rest."""
    add(module_engine, folder / "pool", per_side={"train": 12, "val": 8, "test": 12})
    pipeline.train(
        module_engine,
        tiny_config(tiny_backbone(folder)),
        bundles=folder / "bundles",
        runs=folder / "runs",
        clock=FixedClock(NOW),
    )
    sides = {"train": 12, "val": 6, "test": 12}
    add(module_engine, folder / "dull", ["Red"], per_side=sides, now=FIRST, dull=True)
    return _look(module_engine, folder, FIRST)


@pytest.fixture
def first(
    module_engine: Engine, made: tuple[jobs.Job, RetrainOutcome]
) -> Iterator[tuple[jobs.Job, RetrainOutcome]]:
    """The first look; afterwards everything is again as it was then."""
    yield made
    with transaction(module_engine) as connection:
        connection.execute(sa.text("DELETE FROM jobs WHERE id > :first"), {"first": made[0].id})
        connection.execute(sa.text("DELETE FROM images WHERE added_at > :at"), {"at": FIRST})
        if _champion(connection) != "v1":
            registry.roll_back(connection, now=SECOND, by="test", reason="tidy")


def _champion(connection: Connection) -> str | None:
    serving = registry.champion(connection)
    return serving.version if serving else None


class TestNextLook:
    """Nothing is trained; the same challenger is looked at again."""

    def test_settles_it_with_the_images_named(
        self, module_engine: Engine, folder: Path, first: tuple[jobs.Job, RetrainOutcome]
    ):
        """It takes over at the second look, and the page says what the first had said."""
        job, outcome = first
        missing = outcome.result["gate"]["missing"]
        for label, n in missing.items():
            add(module_engine, folder / "new", [label], per_side={"test": n}, now=SECOND, first=12)

        _, again = _look(module_engine, folder, SECOND, **{LOOK_AGAIN: job.id})

        assert (outcome.status, set(missing) >= {"Blue", "Green"}) == ("more images", True)
        assert (again.status, again.challenger) == ("promoted", outcome.challenger)
        assert (again.result["gate"]["look"], len(again.result["looks"])) == (2, 1)
        with transaction(module_engine) as connection:
            assert len(registry.versions(connection)) == 2
            assert _champion(connection) == outcome.challenger

    @pytest.mark.parametrize("term", ["gate_margin", "max_ece", "max_latency_ratio"])
    def test_is_refused_under_other_terms(
        self, module_engine: Engine, folder: Path, first: tuple[jobs.Job, RetrainOutcome], term: str
    ):
        """Terms that are chosen after the first look are no terms."""
        easier = replace(OPTIONS, **{term: 0.95})

        with pytest.raises(TrainingError, match=f"began with {term} .* terms are fixed before"):
            _look(module_engine, folder, SECOND, easier, **{LOOK_AGAIN: first[0].id})

    def test_is_a_new_training_when_another_champion_serves(
        self, module_engine: Engine, folder: Path, first: tuple[jobs.Job, RetrainOutcome]
    ):
        """What was shown against the old champion says nothing about the new one."""
        job, outcome = first
        with transaction(module_engine) as connection:
            challenger = str(outcome.challenger)
            registry.promote(connection, challenger, now=SECOND, by="me", reason="by hand")

        _, again = _look(module_engine, folder, SECOND, **{LOOK_AGAIN: job.id})

        assert again.result.get("looks") is None
