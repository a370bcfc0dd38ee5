"""Words that pages and messages share."""

import pytest

from core.shown.phrases import sure_text


class TestSureness:
    """How sure it is that a class has fallen."""

    @pytest.mark.parametrize(
        ("certainty", "text"),
        [
            (0.5, "50 % sure"),
            (0.9599, "95 % sure"),
            (0.98999, "98 % sure"),
            (0.99, "99 % sure"),
            (0.9929, "99.2 % sure"),
            (0.999, "over 99.9 % sure"),
            (1.0, "over 99.9 % sure"),
        ],
    )
    def test_is_never_rounded_up(self, certainty, text):
        """Nobody is surer than the number says, and nobody is quite sure."""
        assert sure_text(certainty) == text
