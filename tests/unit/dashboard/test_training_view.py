"""What the training page's address means."""

import pytest

from dashboard.pages.training.view import TrainingView, training_view
from tests.board import HOSTILE


class TestTrainingView:
    """What is looked at on the training page stands in its address."""

    @pytest.mark.parametrize("search", ["rates", "a b&c=d", "100 %", "//evil.example", HOSTILE])
    def test_leads_back_to_what_it_shows(self, search):
        """A pasted link shows the same."""
        view = TrainingView(job=7, search=search, order="newest")

        path, _, query = view.address().partition("?")

        assert path == "/training"
        assert training_view(f"?{query}") == view
        assert not set(':\\<>"') & set(query)

    def test_changes_one_thing_and_keeps_the_others(self):
        """Another job, the same search."""
        assert TrainingView(job=7, search="x").address(job=8) == "/training?job=8&search=x"
        assert TrainingView().address() == "/training"

    @pytest.mark.parametrize(
        "query",
        [None, "", "?job=", "?job=-1", "?job=x", "?job=²", f"?job={'9' * 40}", "?order=worst"],
    )
    def test_leaves_out_what_makes_no_sense(self, query):
        """Whatever stands in the address line."""
        assert training_view(query) == TrainingView()

    def test_survives_a_thousand_fields(self):
        """The address line is open to everybody."""
        assert training_view("?" + "&".join(["a=1"] * 5000)) == TrainingView()
