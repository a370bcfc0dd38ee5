"""The training page over real rows: jobs of the queue, versions, and a search that Optuna keeps."""

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy import Engine

from core.clock import FixedClock
from core.store import job_lines, jobs, trial_lines
from core.store.database import transaction
from core.store.job_lines import JobLine
from dashboard.app import create_app, draw
from dashboard.door.caller import OWNER
from dashboard.page import House
from dashboard.pages.training import facts as training_facts
from dashboard.pages.training.facts import Training
from dashboard.pages.training.view import TrainingView
from tests import searches
from tests.board import HOSTILE
from tests.jobs import LEASE_S, NOW, ask, ask_group, at, cancel, claimed, clear
from tests.pool import register

pytest.importorskip("optuna")

PASSES = [
    {"number": 1, "epochs": 4, "train_loss": 1.2, "val_loss": 1.1, "val_accuracy": 0.5},
    {"number": 2, "epochs": 4, "train_loss": 0.7, "val_loss": None, "val_accuracy": 0.75},
]


@pytest.fixture(scope="module")
def kept(module_engine: Engine) -> Engine:
    """A database with one search in it."""
    searches.search(module_engine)
    return module_engine


@pytest.fixture
def queue(kept: Engine) -> Iterator[Engine]:
    """The same, with an empty queue."""
    clear(kept)
    yield kept
    clear(kept)


def gather(engine: Engine, now: float = 20, **view: Any) -> Training:
    """Gather the page some seconds after NOW."""
    with transaction(engine) as connection:
        return training_facts.gather(connection, TrainingView(**view), now=at(now))


def house(engine: Engine) -> House:
    """What the dashboard is told of it."""
    return House(engine, FixedClock(NOW), Path())


def page(engine: Engine, search: str = "", now: float = 20) -> str:
    """Draw the page, and return it as the JSON that is sent."""
    drawn = draw(house(engine), "/training", search, caller=OWNER, now=at(now))
    return json.dumps(drawn.content, cls=PlotlyJSONEncoder, ensure_ascii=False)


def under_way(engine: Engine) -> jobs.Job:
    """Let a worker be at the second of four passes of a retraining."""
    ask(engine)
    job = claimed(engine)
    progress = {"stage": "fitting", "done": 2, "total": 4, "epochs": PASSES}
    with transaction(engine) as connection:
        jobs.heartbeat(connection, job, now=at(10), lease_s=LEASE_S, progress=progress)
    return job


class TestJobs:
    """What runs, what waits, what ended."""

    def test_shows_the_job_under_way_with_its_passes(self, queue: Engine):
        """Progress is visible while it runs."""
        job = under_way(queue)

        facts = gather(queue)

        assert facts.course is not None
        assert (facts.course.line.id, facts.course.passes) == (job.id, PASSES)
        assert facts.course.line.last_pass == PASSES[-1]
        assert "fitting 2 of 4; pass 2 of 4, 75 % right" in page(queue)

    def test_says_that_a_worker_is_silent(self, queue: Engine):
        """Figures that look live and are not are worse than none."""
        under_way(queue)

        assert "silent" not in page(queue)
        late = page(queue, now=10 + LEASE_S + 1)
        assert "is silent" in late
        assert "this may be out of date" in late

    def test_stand_in_the_order_of_their_turn_and_then_of_their_end(self, queue: Engine):
        """What is next comes first."""
        first, second, third = ask_group(queue, [{}, {}, {}])
        cancel(queue, second)
        running = claimed(queue)
        retraining = ask(queue)

        lines = gather(queue).jobs

        assert running.id == first.id
        assert [each.id for each in lines] == [first.id, third.id, retraining.id, second.id]

    def test_tell_the_reasons_of_the_gate(self, queue: Engine):
        """A refusal without its reason is a riddle."""
        ask(queue)
        job = claimed(queue)
        reasons = [f"Class {i} is shown to be worse" for i in range(2500)]
        with transaction(queue) as connection:
            result = {"gate": {"reasons": reasons, "classes": [{"label": "x"}] * 2500}}
            jobs.finish(connection, job, status="refused", result=result, now=at(30))

        line = gather(queue).jobs[0]

        assert (line.reasons, line.n_reasons) == (reasons[: job_lines.MOST_REASONS], 2500)
        assert "Class 0 is shown to be worse (and 2,499 more reasons)" in page(queue)
        assert "2,495 more reasons" in page(queue)

    def test_tell_why_they_failed(self, queue: Engine):
        """In the words of the worker."""
        ask(queue)
        job = claimed(queue)
        with transaction(queue) as connection:
            result = {"error": "no room for <b>images</b>"}
            jobs.finish(connection, job, status="failed", result=result, now=at(30))

        assert "Failed: no room for <b>images</b>" in page(queue)

    def test_one_can_be_chosen_by_the_address(self, queue: Engine):
        """A pasted link shows the same job."""
        first, _ = ask_group(queue, [{}, {}])

        chosen = gather(queue, job=first.id).course

        assert chosen is not None
        assert chosen.line.id == first.id
        assert "There is no such job" in page(queue, "?job=999")

    def test_name_at_most_a_few_classes(self, queue: Engine):
        """All classes of a large model may be weak at once."""
        ask(queue, [f"Class {i}" for i in range(100)])

        said = page(queue)

        assert "and 96 more classes" in said
        assert "Class 50" not in said

    def test_are_bounded_however_many_there_are(self, queue: Engine):
        """A queue grows for years; the page does not."""
        with transaction(queue) as connection:
            connection.execute(_MANY_JOBS, {"now": NOW})

        facts = gather(queue)

        assert len(facts.jobs) == 2 * training_facts.MOST_JOBS
        assert sum(facts.counts.values()) == 2500
        assert "2,450 more jobs" in page(queue)

    def test_link_to_the_versions_they_made(self, queue: Engine, tmp_path: Path):
        """From a run to what came of it, and back."""
        register(queue, tmp_path / "bundles", name="v1")
        register(queue, tmp_path / "bundles", name="v2", promoted_at=None)
        ask(queue)
        job = claimed(queue)
        with transaction(queue) as connection:
            end = {"status": "refused", "result": {}, "now": at(30), "challenger": "v2"}
            jobs.finish(connection, job, **end)

        facts = gather(queue)

        assert [(v.version, v.is_champion, v.job) for v in facts.versions] == [
            ("v2", False, job.id),
            ("v1", True, None),
        ]
        assert '"href": "#version-v2"' in page(queue)


class TestSearch:
    """A search and its trials."""

    def test_has_every_trial_with_its_last_pass(self, kept: Engine):
        """What the charts are drawn from."""
        found = gather(kept).searches

        assert found is not None
        assert found.shown is not None
        states = [each.state for each in found.shown.trials]
        assert [states.count(s) for s in ("COMPLETE", "PRUNED", "FAIL", "RUNNING")] == [8, 2, 1, 1]
        assert (found.shown.trials[3].passes, found.shown.trials[11].passes) == (1, 2)
        assert found.shown.options[0] == max(
            found.shown.importance, key=lambda name: found.shown.importance[name]
        )

    def test_is_drawn_with_all_its_panels(self, queue: Engine):
        """History, importance, side by side, table."""
        said = page(queue)

        for name in ("history", "importance", "parallel", "trials", "pick"):
            assert f'"id": "{name}"' in said
        assert "could not be drawn" not in said

    def test_that_is_unknown_is_said_to_be(self, queue: Engine):
        """An old link."""
        assert "There is no search 'gone'" in page(queue, "?search=gone")

    def test_says_that_a_trial_is_silent(self, queue: Engine):
        """Its process was killed, and nobody has taken it up."""
        with transaction(queue) as connection:
            connection.execute(_OLD_HEARTBEAT)

        said = page(queue)

        with transaction(queue) as connection:
            connection.execute(sa.text("DELETE FROM optuna.trial_heartbeats"))
        assert "Trial 11 has not been heard of for half a minute" in said
        assert "Trial 11 has not been heard of" not in page(queue)

    def test_before_the_first_the_page_says_how_to_begin(self, engine: Engine):
        """Optuna's tables are made by the first search."""
        said = page(engine)

        assert "No search yet. weakspot tune" in said
        assert "No job has been asked for yet" in said
        assert "could not be drawn" not in said

    def test_kept_by_another_release_leaves_the_jobs_on_the_page(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ):
        """Optuna's tables are Optuna's."""
        ask(engine)
        with transaction(engine) as connection:
            connection.execute(sa.text("CREATE SCHEMA optuna"))
            connection.execute(sa.text("CREATE TABLE optuna.studies (other int)"))

        said = page(engine)

        assert "The searches cannot be read" in said
        assert "1 job waits" in said
        assert "the searches cannot be read" in caplog.text

    def test_of_thousands_of_trials_is_bounded_and_quick(self, engine: Engine):
        """Whoever searches for a week looks at the same page."""
        searches.search(engine, "long", trials_n=1)
        with transaction(engine) as connection:
            for statement in _MANY_TRIALS:
                connection.execute(sa.text(statement))

        began = time.perf_counter()
        found = gather(engine).searches
        said = page(engine)
        took = time.perf_counter() - began

        assert found is not None
        assert found.shown is not None
        assert (found.shown.n_trials, len(found.shown.trials)) == (3001, training_facts.MOST_TRIALS)
        assert "The latest 2,500 are shown" in said
        assert len(said) < 1_500_000
        assert took < 10


class TestCsv:
    """The trials as a file."""

    def test_has_every_trial_and_no_formula(self, kept: Engine):
        """A name or an error that a spreadsheet program would carry out."""
        with transaction(kept) as connection:
            connection.execute(_ARMED, {"value": json.dumps("=HYPERLINK(1)")})
        client = create_app(house(kept)).server.test_client()

        answer = client.get("/training/trials.csv?search=rates")
        rows = list(csv.DictReader(io.StringIO(answer.text)))

        assert (answer.status_code, answer.mimetype) == (200, "text/csv")
        assert [row["trial"] for row in rows] == [str(i) for i in range(12)]
        assert rows[8]["error"] == "'=HYPERLINK(1)"
        assert {row["ema"] for row in rows} == {"", "0.99"}

    @pytest.mark.parametrize("search", ["", "?search=", "?search=gone", f"?search={HOSTILE}"])
    def test_of_no_search_is_404(self, kept: Engine, search: str):
        """And never somebody else's."""
        client = create_app(house(kept)).server.test_client()

        assert client.get(f"/training/trials.csv{search}").status_code == 404


class TestLines:
    """core.store.job_lines and trial_lines."""

    def test_there_is_no_job_of_another_number(self, kept: Engine):
        """An old link."""
        with transaction(kept) as connection:
            assert job_lines.course(connection, 10**17) is None

    def test_only_a_running_job_is_silent(self, queue: Engine):
        """What waits has no worker to be heard of."""
        ask(queue)
        line: JobLine = gather(queue).jobs[0]

        assert not line.is_silent(NOW + timedelta(days=1))

    def test_there_is_no_search_of_another_name(self, kept: Engine):
        """Nor is the nearest one meant."""
        with transaction(kept) as connection:
            assert trial_lines.search(connection, "rate", 10) is None
            assert trial_lines.names(connection) == ["rates"]


_MANY_JOBS = sa.text("""
    INSERT INTO jobs (kind, labels, reason, requested_by, requested_at, status, fence, attempts,
                      progress, priority, payload, tries, finished_at)
    SELECT 'train', '[]', 'a grid', 'ann', :now,
           CASE WHEN i % 2 = 0 THEN 'queued' ELSE 'failed' END, 0, 0, '{}', 0, '{}', '[]',
           CASE WHEN i % 2 = 1 THEN CAST(:now AS timestamptz) END
      FROM generate_series(1, 2500) i
""")
_OLD_HEARTBEAT = sa.text("""
    INSERT INTO optuna.trial_heartbeats (trial_id, heartbeat)
    SELECT trial_id, (now() AT TIME ZONE 'UTC') - interval '1 hour'
      FROM optuna.trials WHERE state = 'RUNNING'
""")
_ARMED = sa.text("""
    UPDATE optuna.trial_user_attributes SET value_json = :value WHERE key = 'error'
""")
_MANY_TRIALS = (
    """INSERT INTO optuna.trials (number, study_id, state, datetime_start, datetime_complete)
       SELECT i, (SELECT min(study_id) FROM optuna.studies), 'COMPLETE', now(), now()
         FROM generate_series(1, 3000) i""",
    """INSERT INTO optuna.trial_values (trial_id, objective, value, value_type)
       SELECT trial_id, 0, 0.5 + (number % 97) / 200.0, 'FINITE'
         FROM optuna.trials WHERE number > 0""",
    """INSERT INTO optuna.trial_intermediate_values
                   (trial_id, step, intermediate_value, intermediate_value_type)
       SELECT trial_id, step, 0.5, 'FINITE'
         FROM optuna.trials, generate_series(1, 10) step WHERE number > 0""",
    """INSERT INTO optuna.trial_user_attributes (trial_id, key, value_json)
       SELECT trial_id, 'options', json_build_object('learning_rate', 0.0001 * (1 + number % 900),
                                                     'augment', 'light', 'ema', 0.99)
         FROM optuna.trials WHERE number > 0""",
)
