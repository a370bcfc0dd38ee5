"""F28: ninety days on which nothing changes, 100 classes, every column of numbers and labels."""

import numpy as np
import pytest

from core.bundle.profile import COLUMNS
from monitor.drift import columns, drift
from monitor.drift.columns import Finding
from monitor.drift.samples import Sample

DAYS, CLASSES = 90, 100
SERVES = 6  # days, before the next version with a reference of its own
MOVING = COLUMNS[:3]  # the others hold nothing here, so that the quarter takes seconds
NAMES = [f"class {number}" for number in range(CLASSES)]


def _window(rng: np.random.Generator, n: int) -> Sample:
    """Return traffic in which every class has pictures of its own kind, always the same."""
    predicted = rng.integers(0, CLASSES, n)
    kinds = np.random.default_rng(0).normal(size=(CLASSES, len(MOVING)))
    values = kinds[predicted] + rng.normal(size=(n, len(MOVING)))
    found = {name: np.full(n, np.nan) for name in COLUMNS}
    found |= {name: values[:, place] for place, name in enumerate(MOVING)}
    counts = np.bincount(predicted, minlength=CLASSES)
    return Sample(found, predicted, np.full((n, 1), np.nan, np.float32), counts)


@pytest.fixture(scope="module")
def quiet() -> list[list[tuple[Finding, float | None]]]:
    """What each of the days finds, with its corrected p-value."""
    rng = np.random.default_rng(28)
    days: list[list[tuple[Finding, float | None]]] = []
    # Days with one reference have its accidents in common.
    references = [_window(rng, 6_000) for _ in range(DAYS // SERVES)]
    for number in range(DAYS):
        reference = references[number // SERVES]
        current = _window(rng, 5_000)
        found = columns.compare(reference, current, NAMES, {}, rng)
        found += columns.compare_classes(reference, current, rng)
        days.append(list(zip(found, drift.correct(found), strict=True)))
    return days


class TestQuietQuarter:
    """Drift over 90 days x 100 classes without drift."""

    def test_f28_every_class_is_asked_every_day(self, quiet):
        """Silence would say little if nothing had been looked at."""
        asked = [len({each.label for each, _ in day} - {None}) for day in quiet]

        assert min(asked) >= 0.9 * CLASSES

    def test_f28_a_day_has_any_finding_at_most_as_often_as_its_level(self, quiet):
        """One in twenty of 90 days is 4.5; ten and more would come once in a hundred quarters."""
        flagged = [any(drift.verdict_of(each, p) == "drift" for each, p in day) for day in quiet]

        assert sum(flagged) < 10

    def test_f28_the_correction_alone_keeps_the_level(self, quiet):
        """Without the floors of effect, too: p-values of one reference, corrected over a day."""
        flagged = [any(p is not None and p <= drift.LEVEL for _, p in day) for day in quiet]

        assert sum(flagged) < 10

    def test_f28_uncorrected_p_values_are_what_they_say(self, quiet):
        """A twentieth of all tests lies below 0.05, by class and in all."""
        p_values = np.array([each.p_value for day in quiet for each, _ in day if each.p_value])

        assert p_values.size > 25_000
        assert 0.03 <= np.mean(p_values <= 0.05) <= 0.065
