"""Which side of the split a new image goes to.

Three promises, in this order: an image of the pool never changes sides; near-duplicates stand
on one side, or the test would ask what was taught; and each class is divided as asked. A side
depends on digests alone, so that the same images are divided in the same way on every machine.

The draw is systematic: the images of a class stand in a row by a hash of their digests, and
the row is cut at the fractions asked for. The row begins at a place between 0 and 1 that is
itself a hash, so many images are divided exactly (to one image) and a single one by chance.

References:
    Cochran (1977), Sampling Techniques, chapter 8: systematic sampling.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from core.catalog.layout import Split
from core.catalog.neighbours import Group, Neighbour, Newcomer
from core.catalog.neighbours import group as group_near_duplicates
from core.errors import UsageError

SIDES: tuple[Split, Split, Split] = ("train", "val", "test")
DEFAULT_SPLIT = (0.7, 0.15, 0.15)

Fractions = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Division:
    """Sides of the new images, in their order.

    Attributes:
        splits: The side of each.
        clusters: A number that near-duplicates share, as Postgres keeps it: signed.
        near_duplicates: How many nearly repeat an image of the pool, or one before them.
        leaks: How many would have to change sides, where given splits part near-duplicates.
    """

    splits: list[Split]
    clusters: list[int]
    near_duplicates: int
    leaks: int


def parse_split(text: str) -> Fractions:
    """Return the shares of train, val and test that `70/15/15` or `0.7/0.15/0.15` stands for.

    Raises:
        UsageError: It is not three numbers of 0 or more, one of them positive.
    """
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    return check_split(shares)


def check_split(shares: Sequence[float]) -> Fractions:
    """Return three shares as fractions that add up to 1.

    Raises:
        UsageError: They are not three numbers of 0 or more, one of them positive.
    """
    total = sum(shares)
    if len(shares) != 3 or not isfinite(total) or total <= 0 or min(shares) < 0:
        raise UsageError(
            "a split is three shares of 0 or more for train, val and test, such as 70/15/15"
        )
    train, val, test = (share / total for share in shares)
    return train, val, test


def divide(
    newcomers: Sequence[Newcomer], pool: Sequence[Neighbour], fractions: Fractions
) -> Division:
    """Choose a side for each new image.

    A side that was given is kept, even against near-duplicates: the owner may know better,
    and is told how many there are.

    Args:
        newcomers: Images that the pool does not hold.
        pool: Every image of the pool.
        fractions: Shares of train, val and test for those whose side is to be drawn.
    """
    groups = group_near_duplicates(newcomers, pool)
    splits: dict[int, Split] = {}
    undecided: list[list[int]] = []
    for group in groups:
        free = [place for place in group.new if newcomers[place].split is None]
        side = _side_of(group, newcomers)
        for place in group.new:
            if (split := newcomers[place].split or side) is not None:
                splits[place] = split
        if side is None and free:
            undecided.append(free)
    splits |= _draw(undecided, newcomers, fractions)
    clusters: dict[int, int] = {}
    for group in groups:
        clusters |= dict.fromkeys(group.new, group.cluster(newcomers))
    places = range(len(newcomers))
    return Division(
        [splits[place] for place in places],
        [clusters[place] for place in places],
        sum(len(group.new) - (not group.pool) for group in groups),
        sum(_leaks(group, splits) for group in groups),
    )


def _side_of(group: Group, newcomers: Sequence[Newcomer]) -> Split | None:
    """Return the side that a group stands on already; None when it is free."""
    nearest = group.nearest(newcomers)
    if nearest is not None:
        return nearest.split
    given: list[Split] = [
        split for place in group.new if (split := newcomers[place].split) is not None
    ]
    return given[0] if given else None


def _leaks(group: Group, splits: dict[int, Split]) -> int:
    """Count the new images that do not stand where most of their near-duplicates do."""
    sides = Counter(image.split for image in group.pool)
    sides.update(splits[place] for place in group.new)
    if len(sides) == 1:
        return 0
    # Where no side has more, the one that most is learnt from counts as theirs.
    home = max(SIDES, key=lambda side: (sides[side], -SIDES.index(side)))
    return sum(splits[place] != home for place in group.new)


def _draw(
    groups: Iterable[list[int]], newcomers: Sequence[Newcomer], fractions: Fractions
) -> dict[int, Split]:
    """Divide groups of places in `newcomers`, class by class.

    Groups of several go first, each class's in a row of their own; then its single images
    make up for what those left uneven.
    """
    by_label: defaultdict[str, tuple[list[list[int]], list[list[int]]]]
    by_label = defaultdict(lambda: ([], []))
    for group in groups:
        by_label[_main_label(group, newcomers)][len(group) == 1].append(group)
    splits: dict[int, Split] = {}
    for label in sorted(by_label):
        splits |= _cut(by_label[label][0], newcomers, fractions)
    placed: defaultdict[str, Counter[Split]] = defaultdict(Counter)
    for place, split in splits.items():
        placed[newcomers[place].label][split] += 1
    for label in sorted(by_label):
        singles = by_label[label][1]
        splits |= _cut(singles, newcomers, _left(placed[label], len(singles), fractions))
    return splits


def _main_label(group: list[int], newcomers: Sequence[Newcomer]) -> str:
    counts = Counter(newcomers[place].label for place in group)
    return max(sorted(counts), key=lambda label: counts[label])


def _left(placed: Counter[Split], singles: int, fractions: Fractions) -> Fractions:
    """Return the fractions of the single images that bring the whole class to `fractions`."""
    whole = placed.total() + singles
    wanted = [
        max(0.0, fraction * whole - placed[side])
        for side, fraction in zip(SIDES, fractions, strict=True)
    ]
    return check_split(wanted) if singles and sum(wanted) > 0 else fractions


def _cut(
    groups: list[list[int]], newcomers: Sequence[Newcomer], fractions: Fractions
) -> dict[int, Split]:
    """Put groups in a row by a hash of their first digest, and cut the row at the fractions."""
    row = sorted(groups, key=lambda group: _scatter(newcomers[group[0]].sha256))
    whole = sum(len(group) for group in row)
    start = _scatter(newcomers[row[0][0]].sha256, salt="start") if row else 0.0
    splits: dict[int, Split] = {}
    before = 0
    for group in row:
        position = (before + start * len(group)) / whole
        splits |= dict.fromkeys(group, _side_at(position, fractions))
        before += len(group)
    return splits


def _side_at(position: float, fractions: Fractions) -> Split:
    """Return the side whose stretch of the row, cut at `fractions`, holds the position."""
    wanted: list[Split] = [side for side, share in zip(SIDES, fractions, strict=True) if share > 0]
    end = 0.0
    for side in wanted[:-1]:
        end += fractions[SIDES.index(side)]
        if position < end:
            return side
    return wanted[-1]


def _scatter(digest: str, *, salt: str = "") -> float:
    """Return a number in [0, 1) that only the digest decides."""
    return int.from_bytes(hashlib.sha256(f"{salt}{digest}".encode()).digest()[:6], "big") / 2**48
