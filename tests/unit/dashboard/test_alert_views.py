"""What the addresses of alerts and versions say."""

import pytest

from dashboard.pages.alerts.listing import sent_text
from dashboard.pages.alerts.view import AlertsView, alerts_view
from dashboard.pages.models.view import ModelsView, compare_address, models_view
from tests.board import HOSTILE


class TestAddresses:
    """An address and what it shows."""

    @pytest.mark.parametrize(
        "shown",
        [
            AlertsView(),
            AlertsView(state="open", label=HOSTILE, before=120),
            AlertsView(alert=12),
            AlertsView(rules=5, against=4),
        ],
    )
    def test_an_address_of_alerts_shows_what_it_was_made_from(self, shown: AlertsView):
        """A link that is pasted shows the same."""
        assert alerts_view(shown.address().partition("?")[2]) == shown

    def test_what_makes_no_sense_is_left_out(self):
        """An address may have been typed."""
        assert alerts_view("?state=gone&before=x&alert=-1&rules=1e9&against=99999999999") == (
            AlertsView()
        )
        assert models_view(f"?version={'v' * 200}&before=12x") == ModelsView()

    def test_versions_are_quoted(self):
        """A name may be called what it likes."""
        found = models_view(compare_address("v&1", "#2").partition("?")[2])

        assert (found.a, found.b) == ("v&1", "#2")


def test_messages_are_told_by_what_became_of_them() -> None:
    """The sent ones first."""
    assert sent_text({"dead": 1, "sent": 2}) == "2 sent, 1 dead"
    assert sent_text({}) == "to nobody"
