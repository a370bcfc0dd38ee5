"""Which class has become weak, and which has recovered, asked anew every day.

Detectors with a memory over the e-SR bet of core.stats.evidence. K classes together raise
at most K T / c false alarms in T days, however they depend on each other, so the owner's
alarm budget alone fixes the threshold c. A detector is a pure function of each class's
(n, k) sequence: no clock, no random numbers, no influence of one class on another.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self, TypedDict

import numpy as np

from core.errors import StatisticsError
from core.stats.evidence import (
    RATIOS,
    RATIOS_UP,
    alarm_threshold,
    checked_levels,
    checked_ratios,
    empty_log_m,
    recovery_step,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

RECOVERY_THRESHOLD = 20.0


class DetectorState(TypedDict):
    """A detector in words JSON has; floats survive it bit for bit, None is minus infinity."""

    kind: str
    null: list[float]
    ratios: list[float]
    threshold: float
    log_m: list[list[float | None]]
    days: list[int]
    evidence: list[float]


class _Detector:
    """The recursion with its memory; the two detectors differ in what they count."""

    _KIND: ClassVar[str]

    def __init__(
        self, null: NDArray[np.float64], threshold: float, ratios: Sequence[float]
    ) -> None:
        if not 0 < threshold < math.inf:
            raise StatisticsError(f"the threshold is {threshold}; it must be above zero")
        self._null = null
        self._ratios = tuple(float(ratio) for ratio in checked_ratios(ratios))
        self._threshold = float(threshold)
        self._log_m: NDArray[np.float64] = empty_log_m(null.size, self._ratios)
        self._days: NDArray[np.int64] = np.zeros(null.size, dtype=np.int64)
        self._evidence: NDArray[np.float64] = np.zeros(null.size)

    @property
    def threshold(self) -> float:
        """The evidence at which a class speaks up."""
        return self._threshold

    @property
    def evidence(self) -> NDArray[np.float64]:
        """E of each class's last day with images, before any reset; shape (K,), at first 0."""
        return self._evidence.copy()

    @property
    def days(self) -> NDArray[np.int64]:
        """Days with images that each class has counted, shape (K,)."""
        return self._days.copy()

    @property
    def log_m(self) -> NDArray[np.float64]:
        """Logarithms of M_g, shape (K, G); minus infinity at first and after a reset."""
        return self._log_m.copy()

    def _absorb(
        self, stepped: tuple[NDArray[np.float64], NDArray[np.float64]], total: ArrayLike
    ) -> NDArray[np.bool_]:
        """Take over a finished step and return which classes reached the threshold."""
        log_m, evidence = stepped
        touched = np.asarray(total) > 0
        reached = touched & self._may_speak() & (evidence >= self._threshold)
        self._log_m = np.where(reached[:, None], -np.inf, log_m)
        self._evidence = np.where(touched, evidence, self._evidence)
        self._days = self._days + touched
        return reached

    def _may_speak(self) -> NDArray[np.bool_]:
        """Return which classes may reach the threshold on this day, before it is counted."""
        return np.ones(self._null.size, dtype=np.bool_)

    def to_state(self) -> DetectorState:
        """Return everything the detector knows, as plain lists that JSON can carry."""
        rows: list[list[float]] = self._log_m.tolist()
        return {
            "kind": self._KIND,
            "null": self._null.tolist(),
            "ratios": list(self._ratios),
            "threshold": self._threshold,
            "log_m": [[None if value == -math.inf else value for value in row] for row in rows],
            "days": self._days.tolist(),
            "evidence": self._evidence.tolist(),
        }

    def _restore(self, state: DetectorState) -> Self:
        try:
            log_m: NDArray[np.float64] = np.array(
                [[-math.inf if value is None else value for value in row] for row in state["log_m"]]
            )
            days = np.array(state["days"], dtype=np.int64)
            evidence = np.array(state["evidence"], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise StatisticsError(f"the saved {self._KIND} state cannot be read") from error
        if log_m.shape != self._log_m.shape or not days.shape == evidence.shape == self._null.shape:
            raise StatisticsError(f"the saved {self._KIND} state does not fit its own classes")
        if np.isnan(log_m).any() or np.isnan(evidence).any() or (days < 0).any():
            raise StatisticsError(f"the saved {self._KIND} state holds impossible numbers")
        self._log_m, self._days, self._evidence = log_m, days, evidence
        return self


class SequentialDetector(_Detector):
    """Raises an alarm for each class that has sunk below its own reference level.

    Args:
        reference: Accuracy r_c each class is held to, shape (K,), inside (0, 1); see
            core.stats.proportions.reference_levels.
        budget: False class-alarms accepted per 30 days over all K classes.
        ratios: Alternatives as shares of the reference.
        threshold: Used instead of 30 K / budget, where these classes are only some of
            those that share the budget.

    Raises:
        StatisticsError: A level, ratio, budget or threshold is out of range.

    Example:
        >>> detector = SequentialDetector(np.array([0.95, 0.95]))
        >>> [detector.update([10, 4], [10, 10]).tolist() for day in range(2)]
        [[False, True], [False, True]]
    """

    _KIND = "alarm"

    def __init__(
        self,
        reference: ArrayLike,
        *,
        budget: float = 0.3,
        ratios: Sequence[float] = RATIOS,
        threshold: float | None = None,
    ) -> None:
        null = checked_levels(reference)
        limit = alarm_threshold(null.size, budget) if threshold is None else threshold
        super().__init__(null, limit, ratios)

    def update(self, correct: ArrayLike, total: ArrayLike) -> NDArray[np.bool_]:
        """Count one day and return which classes raise an alarm, shape (K,).

        A class that does starts again from nothing. A class without images keeps its state,
        and its evidence, as they were.

        Args:
            correct: The day's right answers, shape (K,).
            total: The day's images, shape (K,).

        Raises:
            StatisticsError: The counts are impossible; nothing has been counted then.
        """
        return self._absorb(step(self._log_m, correct, total, self._null, self._ratios), total)

    @classmethod
    def from_state(cls, state: DetectorState) -> Self:
        """Return the detector that `to_state` described, equal to it bit for bit."""
        _refuse_other_kind(state, cls._KIND)
        fresh = cls(state["null"], ratios=state["ratios"], threshold=state["threshold"])
        return fresh._restore(state)


class RecoveryDetector(_Detector):
    """Says of each class when it has been shown to answer right more often than its level.

    The evidence is that of SequentialDetector, on mistakes instead of right answers. A class
    that stays at or below its level is called recovered at most T / threshold times in T
    days. One good day never closes an alarm, however many images it had: only from the
    second day with images, since the start or the last recovery, can a class have recovered.

    Args:
        level: Accuracy to be exceeded, shape (K,), inside (0, 1); see
            core.stats.proportions.recovery_levels.
        threshold: Evidence that closes an alarm.
        ratios_up: Alternatives as shares of the chance of a mistake, 1 - level.

    Raises:
        StatisticsError: A level, ratio or threshold is out of range.
    """

    _KIND = "recovery"

    def __init__(
        self,
        level: ArrayLike,
        *,
        threshold: float = RECOVERY_THRESHOLD,
        ratios_up: Sequence[float] = RATIOS_UP,
    ) -> None:
        super().__init__(checked_levels(level), threshold, ratios_up)

    def update(self, correct: ArrayLike, total: ArrayLike) -> NDArray[np.bool_]:
        """Count one day and return which classes have recovered, shape (K,).

        Arguments and errors are those of SequentialDetector.update.
        """
        stepped = recovery_step(self._log_m, correct, total, self._null, self._ratios)
        return self._absorb(stepped, total)

    def _may_speak(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self._log_m).all(axis=1))

    @classmethod
    def from_state(cls, state: DetectorState) -> Self:
        """Return the detector that `to_state` described, equal to it bit for bit."""
        _refuse_other_kind(state, cls._KIND)
        fresh = cls(state["null"], threshold=state["threshold"], ratios_up=state["ratios"])
        return fresh._restore(state)


def _refuse_other_kind(state: Mapping[str, object], kind: str) -> None:
    missing = DetectorState.__required_keys__ - state.keys()
    if missing:
        raise StatisticsError(f"a saved {kind} state lacks {', '.join(sorted(missing))}")
    if state["kind"] != kind:
        raise StatisticsError(f"a saved {state['kind']} state is no {kind} state")
