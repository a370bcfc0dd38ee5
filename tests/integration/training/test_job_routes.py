"""`/v1/retrain` and `/v1/jobs`, over a real port."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from core.store import audit, jobs
from core.store.database import transaction
from tests.jobs import ask, ask_group, beat, claimed, clear, finish
from tests.pool import FIRST_DAY, add_pictures, register
from tests.serving import serving
from tests.tiny import LABELS


@pytest.fixture(scope="module")
def client(
    module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service with a champion, and a pool."""
    home = tmp_path_factory.mktemp("home")
    register(module_engine, home / "bundles")
    add_pictures(module_engine, home / "pictures", FIRST_DAY, per_label=1)
    with serving(module_engine, home) as client:
        yield client


@pytest.fixture
def queue(module_engine: Engine) -> Iterator[Engine]:
    """An engine on a queue without jobs."""
    yield module_engine
    clear(module_engine)


def _wish(client: httpx.Client, **changes: object) -> httpx.Response:
    return client.post("/v1/retrain", json={"labels": [LABELS[0]], "reason": "new"} | changes)


class TestRetrain:
    """Asking for a retraining."""

    def test_is_accepted_with_the_address_of_its_job(self, queue: Engine, client: httpx.Client):
        """Asked again while it waits, it is the same job; one deed is in the audit trail."""
        answers = [_wish(client), _wish(client)]
        with transaction(queue) as connection:
            deeds = [each.by for each in audit.latest(connection) if "retrain" in each.action]

        assert [each.status_code for each in answers] == [202, 202]
        shown = client.get(answers[1].headers["Location"]).json()
        assert (shown["labels"], shown["status"], shown["reason"]) == ([LABELS[0]], "queued", "new")
        assert (shown["requested_by"], deeds) == ("http", ["http"])

    def test_names_no_class_that_the_pool_does_not_have(self, client: httpx.Client):
        """A typing error is told at once, and is not repeated in the answer."""
        answer = _wish(client, labels=["<script>"])

        assert (answer.status_code, "script" in answer.text) == (422, False)

    def test_needs_a_champion(self, engine: Engine, tmp_path: Path):
        """There is nothing to learn on."""
        add_pictures(engine, tmp_path / "pictures", FIRST_DAY, per_label=1)

        with serving(engine, tmp_path) as client:
            assert _wish(client).status_code == 409

    @pytest.mark.parametrize(
        "changes", [{"labels": []}, {"reason": ""}, {"reason": "\x00"}, {"labels": [1]}, {"x": 1}]
    )
    def test_refuses_what_is_no_wish(self, client: httpx.Client, changes: dict[str, object]):
        """I16."""
        assert _wish(client, **changes).status_code == 422


class TestJobs:
    """What became of them."""

    def test_are_paged_and_narrowed(self, queue: Engine, client: httpx.Client):
        """Each on exactly one page, the newest first."""
        group = [job.id for job in ask_group(queue, [{"seed": i} for i in range(5)])]
        ask(queue)
        seen, before = [], None
        while True:
            asked = {"limit": 2, "kind": "train", "group": group[0]}
            page = client.get("/v1/jobs", params=asked | ({"before": before} if before else {}))
            seen += [each["id"] for each in page.json()["jobs"]]
            before = page.json()["next"]
            if before is None:
                break

        assert seen == group[::-1]

    def test_show_how_far_they_are(self, queue: Engine, client: httpx.Client):
        """Passes, the last stage, and each try."""
        ask(queue)
        job = claimed(queue)
        beat(queue, job, job.requested_at)
        shown = client.get(f"/v1/jobs/{job.id}").json()

        assert shown["progress"] == {"stage": "fitting", "done": 1, "total": 3, "epochs": []}
        assert [each["worker"] for each in shown["tries"]] == ["a"]

    @pytest.mark.parametrize(("id_", "status"), [(99, 404), (0, 422), (2**63, 422), ("x", 422)])
    def test_that_are_not_there_are_a_problem(self, client: httpx.Client, id_: object, status: int):
        """I16."""
        assert client.get(f"/v1/jobs/{id_}").status_code == status
        assert client.post(f"/v1/jobs/{id_}/cancel").status_code == status

    def test_are_cancelled_and_tried_again(self, queue: Engine, client: httpx.Client):
        """Both are in the audit trail."""
        job = ask(queue)
        codes = [
            client.post(f"/v1/jobs/{job.id}/{deed}").status_code
            for deed in ("retry", "cancel", "cancel", "retry")
        ]
        with transaction(queue) as connection:
            deeds = [(each.by, each.action) for each in audit.latest(connection, 2)]

        assert codes == [409, 200, 409, 200]
        assert deeds == [("http", "retry"), ("http", "cancel")]

    def test_that_have_ended_show_the_gates_numbers(self, queue: Engine, client: httpx.Client):
        """As they were written."""
        ask(queue)
        finish(queue, job := claimed(queue))

        shown = client.get(f"/v1/jobs/{job.id}").json()
        assert (shown["status"], shown["result"], shown["tries"][0]["why"]) == (
            "refused",
            {"n": 1},
            "refused",
        )
        assert client.get("/v1/jobs", params={"status": "queued"}).json()["jobs"] == []


def test_jobs_know_the_kinds_that_are_shown():
    """A new kind would be a 500."""
    assert jobs.KINDS == ("retrain", "train")
