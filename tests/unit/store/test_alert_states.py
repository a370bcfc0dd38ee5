"""The life of an alert."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConflictError
from core.store import alert_states
from core.store.alert_states import DEEDS, STATES, TRANSITIONS, Deed, State


class TestAfter:
    """`alert_states.after`."""

    @pytest.mark.parametrize(("state", "deed"), TRANSITIONS)
    def test_leads_where_the_table_says(self, state: State, deed: Deed):
        """Each legal deed, once."""
        assert alert_states.after(state, deed, alert=7) == TRANSITIONS[state, deed]

    @pytest.mark.parametrize(
        ("state", "deed"), [(s, d) for s in STATES for d in DEEDS if (s, d) not in TRANSITIONS]
    )
    def test_refuses_everything_else_in_words(self, state: State, deed: Deed):
        """The message names the alert, where it stands, and what is possible."""
        with pytest.raises(
            ConflictError, match=f"alert 7 is {state} and cannot be .*; (that|poss)"
        ):
            alert_states.after(state, deed, alert=7)

    @given(st.lists(st.sampled_from(DEEDS), max_size=30))
    def test_never_leaves_resolved(self, deeds: list[Deed]):
        """Whatever is done in whatever order: what is over comes back as a new alert."""
        state: State = "open"
        seen = [state]
        for deed in deeds:
            try:
                state = alert_states.after(state, deed, alert=1)
            except ConflictError:
                continue
            seen.append(state)

        assert seen.count("resolved") <= 1
        assert "resolved" not in seen[:-1]

    def test_sleep_ends_awake(self):
        """Only what sleeps wakes, and it wakes to be seen."""
        woken = {pair: to for pair, to in TRANSITIONS.items() if pair[1] == "wake"}

        assert woken == {("snoozed", "wake"): "open"}
