"""The gate's page of numbers."""

import json

from plotly.utils import PlotlyJSONEncoder

from dashboard.parts import exam_numbers
from tests.board import job
from tests.story import LABELS, WEAK, verdict_of_the_gate


def text(of, label=WEAK) -> str:
    """Return everything that the table shows, as JSON."""
    return json.dumps(exam_numbers.table(of, label), cls=PlotlyJSONEncoder, ensure_ascii=False)


class TestTable:
    """What the gate said of a retraining."""

    def test_shows_the_numbers_the_gate_kept(self):
        """They are written by the trainer and read here: the names must be the same."""
        kept = {"gate": verdict_of_the_gate(LABELS).to_dict()}

        shown = text(job(WEAK, result=kept))

        assert all(number in shown for number in ("+38.7", "+33.2", "better", "1.02 times"))
        assert "Cow is shown to be worse" in shown

    def test_has_the_class_itself_first(self):
        """It is this class's page."""
        table = exam_numbers.table(
            job(WEAK, result={"gate": verdict_of_the_gate(LABELS).to_dict()}), WEAK
        )
        first = table.children[1].children[1].children[0]

        assert first.children[0].children.children == WEAK

    def test_tells_why_a_job_failed(self):
        """'failed' alone sends people to the logs."""
        assert "disk full" in text(job(WEAK, "failed", result={"error": "disk full"}))

    def test_is_nothing_before_the_exam(self):
        """A queued job has no numbers."""
        assert exam_numbers.table(job(WEAK, "queued"), WEAK) is None

    def test_does_with_what_is_there(self):
        """A job of an older release may hold less."""
        assert "all images" in text(
            job(WEAK, result={"gate": {"overall": {"label": "all images"}}})
        )
