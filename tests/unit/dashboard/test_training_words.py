"""What is said of jobs and trials."""

from typing import Any

import pytest

from core.store.job_lines import JobLine
from dashboard.pages.training import words as training_words
from dashboard.pages.training.facts import Training
from dashboard.pages.training.view import TrainingView
from dashboard.parts.saying import plain
from tests.board import NOW, moment


def job(status: str = "running", **changed: Any) -> JobLine:
    """Return a retraining of one class, asked for and begun on 14 March."""
    values: dict[str, Any] = dict.fromkeys(JobLine.__dataclass_fields__)
    known = {
        "id": 7,
        "kind": "retrain",
        "labels": ["Dog"],
        "n_labels": 1,
        "backbone": "",
        "reason": "a flag",
        "requested_by": "monitor",
        "requested_at": moment(14),
        "status": status,
        "lease_until": NOW,
        "tries": 1,
        "stage": "",
        "done": 0,
        "total": 0,
        "error": "",
        "reasons": [],
        "n_reasons": 0,
    }
    return JobLine(**(values | known | changed))


def facts(*jobs: JobLine) -> Training:
    """Return the page of these jobs."""
    counts: dict[str, int] = {}
    for each in jobs:
        counts[each.status] = counts.get(each.status, 0) + 1
    return Training(NOW, TrainingView(), counts, list(jobs), None, [], None)


class TestVerdict:
    """The page's sentence."""

    @pytest.mark.parametrize(
        ("jobs", "tone", "said"),
        [
            ([], "none", "No job has been asked for yet"),
            ([job("queued")], "watch", "1 job waits and none is running"),
            ([job()], "watch", "1 job is running: retraining for Dog, beginning"),
            (
                [job(lease_until=moment(14))],
                "bad",
                "The worker of job 7 is silent: retraining for Dog",
            ),
            (
                [job("failed", finished_at=moment(14))],
                "watch",
                "Nothing is being trained. Job 7, retraining for Dog failed, 14 Mar 02:00 UTC",
            ),
            (
                [job("promoted", challenger="v2", finished_at=moment(14))],
                "none",
                "Nothing is being trained. Job 7, retraining for Dog passed the gate as v2, "
                "14 Mar 02:00 UTC",
            ),
        ],
    )
    def test_says_what_is_under_way_or_was_last(self, jobs, tone, said):
        """Five seconds."""
        verdict = training_words.verdict(facts(*jobs))

        assert (verdict.tone, plain(verdict.sentence)) == (tone, said)


class TestSubject:
    """What a job is about."""

    def test_of_a_training_is_its_backbone_and_its_group(self):
        """A grid is a dozen jobs that are asked for in the same words."""
        training = job(kind="train", backbone="microsoft/resnet-50", group_id=3)

        assert plain(training_words.subject(training)) == "training of resnet-50, group 3"
        assert plain(training_words.subject(job(kind="train"))) == "training"


class TestStage:
    """How far a job is."""

    def test_names_stage_and_pass(self):
        """Both move while it runs."""
        last = {"number": 3, "epochs": 10, "val_accuracy": 0.914}

        said = training_words.stage(job(stage="fitting", done=2, total=4, last_pass=last))

        assert said == "fitting 2 of 4; pass 3 of 10, 91 % right"

    def test_is_beginning_before_its_first_report(self):
        """A worker has it."""
        assert training_words.stage(job()) == "beginning"


class TestCameOf:
    """Why a job ended as it did."""

    def test_is_the_error_or_the_first_reason(self):
        """The page of the job has the others."""
        assert training_words.came_of(job("failed", error="no room")) == "no room"
        refused = job("refused", reasons=["Cow is worse"], n_reasons=3)
        assert training_words.came_of(refused) == "Cow is worse (and 2 more reasons)"
        assert training_words.came_of(job(cancelled_by="ann")).endswith("to be cancelled for ann")


class TestDuration:
    """What a trial took."""

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(None, ""), (0.2, "0 s"), (119, "119 s"), (120, "2 min"), (9000, "2.5 h")],
    )
    def test_is_short(self, seconds, said):
        """A column of a table."""
        assert training_words.duration(seconds) == said
