"""`weakspot jobs` and `weakspot model promote`, as a person types them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.store import audit, jobs
from core.store.database import transaction
from tests.jobs import LEASE_S, NOW, ask, ask_group, at, claimed, clear, finish
from tests.pool import register
from tests.story import LABELS, verdict_of_the_gate
from weakspot import front
from weakspot.cli import app

Run = Callable[..., tuple[int, str]]
PASS = {
    "number": 1,
    "epochs": 3,
    "train_loss": 0.5,
    "val_loss": None,
    "val_accuracy": 0.75,
    "learning_rate": 0.001,
    "seconds": 2.0,
}


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    """An engine on a queue without jobs."""
    yield module_engine
    clear(module_engine)


@pytest.fixture
def run(
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """The command on this test's database, in this process: (exit code, what it said)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAKSPOT_HOME", str(tmp_path))
    address = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("WEAKSPOT_DATABASE_URL", address)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            front.run(app, list(words))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out or said.err

    return run


class TestJobs:
    """list, show, cancel, retry."""

    def test_are_listed_the_newest_first_and_narrowed(self, engine: Engine, run: Run):
        """For people, and for programs."""
        group = [job.id for job in ask_group(engine, [{"seed": 1}, {"seed": 2}])]
        retraining = ask(engine)
        _, text = run("jobs", "list")
        _, found = run("jobs", "list", "--kind", "train", "--group", str(group[0]), "--json")

        assert [int(line.split()[0]) for line in text.splitlines()] == [retraining.id, *group[::-1]]
        assert [job["id"] for job in json.loads(found)["jobs"]] == group[::-1]

    def test_of_a_group_are_told_apart(self, engine: Engine, run: Run):
        """Six lines that read alike help nobody to find the one that was best."""
        group = ask_group(engine, [{"backbone": "a/b", "seed": 1}, {"backbone": "a/b", "seed": 2}])
        job = claimed(engine)
        metrics = {"test": {"top1": 0.75, "macro_f1": 0.5, "auroc": None, "ece": 0.125}}
        with transaction(engine) as connection:
            result = {"metrics": metrics, "seconds": 9.0}
            jobs.finish(connection, job, status="trained", result=result, now=at(30))

        _, text = run("jobs", "list")
        _, table = run("jobs", "list", "--group", str(group[0].id))
        _, page = run("jobs", "show", str(job.id))
        waiting, trained = text.splitlines()
        assert waiting.endswith("  seed 2")
        assert trained.endswith("  seed 1: top-1 75.0 %, macro F1 0.500, AUROC -, ECE 0.125")
        assert "75.0 %" in table
        assert "backbone             a/b" in page
        assert "came to: top-1 75.0 %" in page

    def test_under_way_show_how_far_they_are(self, engine: Engine, run: Run):
        """Somebody waits for it."""
        ask(engine)
        job = claimed(engine)
        so_far = {"stage": "training", "done": 4, "total": 9, "epochs": [PASS]}
        with transaction(engine) as connection:
            jobs.heartbeat(connection, job, now=NOW, lease_s=LEASE_S, progress=so_far)

        assert "Spider: training 4/9" in run("jobs", "list")[1]
        _, page = run("jobs", "show", str(job.id))
        assert "1/3  loss 0.5000  validation loss -, top-1 75.0 %, 2.0 s" in page
        assert "a from 2026-03-02T02:00:00, under way" in page

    def test_that_have_failed_say_why(self, engine: Engine, run: Run):
        """Each try, too."""
        ask(engine)
        job = claimed(engine)
        error = {"error": "class 'Spider' has no training images"}
        with transaction(engine) as connection:
            jobs.finish(connection, job, status="failed", result=error, now=at(30))

        assert run("jobs", "list", "--status", "failed")[1].strip().endswith(error["error"])
        assert f"error: {error['error']}" in run("jobs", "show", str(job.id))[1]

    def test_show_the_gates_page_of_numbers(self, engine: Engine, run: Run):
        """A person can follow the decision: margins, bounds, p, calibration, latency."""
        ask(engine)
        job, verdict = claimed(engine), verdict_of_the_gate(LABELS)
        result = {"gate": verdict.to_dict()}
        with transaction(engine) as connection:
            jobs.finish(connection, job, status="refused", result=result, now=at(30))

        page = run("jobs", "show", str(job.id))[1]
        assert page.strip().endswith(verdict.to_text())
        assert "p = 2e-31, adjusted 2e-31" in page

    def test_are_cancelled_and_tried_again(self, engine: Engine, run: Run):
        """Under the name of who typed it."""
        job = ask(engine)
        told = [run("jobs", deed, str(job.id)) for deed in ("cancel", "cancel", "retry")]
        with transaction(engine) as connection:
            deeds = {(deed.by, deed.action) for deed in audit.latest(connection, 2)}

        assert [code for code, _ in told] == [0, 1, 0]
        assert "is cancelled" in told[0][1]
        assert "has ended: cancelled" in told[1][1]
        assert deeds == {(front.user(), "cancel"), (front.user(), "retry")}

    def test_under_way_end_at_the_next_report(self, engine: Engine, run: Run):
        """And the list says so until then."""
        ask(engine)
        job = claimed(engine, now=front.clock().now())

        assert "ends at its worker's next report" in run("jobs", "cancel", str(job.id))[1]
        assert "to be cancelled" in run("jobs", "list")[1]
        finish(engine, job, "cancelled")

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["list", "--status", "asleep"], 2),
            (["list", "--kind", "x"], 2),
            (["show", "99999"], 1),
        ],
    )
    def test_that_there_are_not_are_named(self, run: Run, words: list[str], code: int):
        """With what there is."""
        assert run("jobs", *words)[0] == code


class TestPromote:
    """`weakspot model promote`."""

    def test_needs_the_gate_or_force_and_a_reason(self, engine: Engine, run: Run, tmp_path: Path):
        """And says what to do."""
        register(engine, tmp_path / "bundles")
        register(engine, tmp_path / "bundles", name="v2", promoted_at=None)
        refused = run("model", "promote", "v2")
        unsaid = run("model", "promote", "v2", "--force")
        forced = run("model", "promote", "v2", "--force", "--reason", "a new camera")
        with transaction(engine) as connection:
            deed = audit.latest(connection)[0]

        assert (refused[0], unsaid[0], forced[0]) == (1, 2, 0)
        assert "has not passed the gate against the champion v1" in refused[1]
        assert "needs a reason" in unsaid[1]
        assert (deed.by, deed.detail["reason"]) == (front.user(), "by force: a new camera")
