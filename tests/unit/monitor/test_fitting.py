"""A message that is too long is refused, and then told to nobody."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.messages.fitting import Room, fit

KEY = "ws-0123456789abcdef0123456789abcdef"


def _message(lines: list[str], title: str = "10 weak", body: str = "") -> dict[str, Any]:
    news = [{"alert": i, "line": line, "title": "t"} for i, line in enumerate(lines, start=1)]
    text = body or "\n\n".join(f"{line}\n{'Much more. ' * 30}" for line in lines)
    return {"title": title, "body": text, "news": news, "count": len(news)}


class TestFit:
    """`fit`."""

    def test_what_fits_is_told_in_full_with_its_key(self):
        """Nothing is taken away without need."""
        _, body = fit(_message(["Cat is weak"]), KEY, Room(250, 2000))

        assert body.startswith("Cat is weak\nMuch more.")
        assert body.endswith(f"(message {KEY})")

    def test_else_each_alert_has_a_line(self):
        """Ten classes in one message, whatever it is sent with."""
        lines = [f"Class {i} is weak" for i in range(10)]
        _, body = fit(_message(lines), KEY, Room(250, 1024))

        assert body.splitlines()[:10] == lines

    def test_and_what_does_not_fit_is_counted(self):
        """Nobody takes a part for the whole."""
        lines = [f"Class {i} is weak" for i in range(100)]
        _, body = fit(_message(lines), KEY, Room(250, 400))

        shown = [line for line in body.splitlines() if line.startswith("Class")]
        assert shown == lines[: len(shown)]
        assert f"{100 - len(shown)} more: weakspot alerts list" in body

    def test_one_long_alert_keeps_its_first_lines(self):
        """And says where the rest is."""
        body = "\n".join(["First.", *["word " * 50] * 10])
        _, said = fit(_message(["x"], body=body), KEY, Room(250, 300))

        assert said.splitlines() == ["First.", "More: weakspot alerts show 1"]

    @given(
        st.lists(st.text(max_size=60), min_size=1, max_size=30),
        st.text(min_size=1, max_size=300),
        st.sampled_from([(0, 160), (0, 1024), (250, 2000), (250, 1000), (0, 4096)]),
        st.booleans(),
        st.booleans(),
    )
    def test_is_never_longer_than_the_service_takes(
        self, lines: list[str], title: str, sizes: tuple[int, int], shared: bool, markdown: bool
    ):
        """Whatever the names are."""
        room = Room(*sizes, shared=shared, as_given=markdown, markdown=markdown)
        said, body = fit(_message(lines, title), KEY, room)

        together = room.shared or room.title == 0
        assert room.length(body) + together * room.length(said) <= room.body
        assert not room.title or room.length(said) <= room.title

    @pytest.mark.parametrize(("text", "units"), [("ab", 2), ("𝕏", 2), ("<", 6), ("tiger_cat", 10)])
    def test_counts_what_a_character_may_become(self, text: str, units: int):
        """`<` leaves as `&lt;`, and the limits count UTF-16."""
        assert Room(250, 2000).length(text) == units
