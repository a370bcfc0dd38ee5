"""The numbers on top, and how they moved."""

from dataclasses import replace

from core.shown.summary import Change
from core.store.registry import Move
from dashboard.pages.health.tiles import counted, tiles
from tests.board import happened, moment, overview_of, reading


def shown(**numbers: Change | None) -> dict[str, tuple[str, str]]:
    """Return the tiles by name, some of their numbers being these."""
    facts = overview_of(reading("Dog"))
    facts = replace(facts, numbers=replace(facts.numbers, **numbers))
    return {name: (value, was) for name, value, was in tiles(facts)}


class TestTiles:
    """Five numbers, each with what it was."""

    def test_say_by_sign_and_word_how_they_moved(self):
        """Never by colour alone."""
        found = shown()

        assert found["Right in 7 days"] == ("90 %", "▼ −2.0 points on the week before")
        assert found["Predictions on 14 Mar"] == ("1,234", "▲ 23 % more than the day before")
        assert found["Open alerts"] == ("0", "▼ 1 fewer than a week ago")

    def test_say_that_nothing_moved(self):
        """A number that stands still is told as such."""
        assert counted(Change(3, 3), "a week ago") == "as a week ago"

    def test_claim_no_change_where_there_is_nothing_to_compare(self):
        """The first week has none before it."""
        assert shown(accuracy=Change(0.9, None))["Right in 7 days"][1] == (
            "nothing before to compare"
        )
        assert shown(accuracy=None)["Right in 7 days"] == ("–", "no labels")
        assert (
            shown(predictions=Change(5, None))["Predictions on 14 Mar"][1] == "none the day before"
        )

    def test_name_the_version_before(self):
        """Who served until when."""
        moves = [Move(1, "v0", moment(1), "t", ""), Move(2, "v1", moment(8), "t", "")]
        facts = replace(overview_of(reading("Dog")), events=happened(moves=moves))

        assert tiles(facts)[0] == ("Champion", "v1", "since 8 Mar, v0 before")
