"""Whose fault a weakness is: the labels', the model's, or the pictures'.

A frozen model answers alike as long as pictures and labels are of the kind it was measured on. So
the images of a weak class are held against two kinds of images of the reference:

| from the class it is labelled as | from the class it was taken for | then it is |
|---|---|---|
| moved | not moved | the labels: these are pictures of the other class, as they always were |
| not moved | moved | the model: the pictures are as they were, and it answers otherwise |
| moved | moved | the pictures: they are of a kind that the reference does not hold |
| not moved | not moved | whatever most of the wrong images speak for, if they do so clearly |

What may move is each descriptor, in standard deviations of its class, and how far an image lies
from its nearest neighbours of the class: a conformal p-value turned into a normal score, so that no
law of distances is assumed.

References:
    Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World: conformal p-values.
    Papadopoulos et al. (2002), Inductive Confidence Machines: nearest neighbours as the score.
    Welch (1947), The Generalization of 'Student's' Problem: means with unequal variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from scipy import special, stats  # pyright: ignore[reportMissingTypeStubs]

from core.errors import StatisticsError
from core.stats.twosample import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Blame = Literal["label", "model", "data"]

# A column moved when its p-value, corrected, and its effect, in standard deviations, both say so.
LEVEL = 0.01
EFFECT_FLOOR = 0.5
FEWEST_WRONG = 5  # wrong images below which nothing is concluded
LEAD = 1.5  # standard errors by which one cause's votes must lead over another's

_BEYOND_THE_FROZEN = 10
_FEWEST_MOVED = 3
_UNUSUAL = 0.05
_NEIGHBOURS = 5
_FEWEST_OF_CLASS = 20  # below, the distances of all classes' images stand in for its own
_ROUNDING = 1e-9
_LEAST_SPREAD = 0.25  # within a class, as a share of the spread over all


@dataclass(frozen=True, slots=True)
class Rows:
    """Images as the model and a person see them.

    Attributes:
        labels: Class numbers, int64 (n,).
        embedding: Of length 1, float32 (n, d).
        descriptors: Plain numbers of each picture, float64 (n, c).
    """

    labels: NDArray[np.int64]
    embedding: NDArray[np.float32]
    descriptors: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.embedding.ndim != 2 or self.descriptors.ndim != 2:
            raise StatisticsError("embedding and descriptors must have two dimensions")
        if not n == len(self.embedding) == len(self.descriptors):
            raise StatisticsError(
                f"{n} labels for {len(self.embedding)} embeddings and "
                f"{len(self.descriptors)} rows of descriptors"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """Return some of them, by place or by a mask."""
        return Rows(self.labels[rows], self.embedding[rows], self.descriptors[rows])


@dataclass(frozen=True, slots=True)
class Movement:
    """How far some images moved away from the classes they are held against.

    The last column is the embedding's, the others are the descriptors'.

    Attributes:
        n: Images.
        effect: Mean distance in standard deviations of a class, float64 (c + 1,); for the
            embedding positive, where the images lie further out than those of the class do.
        p_value: Of each, by chance alone, (c + 1,).
        adjusted: Corrected over the columns by Benjamini and Hochberg, (c + 1,).
    """

    n: int
    effect: NDArray[np.float64]
    p_value: NDArray[np.float64]
    adjusted: NDArray[np.float64]

    @property
    def moved(self) -> NDArray[np.bool_]:
        """Which columns moved, (c + 1,)."""
        return (self.adjusted <= LEVEL) & (np.abs(self.effect) >= EFFECT_FLOOR)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose fault the weakness of one class is.

    Attributes:
        blame: The cause; None where it is not clear, or too few images are wrong.
        wrong: Wrong images that could be held against the reference.
        votes: How many of them look as the class they were taken for (`label`), as the class they
            are labelled as (`model`), or as neither (`data`).
        from_own: All images of the class against the class they are labelled as.
        right_from_own: Those that were answered rightly, alone.
        from_predicted: The wrong ones against the class they were taken for.
    """

    blame: Blame | None
    wrong: int
    votes: Mapping[Blame, int]
    from_own: Movement
    right_from_own: Movement
    from_predicted: Movement


@dataclass(frozen=True, slots=True)
class _Kind:
    """One class of the reference, and how far its own images lie from their neighbours."""

    embedding: NDArray[np.float32]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    near: NDArray[np.float64]


class Reference:
    """The kinds of images that the reference holds, class by class.

    Args:
        rows: Images of the time when nothing was wrong, with true labels.

    Raises:
        StatisticsError: There are none.
    """

    def __init__(self, rows: Rows) -> None:
        if not len(rows):
            raise StatisticsError("a reference without images cannot tell what is usual")
        overall = rows.descriptors.std(axis=0)
        self._kinds = {
            int(number): _kind(rows.take(rows.labels == number), overall)
            for number in np.unique(rows.labels)
        }
        several = [kind.near for kind in self._kinds.values() if len(kind.near) > 1]
        self._near = np.sort(np.concatenate([*several, np.zeros(0)]))

    def knows(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of each class number whether there are images of it, (n,)."""
        return np.isin(labels, list(self._kinds))

    def p_values(self, rows: Rows, against: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how usual each image lies among those of a class, (n,): conformal p-values.

        The share of the class's images that lie as far from their five nearest neighbours in it,
        the image itself counted as one of them.

        Args:
            rows: The images.
            against: The class for each, (n,); all of them known.
        """
        p = np.empty(len(rows))
        for number in np.unique(against).tolist():
            kind, those = self._kinds[number], against == number
            ordered = kind.near if len(kind.near) >= _FEWEST_OF_CLASS else self._near
            far = _nearness(rows.embedding[those], kind.embedding)
            as_far = len(ordered) - np.searchsorted(ordered, far, side="left")
            p[those] = (1 + as_far) / (1 + len(ordered))
        return p

    def columns(self, rows: Rows, against: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return descriptors and embedding in standard deviations of a class, (n, c + 1)."""
        found = np.empty((len(rows), rows.descriptors.shape[1] + 1))
        for number in np.unique(against).tolist():
            kind, those = self._kinds[number], against == number
            found[those, :-1] = (rows.descriptors[those] - kind.mean) / kind.spread
        p = self.p_values(rows, against)
        # A p-value is never 0, and 1 only where the image lies on top of others.
        found[:, -1] = -cast("Any", special).ndtri(np.minimum(p, 0.99))
        return found

    def sizes(self, against: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how many reference images there are of each class number, (n,)."""
        return np.array([len(self._kinds[number].near) for number in against.tolist()], np.float64)


def blame(reference: Reference, current: Rows, predicted: NDArray[np.int64]) -> Verdict:
    """Return whose fault the weakness of a class is, as the module's table says.

    Images of which the reference knows neither the label nor the prediction are left out.

    Args:
        reference: Images of the time when nothing was wrong.
        current: All images of the class since it sank, with the labels they bear.
        predicted: What each was taken for, int64 (n,).
    """
    known = reference.knows(current.labels) & reference.knows(predicted)
    rows, said = current.take(known), predicted[known]
    is_wrong = said != rows.labels
    wrong, mistaken = rows.take(is_wrong), said[is_wrong]
    right = rows.take(~is_wrong)
    votes = _votes(reference, wrong, mistaken)
    from_own = movement(reference, rows, rows.labels)
    right_from_own = movement(reference, right, right.labels)
    from_predicted = movement(reference, wrong, mistaken)
    own, other = bool(from_own.moved.any()), bool(from_predicted.moved.any())
    named: Blame | None
    if own and (other or right_from_own.moved.any()):
        named = "data"
    elif own:
        named = "label" if _leads(votes, "label", over="data") else None
    elif other:
        named = "model"
    else:
        first = max(votes, key=lambda each: votes[each])
        clear = all(_leads(votes, first, over=each) for each in votes if each != first)
        named = first if clear else None
    enough = len(wrong) >= FEWEST_WRONG
    return Verdict(
        named if enough else None, len(wrong), votes, from_own, right_from_own, from_predicted
    )


def share_turned(leads: NDArray[np.float64], deviation: float) -> float:
    """Return the share of wrong answers that a runtime which computes otherwise can have turned.

    Where no logit is off by more than d, an answer that was right before leads over the label by
    at most 2 d now. Frozen images are few, and others may be off by more: d is taken tenfold.

    Args:
        leads: By how much the logit of each wrong answer lies above the label's, (n,).
        deviation: Largest difference of a logit of the frozen images, finite.

    Example:
        >>> share_turned(np.array([0.1, 3.0]), deviation=0.01)
        0.5
    """
    if not len(leads):
        return 0.0
    return float(np.mean(leads <= 2 * _BEYOND_THE_FROZEN * deviation))


def looks_as(reference: Reference, rows: Rows, predicted: NDArray[np.int64]) -> list[Blame]:
    """Return of each wrong image whose fault it is by its looks alone, all classes known."""
    p = reference.p_values(rows, predicted)
    q = reference.p_values(rows, rows.labels)
    usual = np.maximum(p, q) >= _UNUSUAL
    kinds: list[Blame] = ["data", "model", "label"]
    return [kinds[place] for place in np.where(usual, 1 + (p > q), 0).tolist()]


def movement(reference: Reference, rows: Rows, against: NDArray[np.int64]) -> Movement:
    """Return how far images moved away from the classes they are held against.

    One Student test a column, of the mean distance in standard deviations against 0. Its standard
    error holds that of the reference's own mean: sqrt(s^2 / n + mean(1 / m)), with s at least a
    quarter and m the reference images of each image's class. Below three images nothing moved.

    Args:
        reference: Where the classes are.
        rows: The images.
        against: The class for each, (n,); all of them known.
    """
    n, width = len(rows), rows.descriptors.shape[1] + 1
    if n < _FEWEST_MOVED:
        return _still(n, width)
    columns = reference.columns(rows, against)
    effect, variance = columns.mean(axis=0), _variance(reference, columns, against)
    p = _two_sided(effect / np.sqrt(variance), n - 1)
    return Movement(n, effect, p, benjamini_hochberg(p))


def moved_alone(reference: Reference, rows: Rows, others: Rows) -> Movement:
    """Return how far a class moved away from its reference beyond what all others did.

    A column's effect is the class's mean less that of the others, each image in standard
    deviations of its own class; Welch's test. What moved everywhere, such as the light of a
    season, is no movement here.

    Args:
        reference: Where the classes are.
        rows: Images of the class, which the reference knows.
        others: Images of other classes of the same days; those unknown are left out.
    """
    beside = others.take(reference.knows(others.labels))
    n, m, width = len(rows), len(beside), rows.descriptors.shape[1] + 1
    if min(n, m) < _FEWEST_MOVED:
        return _still(n, width)
    own, those = (reference.columns(each, each.labels) for each in (rows, beside))
    a, b = _variance(reference, own, rows.labels), _variance(reference, those, beside.labels)
    effect = own.mean(axis=0) - those.mean(axis=0)
    freedom = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    p = _two_sided(effect / np.sqrt(a + b), freedom)
    return Movement(n, effect, p, benjamini_hochberg(p))


def _still(n: int, columns: int) -> Movement:
    """Return the movement of too few images: none."""
    return Movement(n, np.zeros(columns), np.ones(columns), np.ones(columns))


def _variance(
    reference: Reference, columns: NDArray[np.float64], against: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the squared standard error of each column's mean distance, (c + 1,)."""
    spread = np.maximum(columns.var(axis=0, ddof=1), _LEAST_SPREAD**2)
    # Images of one class share the error of that class's mean; of many classes, they average it.
    numbers, counts = np.unique(against, return_counts=True)
    shared = np.sum((counts / len(against)) ** 2 / reference.sizes(numbers))
    return spread / len(against) + shared


def _two_sided(
    statistic: NDArray[np.float64], freedom: NDArray[np.float64] | int
) -> NDArray[np.float64]:
    return 2 * np.asarray(cast("Any", stats).t.sf(np.abs(statistic), freedom), dtype=np.float64)


def _votes(reference: Reference, wrong: Rows, predicted: NDArray[np.int64]) -> dict[Blame, int]:
    votes: dict[Blame, int] = {"label": 0, "model": 0, "data": 0}
    for each in looks_as(reference, wrong, predicted):
        votes[each] += 1
    return votes


def _leads(votes: Mapping[Blame, int], first: Blame, *, over: Blame) -> bool:
    """Say whether one cause's votes lead: by LEAD times sqrt(a + b), the error of a - b."""
    a, b = votes[first], votes[over]
    return a - b >= LEAD * np.sqrt(max(a + b, 1))


def _kind(rows: Rows, overall: NDArray[np.float64]) -> _Kind:
    # A class whose pictures are all of one size must not find every other size impossible.
    spread = np.maximum(rows.descriptors.std(axis=0), _LEAST_SPREAD * overall)
    near = _nearness(rows.embedding, rows.embedding, without_self=True)
    mean = rows.descriptors.mean(axis=0)
    return _Kind(
        embedding=rows.embedding,
        mean=mean,
        # The mean of equal numbers may lie a rounding beside them, and that is no spread.
        spread=np.where(spread > _ROUNDING * np.maximum(np.abs(mean), 1e-300), spread, 1.0),
        near=np.sort(near),
    )


def _nearness(
    rows: NDArray[np.float32], of: NDArray[np.float32], *, without_self: bool = False
) -> NDArray[np.float64]:
    """Return each row's mean distance to its nearest neighbours among `of`, (n,)."""
    # For rows of length 1 the squared distance is 2 - 2 cos.
    distance = np.sqrt(np.maximum(2 - 2 * rows.astype(np.float64) @ of.astype(np.float64).T, 0))
    if without_self:
        np.fill_diagonal(distance, np.inf)
    most = min(_NEIGHBOURS, distance.shape[1] - without_self)
    if most < 1:
        return np.zeros(len(rows))
    return np.sort(distance, axis=1)[:, :most].mean(axis=1)
