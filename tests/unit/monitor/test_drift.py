"""Verdicts on columns, without a database or Evidently."""

from datetime import date

import numpy as np
import pytest

from core.bundle.profile import COLUMNS
from monitor import columns, drift
from monitor.columns import Sample


def _sample(rng: np.random.Generator, n: int, shift: float = 0.0, labels: int = 5) -> Sample:
    return Sample(
        {name: rng.normal(shift, 1, n) for name in COLUMNS},
        rng.integers(0, labels, n),
        rng.normal(shift, 1, (n, 256)).astype(np.float32),
    )


def _verdicts(reference: Sample, current: Sample) -> dict[str, str]:
    findings = columns.compare(reference, current, {}, np.random.default_rng(0))
    checks = drift.judge(findings, date(2026, 3, 1), "v1", None)
    return {check.column: check.verdict for check in checks}


class TestVerdicts:
    """What is called drift."""

    def test_samples_of_one_source_are_no_drift(self):
        """Eleven columns, none of them by accident."""
        rng = np.random.default_rng(1)

        assert set(_verdicts(_sample(rng, 500), _sample(rng, 500)).values()) == {"no drift"}

    def test_a_shift_of_every_column_is_found_in_every_column(self):
        """Half a standard deviation, with 500 predictions; the labels keep their mix."""
        rng = np.random.default_rng(1)
        verdicts = _verdicts(_sample(rng, 500), _sample(rng, 500, shift=0.5))

        assert {name for name, said in verdicts.items() if said == "no drift"} == {
            columns.PREDICTED
        }

    def test_a_sure_but_tiny_shift_is_no_drift(self):
        """With 20,000 rows a twentieth of a standard deviation is certain, and does not matter."""
        rng = np.random.default_rng(1)
        reference, current = _sample(rng, 20_000), _sample(rng, 20_000, shift=0.05)
        check = next(
            each
            for each in drift.judge(
                columns.compare(reference, current, {}, rng), date(2026, 3, 1), "v1", None
            )
            if each.column == "brightness"
        )

        assert (check.adjusted_p < check.level, check.verdict) == (True, "no drift")

    def test_identical_images_are_drift_in_defined_numbers(self):
        """F27: a stuck camera sends one picture for ever; nothing is divided by zero."""
        rng = np.random.default_rng(1)
        stuck = Sample(
            {name: np.ones(200) for name in COLUMNS},
            np.zeros(200, dtype=np.int64),
            np.ones((200, 256), dtype=np.float32),
        )

        assert set(_verdicts(_sample(rng, 500), stuck).values()) == {"drift"}

    def test_columns_constant_on_both_sides_are_no_drift(self):
        """F27: pictures of one size have one aspect."""
        same = Sample(
            {name: np.ones(200) for name in COLUMNS},
            np.zeros(200, dtype=np.int64),
            np.ones((200, 256), dtype=np.float32),
        )

        assert set(_verdicts(same, same).values()) == {"no drift"}

    @pytest.mark.parametrize("labels", [1000, 2500])
    def test_labels_too_rare_to_be_told_apart_are_not_enough_data(self, labels: int):
        """F25: 200 predictions say nothing about the mix of a thousand classes."""
        rng = np.random.default_rng(1)
        verdicts = _verdicts(_sample(rng, 500, labels=labels), _sample(rng, 200, labels=labels))

        assert verdicts[columns.PREDICTED] == "not enough data"

    def test_a_column_of_nothing_but_nan_is_not_enough_data(self):
        """F27: what is not finite has been left out, here all of it."""
        rng = np.random.default_rng(1)
        current = _sample(rng, 200)
        current.columns["sharpness"] = np.zeros(0)

        assert _verdicts(_sample(rng, 500), current)["sharpness"] == "not enough data"


class TestFalseVerdicts:
    """Nothing has changed, a hundred times."""

    def test_at_most_one_window_in_twenty_is_called_drift(self):
        """The correction keeps 5 % for the family, and the floors do the rest."""
        rng = np.random.default_rng(2)
        reference = _sample(rng, 2_000)
        windows = [_verdicts(reference, _narrow(_sample(rng, 500))) for _ in range(100)]

        assert sum("drift" in verdicts.values() for verdicts in windows) <= 5


def _narrow(sample: Sample) -> Sample:
    """Leave the embedding out: its permutations take most of the time."""
    return Sample(sample.columns, sample.predicted, np.zeros((0, 256), dtype=np.float32))
