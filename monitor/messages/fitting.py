"""A message cut to what a service takes: whole lines, the title first, then a line an alert.

Services refuse what is too long: Discord takes 2,000 characters, Telegram 4,096, PagerDuty's
summary 1,024, a short message 160. What was refused is told to nobody, so it is made shorter before
it goes: the whole text where it fits; else a line for each alert, as many as fit, and how many more
there are. Lengths are those of the text as it leaves: what a service's library escapes on the way
counts for what it becomes, at the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from core import escaping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_GAP = 12  # between title and text, and the tags some services put around a title
_ROOM_FOR_KEY = 500  # where there is less, the text needs it more than the key
_EXPANDED: Final[Mapping[str, int]] = (
    dict.fromkeys(r"\`*_{}[]()#+-.!|~", 2) | dict.fromkeys("<>&\"'", 6) | {"\n": 8}
)


@dataclass(frozen=True, slots=True)
class Room:
    """What a service takes.

    Attributes:
        title: Longest title; 0 when it has none and the title stands above the text.
        body: Longest text.
        shared: Whether the title counts as part of the text.
        as_given: Whether its library escapes nothing.
        markdown: Whether its readers' programs read Markdown in what is given.
    """

    title: int
    body: int
    shared: bool = False
    as_given: bool = False
    markdown: bool = False

    def said(self, text: str) -> str:
        """Return a text in which nothing is obeyed."""
        plain = escaping.for_chat(text)
        return escaping.for_markdown(plain) if self.markdown else plain

    def headed(self, text: str) -> str:
        """Return a title in which nothing is obeyed."""
        plain = escaping.for_title(text)
        return escaping.for_markdown(plain) if self.markdown else plain

    def length(self, text: str) -> int:
        """Return how long a text that is harmless already is at most when it leaves."""
        return _units(text) if self.as_given else _most(text)


def fit(message: Mapping[str, Any], key: str, room: Room) -> tuple[str, str]:
    """Return title and text of a message: harmless, and short enough for a service.

    Args:
        message: As `core.telling` writes it.
        key: Its dedup key, which stands at the end of the text where there is room.
        room: What the service takes.
    """
    merged = room.shared or room.title <= 0
    # A title above the text leaves the text a quarter.
    most = min(room.title or room.body, room.body - room.body // 4) if merged else room.title
    title = _cut(str(message["title"]), most, room.headed, room)
    left = room.body - (room.length(title) + _GAP if merged else 0)
    foot = room.said(f"\n\n(message {key})") if left >= _ROOM_FOR_KEY else ""
    left -= room.length(foot)
    whole = room.said(str(message["body"]))
    if room.length(whole) <= left:
        return title, whole + foot
    return title, _shorter(message, left, room) + foot


def _shorter(message: Mapping[str, Any], left: int, room: Room) -> str:
    told: list[Mapping[str, Any]] = message.get("news", [])
    if len(told) > 1:
        lines = [str(each.get("line") or each["title"]) for each in told]
        number = max(int(message.get("count", 0)), len(lines))
        return _as_many_as_fit(lines, number, "{} more: weakspot alerts list", left, room)
    more = f"More: weakspot alerts show {told[0]['alert']}" if told else "…"
    return _as_many_as_fit(str(message["body"]).splitlines(), 0, more, left, room)


def _as_many_as_fit(lines: Sequence[str], number: int, more: str, left: int, room: Room) -> str:
    """Return the first lines, and `more` with how many of `number` are missing."""
    said: list[str] = []
    spent = room.length(room.said(more)) + _GAP
    for line in lines:
        harmless = room.said(line)
        spent += room.length(harmless) + room.length("\n")
        if spent > left:
            break
        said.append(harmless)
    if len(said) < max(number, len(lines)):
        said.append(_cut(more.format(number - len(said)), left, room.said, room))
    return "\n".join(said)


def _cut(text: str, most: int, harmless: Callable[[str], str], room: Room) -> str:
    """Return a text that is harmless, cut short with an ellipsis when it is too long."""
    shown = harmless(text)
    while text and room.length(shown) > most:
        text = text[:-1]
        shown = harmless(f"{text.rstrip()}…")
    return shown if text else ""


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _most(text: str) -> int:
    return sum(_EXPANDED.get(character, 1 + (character > "\uffff")) for character in text)
