"""What every runtime looks like from outside, and how it is to be called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Device = Literal["auto", "cpu", "cuda"]

_OFFLINE_BATCH: Final = 64


class Tensor(Protocol):
    """An input or output of a graph; a length that it leaves open is a name."""

    name: str
    type: str
    shape: list[int | str | None]


class Session(Protocol):
    """A loaded graph; many threads may call it at once."""

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, NDArray[np.uint8]], /
    ) -> list[NDArray[np.float32]]:
        """Return the outputs asked for, in that order."""
        ...

    def get_inputs(self) -> list[Tensor]:
        """Return what the graph takes."""
        ...

    def get_outputs(self) -> list[Tensor]:
        """Return what the graph gives."""
        ...


@dataclass(frozen=True, slots=True)
class Threads:
    """How a session is called, and how it shares out the processor.

    Attributes:
        per_call: Threads that compute one call, on a CPU.
        callers: Calls that are made at a time, each by a thread of its own.
        batches: Sizes that a GPU is prepared for: a batch is padded to the next of them, and one
            beyond the largest is taken in pieces. A CPU takes any size.
    """

    per_call: int
    callers: int = 1
    batches: tuple[int, ...] = (_OFFLINE_BATCH,)


@dataclass(frozen=True, slots=True)
class Described:
    """A tensor as `Tensor` wants it, of a runtime that describes its own otherwise."""

    name: str
    type: str
    shape: list[int | str | None]


def buckets(largest: int) -> tuple[int, ...]:
    """Return the sizes to prepare a GPU for: 1, 2, 4, ... and the largest.

    Example:
        >>> buckets(48)
        (1, 2, 4, 8, 16, 32, 48)
    """
    powers = [1 << i for i in range(largest.bit_length()) if 1 << i < largest]
    return (*powers, largest)
