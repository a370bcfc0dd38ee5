"""Workers that die by SIGKILL, whatever they are at, and workers on two machines."""

from __future__ import annotations

import multiprocessing
import signal
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from core.bundle.content import content_digest
from core.clock import FixedClock
from core.store import jobs, registry
from core.store.database import transaction
from core.store.jobs import Job
from tests.training import NOW, add, tiny_backbone, tiny_config
from tests.workers import CLAIMED, LEASE_S, OPTIONS, PROMOTING, fork, work_once, work_through
from trainer import pipeline

LATER = NOW + timedelta(days=9)
# Where each worker in turn dies, and after how much of it. The 48 pictures are six steps a pass.
DEATHS = [
    ("reading images", 1),
    ("training", 3),
    ("training", 9),
    ("exporting", 0),
    ("exporting", 1),
    ("gate images", 1),
    (PROMOTING, 0),
]


def _at(turn: int) -> datetime:
    """A moment at which the lease of the turn before has run out."""
    return LATER + timedelta(seconds=turn * (LEASE_S + 1))


def _champion(engine: Engine) -> str | None:
    with transaction(engine) as connection:
        serving = registry.champion(connection)
    return serving.version if serving else None


def _stored(engine: Engine, job: Job) -> Job:
    with transaction(engine) as connection:
        return jobs.get(connection, job.id)


def _ask(engine: Engine) -> Job:
    with transaction(engine) as connection:
        return jobs.enqueue(connection, labels=["Red"], reason="weak", requested_by="me", now=LATER)


def _digest_of_a_whole_run(engine: Engine, home: Path) -> str:
    """Retrain once without dying, as another job that is then cancelled; say what came of it."""
    asked = _ask(engine)
    with transaction(engine) as connection:
        job = jobs.claim_oldest(connection, worker="w", now=LATER, lease_s=60, max_attempts=9)
        assert job is not None
    outcome = pipeline.retrain(
        engine,
        job,
        options=OPTIONS,
        bundles=home / "bundles",
        runs=home / "runs",
        clock=FixedClock(LATER),
    )
    with transaction(engine) as connection:
        jobs.finish(connection, job, status="failed", result={}, now=LATER)
    assert (asked.id, outcome.status) == (job.id, "promoted")
    return content_digest(home / "bundles" / str(outcome.challenger))


class TestKilled:
    """F12: `kill -9`, the kernel out of memory, a power cut."""

    def test_at_every_stage_the_next_worker_goes_on_and_it_ends_the_same(
        self, engine: Engine, database_url: str, tmp_path: Path
    ):
        """Seven deaths in a row, and the champion is touched by none of them."""
        add(engine, tmp_path / "pool", per_side={"train": 12, "val": 8, "test": 12})
        tiny_backbone(tmp_path)
        champion = pipeline.train(
            engine,
            tiny_config(tmp_path / "tiny-resnet", variants=""),
            bundles=tmp_path / "bundles",
            runs=tmp_path / "runs",
            clock=FixedClock(NOW),
        )
        sides = {"train": 12, "val": 6, "test": 12}
        add(engine, tmp_path / "dull", ["Red"], per_side=sides, now=LATER, dull=True)
        expected = _digest_of_a_whole_run(engine, tmp_path)

        job = _ask(engine)
        for turn, (stage, done) in enumerate(DEATHS):
            killed = fork(work_once, database_url, tmp_path, _at(turn), stage, done)
            killed.join(300)
            assert killed.exitcode == -signal.SIGKILL, stage
            assert (_stored(engine, job).status, _champion(engine)) == ("running", champion.version)
        last = fork(work_once, database_url, tmp_path, _at(len(DEATHS)))
        last.join(300)

        ended = _stored(engine, job)
        assert (ended.status, _champion(engine)) == ("promoted", ended.challenger)
        assert content_digest(tmp_path / "bundles" / str(ended.challenger)) == expected
        stages = [each["stage"].partition(": ")[2] or each["stage"] for each in ended.tries[:-1]]
        assert stages == [stage for stage, _ in DEATHS]
        assert {each["why"] for each in ended.tries[:-1]} == {"its worker fell silent"}
        assert [each["number"] for each in ended.progress["epochs"]] == [1, 2]
        assert not list((tmp_path / "runs").glob("job-*"))
        with transaction(engine) as connection:
            made = [version.version for version in registry.versions(connection)]
        # The first, that of the whole run, and one of all who died after registering it.
        assert len(made) == 3

    def test_too_often_the_job_has_failed_with_the_reason(
        self, engine: Engine, database_url: str, tmp_path: Path
    ):
        """One that takes more memory than there is must not be tried for ever."""
        job = _ask(engine)
        for turn in range(3):
            killed = fork(work_once, database_url, tmp_path, _at(turn), CLAIMED, 0, 2)
            killed.join(300)

        ended = _stored(engine, job)
        told = "given up after 2 tries: its workers fell silent, doomed while beginning"
        assert (ended.status, len(ended.tries), ended.result) == ("failed", 2, {"error": told})


class TestTwoMachines:
    """One queue, one folder of bundles, two workers with a home each."""

    def test_do_each_job_once(self, engine: Engine, database_url: str, tmp_path: Path):
        """A grid is done in half the time, and nothing of it twice."""
        add(engine, tmp_path / "pool", per_side={"train": 4, "val": 2, "test": 2})
        base = tiny_config(tiny_backbone(tmp_path), epochs=1, variants="")
        configs = [asdict(base) | {"seed": seed} for seed in range(3)]
        with transaction(engine) as connection:
            group = jobs.enqueue_group(
                connection, configs=configs, reason="a grid", requested_by="ann", now=NOW
            )
        gate = multiprocessing.get_context("forkserver").Barrier(2)
        bundles = tmp_path / "bundles"
        workers = [
            fork(work_through, database_url, tmp_path / name, bundles, gate) for name in "ab"
        ]
        for worker in workers:
            worker.join(300)

        ended = [_stored(engine, job) for job in group]
        assert [(job.status, len(job.tries)) for job in ended] == [("trained", 1)] * 3
        assert {job.worker for job in ended} == {"a", "b"}
        made = {str(job.challenger) for job in ended}
        assert made == {folder.name for folder in bundles.iterdir()}
        assert len(made) == 3
