"""What this room accepts as counts and as p-values.

A count that arrives as NaN, 9.5 or -1 is a bug upstream; it is refused here, by name,
before it can become a quiet wrong number in a detector's memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import StatisticsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Past this, a float can no longer hold every whole number.
_LARGEST_COUNT = 2**53


def whole_numbers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """Return `values` as int64, refusing what is not whole, negative or past 2**53.

    Args:
        name: What the values are, for the message.
        values: Any shape; floats are accepted where they are whole.

    Raises:
        StatisticsError: A value is no count.
    """
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "iuf":
        raise StatisticsError(f"{name} must be numbers, not {numbers.dtype}; convert them first")
    # NaN fails both comparisons, so it is refused with the rest.
    sound = (numbers >= 0) & (numbers <= _LARGEST_COUNT)
    sound &= numbers == np.floor(numbers)
    if not np.all(sound):
        first = int(np.flatnonzero(~sound)[0])
        raise StatisticsError(
            f"{name} must be whole numbers from 0 to 2**53; at position {first}"
            f" stands {numbers.flat[first]}"
        )
    return numbers.astype(np.int64)


def checked_counts(
    correct: ArrayLike, total: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return right answers k and images n as int64 arrays of one shape, with 0 <= k <= n.

    Raises:
        StatisticsError: A value is no count, the shapes differ, or some k exceeds its n.
    """
    k, n = whole_numbers("correct", correct), whole_numbers("total", total)
    if k.shape != n.shape:
        raise StatisticsError(f"correct and total differ in shape: {k.shape} and {n.shape}")
    wrong = np.flatnonzero(k > n)
    if wrong.size:
        first = int(wrong[0])
        raise StatisticsError(
            f"correct exceeds total at position {first}: {k.flat[first]} of {n.flat[first]}"
        )
    return k, n


def checked_p_values(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values as float64 of shape (m,); m = 0 is allowed.

    Raises:
        StatisticsError: The shape is not (m,), or a value is no probability.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise StatisticsError(f"p-values must be one row (m,), not of shape {p.shape}")
    if not np.all((p >= 0) & (p <= 1)):
        raise StatisticsError("a p-value lies outside 0 to 1, or is NaN")
    return p
