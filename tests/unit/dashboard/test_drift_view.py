"""What the drift page's address means."""

from datetime import date

import pytest

from dashboard.pages.drift.view import DriftView, drift_view, report_address
from tests.board import HOSTILE


class TestDriftView:
    """What is looked at on the drift page stands in its address."""

    @pytest.mark.parametrize("label", ["Cow", "a b&c=d", "100 %", "//evil.example", HOSTILE])
    def test_leads_back_to_what_it_shows(self, label: str):
        """A pasted link shows the same."""
        view = DriftView(7, date(2026, 3, 11), "v1", "sharpness", label)

        path, _, query = view.address().partition("?")

        assert path == "/drift"
        assert drift_view(f"?{query}", days=7) == view
        assert not set(':\\<>"') & set(query)

    def test_leads_to_each_of_many_classes_as_to_one(self):
        """Twenty-five hundred addresses are written at every look."""
        view = DriftView(7, None, "v1", "sharpness", "Dog")

        found = view.addresses_of(["Cow", HOSTILE], day=date(2026, 3, 11))

        assert found == [
            view.address(day=date(2026, 3, 11), label=label) for label in ("Cow", HOSTILE)
        ]

    @pytest.mark.parametrize(
        "search", [None, "", "?day=", "?day=2026-02-30", "?day=²026-03-11", "?day=20260311&check="]
    )
    def test_takes_nonsense_for_nothing(self, search: str | None):
        """Nobody sees an error for a link that was cut off."""
        assert drift_view(search, days=None) == DriftView()

    def test_quotes_the_version_of_a_report(self):
        """A version is a name from outside, too."""
        assert report_address(date(2026, 3, 1), "../x") == "/drift/reports/2026-03-01/..%2Fx"
