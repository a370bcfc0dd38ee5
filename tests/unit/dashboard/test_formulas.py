"""The formulas that charts link to."""

import json

import pytest
from plotly.utils import PlotlyJSONEncoder

from dashboard.door.caller import OWNER
from dashboard.pages.health import formulas, one_class
from tests.board import one_class_of, reading


class TestFormulas:
    """A page each."""

    def test_every_hint_leads_to_one_that_exists(self):
        """A link to nowhere is worse than none."""
        drawn = one_class.draw(one_class_of(reading("Dog")), days=7, named=None, caller=OWNER)
        text = json.dumps(drawn, cls=PlotlyJSONEncoder)

        named = {part.split('"')[0] for part in text.split('"/formulas/')[1:]}
        assert named <= set(formulas.FORMULAS)
        assert {"interval", "sequence", "evidence", "confusion", "nearest", "drift"} <= named

    @pytest.mark.parametrize(("path", "taken"), [("/formulas", True), ("/formulas/weeks", True)])
    def test_has_an_address(self, path, taken):
        """And one for all of them."""
        assert formulas.PAGE.takes(path) is taken
