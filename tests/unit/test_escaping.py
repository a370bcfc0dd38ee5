"""S22: class names are hostile, and messages are read by programs that obey."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.escaping import for_chat, for_title, one_line

JOINER = "\u2060"


class TestOneLine:
    """A name in a sentence."""

    @given(st.text())
    def test_has_no_line_breaks_and_no_unseen_characters(self, name: str):
        """Neither a second line, nor a mail header, nor text that runs backwards."""
        shown = one_line(name)

        assert len(shown.splitlines()) <= 1
        assert shown.isprintable() or all(c.isprintable() or c.isspace() for c in shown)
        assert not set(shown) & set("\r\n\x00\u2028\u202e\u2066\u200b")

    @given(st.text(max_size=2000))
    def test_is_not_long(self, name: str):
        """A name of a thousand characters does not push the rest off the screen."""
        assert len(one_line(name)) <= 200

    @pytest.mark.parametrize("name", ["Spider", "große Katze", "キツネ", "50 % <b> {0} @here"])
    def test_leaves_what_can_be_seen(self, name: str):
        """Real names stay what they are."""
        assert one_line(name) == name


class TestForChat:
    """A text for people."""

    @pytest.mark.parametrize(
        "armed",
        [
            "@everyone",
            "@here",
            "<!channel>",
            "<@U123>",
            "<#C123>",
            "https://evil.example/x",
            "evil.example",
            "www.evil.example",
            "javascript:alert(1)",
            "mailto:x@evil.example",
        ],
    )
    def test_disarms_mentions_and_links(self, armed: str):
        """Nobody is paged by a class name, and nothing can be clicked."""
        disarmed = for_chat(armed)

        assert armed not in disarmed
        assert disarmed.replace(JOINER, "") == armed

    @pytest.mark.parametrize(
        "text",
        ["Since 2026-03-08, v3 was right on 6 of 20.", "at most 0.3 alarms", "a: b", "x @ y"],
    )
    def test_leaves_our_own_sentences(self, text: str):
        """Numbers and full stops are no addresses."""
        assert for_chat(text) == text

    @given(st.text())
    def test_only_adds_what_cannot_be_seen(self, text: str):
        """What is read is what was written."""
        assert for_chat(text).replace(JOINER, "") == text.replace(JOINER, "")


class TestForTitle:
    """A title, which is passed on as it is."""

    def test_has_no_markup_left(self):
        """HTML, Markdown and Slack's own."""
        title = for_title("<b>[x](https://evil.example)</b> `c` *d* | ~e~ \\ # @here\nBcc: y")

        assert not set(title) & set("<>[]`*|~\\#\n")
        assert "https://" not in title
        assert "@here" not in title
