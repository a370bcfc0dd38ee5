"""Which names a class may have.

A label ends up in rows, CSV files, addresses, file names, metrics and on screens. Refusing
the few names that cannot stand in all of them is safer than escaping in each. Every other
name, in any script, is kept exactly, in Unicode's composed form (NFC).
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

MAX_LENGTH = 200

# Control characters, halves of characters, and line and paragraph separators.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They turn the reading order of whatever follows: a label could pass for another on screen.
_TURNS_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the names.

    Attributes:
        labels: The label that each accepted name stands for.
        refused: Why each of the other names is refused.
    """

    labels: dict[str, str]
    refused: dict[str, str]


def normalise(name: str) -> str:
    """Return a name as it is stored: composed (NFC), without white space around it."""
    return unicodedata.normalize("NFC", name).strip()


def fault(label: str) -> str | None:
    """Say what keeps a normalised name from being a label; None when nothing does."""
    if not label:
        return "the name of the class is empty"
    if len(label) > MAX_LENGTH:
        return f"the name of the class has {len(label)} characters, more than {MAX_LENGTH}"
    if label in {".", ".."} or "/" in label:
        return f"the name {label!a} has a meaning in paths; rename the class"
    odd = [c for c in label if unicodedata.category(c) in _REFUSED_CATEGORIES]
    odd += [c for c in label if c in _TURNS_DIRECTION]
    if odd:
        return f"the name {label!a} has the control character {odd[0]!a}"
    return None


def settle(names: Iterable[str], pool: Collection[str]) -> Settled:
    """Decide which names are labels.

    Of names that differ only in case or in Unicode form nobody can say whether one class is
    meant or two, so all of them are refused, unless the pool has one of them already.

    Args:
        names: As the folders or the CSV have them.
        pool: The labels that the pool holds.
    """
    alike: defaultdict[str, set[str]] = defaultdict(set)
    settled = Settled({}, {})
    for name in set(names):
        why = fault(normalise(name))
        if why is not None:
            settled.refused[name] = why
        else:
            alike[_key(name)].add(name)
    present = {_key(label): label for label in pool}
    for key, group in alike.items():
        _settle_group(settled, group, present.get(key))
    return settled


def _settle_group(settled: Settled, group: set[str], present: str | None) -> None:
    """Decide about names that are the same but for case, Unicode form or outer white space."""
    spellings = {name.strip() for name in group}
    for name in group:
        if present is not None and normalise(name) != present:
            settled.refused[name] = (
                f"{_quoted({name.strip(), present})} differ only in case, and the pool has "
                f"{present!r}; rename the class"
            )
        elif present is None and len(spellings) > 1:
            settled.refused[name] = (
                f"{_quoted(spellings)} differ only in case or Unicode form; give the class one name"
            )
        else:
            settled.labels[name] = normalise(name)


def _quoted(spellings: set[str]) -> str:
    """Name all of them, so that they can be told apart."""
    look_alike = len({normalise(spelling) for spelling in spellings}) < len(spellings)
    return " and ".join(sorted(map(ascii if look_alike else repr, spellings)))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", normalise(name).casefold())
