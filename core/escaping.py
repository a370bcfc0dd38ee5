r"""Names from outside, as they may stand in messages: nothing in them is obeyed by who shows them.

A class may be called `@everyone`, `[free](https://evil.example)` or `x\nSubject: y`. Three steps,
each for where it is needed:

- `one_line` when a name enters a sentence: no character of it breaks, hides or reorders the line.
- `for_chat` for whole texts: what chat programs turn into a mention or a link is broken by an
  invisible character. Markup itself (HTML, Markdown) is escaped by Apprise, which knows what each
  service reads; it is told that the text is plain.
- `for_title` for titles, which Apprise passes on as they are: markup becomes look-alikes.
- `for_markdown` after one of these, for a service that reads Markdown in what Apprise passes on as
  plain (Discord): what would be markup gets a backslash.

JSON needs none of this: webhooks receive names as they are, and escape them where they show them.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 200

_JOINER = "\u2060"  # no width, and no line break
_REPLACEMENT = "\ufffd"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ARMED = re.compile(
    r"@(?=\S)"  # @everyone, @here, a user
    r"|[<&](?=[!@#])"  # <!channel>, <@U1>, <#C1>
    r"|:(?=//)"  # any address
    r"|(?<=\S)\.(?=[^\W\d_])"  # evil.example without a scheme; 0.3 stays
    r"|(?i:mailto|tel|javascript|data)(?=:)"
)
_LOOK_ALIKES = str.maketrans("<>[]`*|~\\#", "‹›［］ˋ∗ǀ∼＼＃")
# An underscore between two letters is part of a name, and no service takes it for emphasis.
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_MARKDOWN = re.compile(
    r"[\\`*_~|<>\[\]()#]"
    r"|(?m:^[ \t]*[-+=])"  # a list, a rule, a heading
    r"|(?m:^[ \t]*\d+[.)])"  # a numbered list
)


def one_line(name: str, longest: int = LONGEST_NAME) -> str:
    r"""Return a name as part of a line: unseen characters replaced, and not too long.

    Example:
        >>> one_line("Spider\nBcc: all@example.com")
        'Spider\ufffdBcc: all@example.com'
    """
    shown = "".join(
        _REPLACEMENT if unicodedata.category(character) in _UNSEEN else character
        for character in name[: longest + 1]
    )
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def for_chat(text: str) -> str:
    """Return a text in which nothing is a mention or a link; its lines stay lines."""
    return _ARMED.sub(lambda found: found[0] + _JOINER, text)


def for_title(text: str) -> str:
    """Return a title of one line in which nothing is a mention, a link or markup."""
    plain = one_line(text, longest=250).translate(_LOOK_ALIKES)
    return for_chat(_EMPHASIS.sub("＿", plain))


def for_markdown(text: str) -> str:
    r"""Return a text of which a reader of Markdown shows every character, and formats none.

    Example:
        >>> print(for_markdown("*tiger_cat*"))
        \*tiger\_cat\*
    """
    return _MARKDOWN.sub(lambda found: _escaped(found[0]), text)


def _escaped(found: str) -> str:
    return f"{found[:-1]}\\{found[-1]}"
