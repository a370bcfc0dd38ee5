"""Verdicts on columns, without a database or Evidently."""

from dataclasses import replace

import numpy as np
import pytest

from core.bundle.profile import COLUMNS
from monitor.drift import columns, drift
from monitor.drift.columns import Finding
from monitor.drift.samples import Sample

NAMES = [f"class {number}" for number in range(2_500)]


def _sample(rng: np.random.Generator, n: int, shift: float = 0.0, labels: int = 5) -> Sample:
    predicted = rng.integers(0, labels, n)
    return Sample(
        {name: rng.normal(shift, 1, n) for name in COLUMNS},
        predicted,
        rng.normal(shift, 1, (n, 256)).astype(np.float32),
        np.bincount(predicted, minlength=labels),
    )


def _findings(reference: Sample, current: Sample) -> dict[str, tuple[Finding, float | None]]:
    rng = np.random.default_rng(0)
    found = columns.compare(reference, current, NAMES, {}, rng)
    return {each.column: (each, p) for each, p in zip(found, drift.correct(found), strict=True)}


def _verdicts(reference: Sample, current: Sample) -> dict[str, str]:
    found = _findings(reference, current)
    return {name: drift.verdict_of(*pair) for name, pair in found.items()}


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

        finding, adjusted = _findings(reference, current)["brightness"]

        assert adjusted is not None
        assert (adjusted < drift.LEVEL, drift.verdict_of(finding, adjusted)) == (True, "no drift")

    def test_f27_identical_images_are_drift_in_defined_numbers(self):
        """F27: a stuck camera sends one picture for ever; nothing is divided by zero."""
        rng = np.random.default_rng(1)

        assert set(_verdicts(_sample(rng, 500), _stuck()).values()) == {"drift"}

    def test_f27_columns_constant_on_both_sides_are_no_drift(self):
        """F27: pictures of one size have one aspect."""
        assert set(_verdicts(_stuck(), _stuck()).values()) == {"no drift"}

    @pytest.mark.parametrize("labels", [1000, 2500])
    def test_f25_labels_too_rare_to_be_told_apart_are_not_enough_data(self, labels: int):
        """F25: 200 predictions say nothing about the mix of a thousand classes."""
        rng = np.random.default_rng(1)
        verdicts = _verdicts(_sample(rng, 500, labels=labels), _sample(rng, 200, labels=labels))

        assert verdicts[columns.PREDICTED] == "not enough data"

    def test_f27_a_column_of_nothing_but_nan_is_not_enough_data(self):
        """F27: what is not finite is left out, here all of it."""
        rng = np.random.default_rng(1)
        current = _sample(rng, 200)
        current.columns["sharpness"] = np.full(200, np.nan)

        assert _verdicts(_sample(rng, 500), current)["sharpness"] == "not enough data"


class TestMixOfLabels:
    """A shift of the class mix by ten points, and chance."""

    @pytest.mark.parametrize("labels", [2, 3, 5, 10, 15, 100])
    def test_ten_points_onto_one_class_are_found_in_95_of_100_runs(self, labels: int):
        """With 500 predictions, against a profile of 2,000, by the whole verdict."""
        rng = np.random.default_rng(3)
        even = np.full(labels, 1 / labels)
        moved = np.where(np.arange(labels) == 0, even + 0.1, even * (1 - 0.1 / (1 - even)))

        assert sum(_says_drift(rng, even, moved) for _ in range(200)) >= 190

    def test_chance_alone_is_not_found(self):
        """500 predictions in 15 classes: its share of 5 %, and twice that for bad luck."""
        rng = np.random.default_rng(3)
        even = np.full(15, 1 / 15)

        assert sum(_says_drift(rng, even, even) for _ in range(400)) <= 26

    def test_names_the_class_that_moved_most(self):
        """The reader's next question."""
        rng = np.random.default_rng(3)
        finding = _mix(rng, np.array([0.5, 0.5]), np.array([0.2, 0.8]))

        assert "class" in finding.detail
        assert "50 % to" in finding.detail.replace("49 %", "50 %").replace("51 %", "50 %")


class TestByClass:
    """The predictions of one class."""

    def test_a_class_that_moved_alone_is_found_alone(self):
        """One camera of five is out of focus: a fifth of the traffic, drowned overall."""
        rng = np.random.default_rng(5)
        reference, current = _sample(rng, 1_000), _sample(rng, 1_000)
        current.columns["sharpness"][current.predicted == 3] -= 0.8

        found = columns.compare_classes(reference, current, rng)
        verdicts = zip(found, drift.correct(found), strict=True)

        drifted = {
            (each.label, each.column)
            for each, p in verdicts
            if drift.verdict_of(each, p) == "drift"
        }
        assert drifted == {(3, "sharpness")}

    def test_f25_classes_without_rows_enough_on_both_sides_are_left_out(self):
        """F25: a profile of 2,000 rows knows two of each of a thousand classes."""
        rng = np.random.default_rng(5)
        few, many = _sample(rng, 100, labels=1000), _sample(rng, 5_000, labels=1000)

        assert columns.compare_classes(few, many, rng) == []


class TestCorrect:
    """The correction over the family."""

    def test_a_thousand_quiet_classes_do_not_drown_a_column(self):
        """Nine tenths of the level belong to the columns over all predictions."""
        overall = Finding("embedding", "", 500, 500, 0.6, 0.7, 0.003, 0.7)
        quiet = [replace(overall, label=label, p_value=0.9) for label in range(1000)]
        names = (*COLUMNS, columns.PREDICTED)
        others = [replace(overall, column=name, p_value=0.9) for name in names]

        adjusted = drift.correct([overall, *others, *quiet])[0]

        assert adjusted == pytest.approx(0.003 / 0.075 * 0.95)  # no column by class was asked

    def test_what_moved_within_one_class_may_use_a_share_kept_for_classes(self):
        """Not so small that the shuffles of fifteen classes could not reach it."""
        quiet = Finding("embedding", "", 500, 500, 0.6, 0.7, 0.9, 0.7)
        day = [replace(quiet, column=name) for name in (*COLUMNS, columns.PREDICTED, "embedding")]
        classes = [replace(each, label=label) for label in range(15) for each in (*day[:-2], quiet)]
        least = replace(quiet, label=15, p_value=1 / 10_001)

        assert (drift.correct([least, *day, *classes])[0] or 1) <= drift.LEVEL

    def test_what_was_not_tested_is_not_counted(self):
        """A column without data is no test that could fail."""
        tested = Finding("brightness", "", 500, 500, 0.1, 0.2, 0.04, 0.2)
        untested = replace(tested, column="contrast", p_value=None)

        assert drift.correct([untested, tested]) == [None, 0.04]


class TestFalseVerdicts:
    """Nothing has changed, a hundred times."""

    def test_at_most_one_window_in_twenty_is_called_drift(self):
        """The correction keeps 5 % for the family, and the floors do the rest."""
        rng = np.random.default_rng(2)
        reference = _sample(rng, 2_000)
        windows = [_verdicts(reference, _narrow(_sample(rng, 500))) for _ in range(100)]

        assert sum("drift" in verdicts.values() for verdicts in windows) <= 5

    def test_before_correction_one_test_in_twenty_is_flagged(self):
        """STATISTICS.md: 5 % +- 1.5 % on 1,000 windows; sizes of pictures repeat, and count too."""
        rng = np.random.default_rng(4)
        flagged = dict.fromkeys(("brightness", "aspect", columns.PREDICTED), 0)
        for _ in range(1_000):
            reference, current = (_with_sizes(_sample(rng, n), rng) for n in (400, 300))
            for each in (
                columns._of_column("brightness", reference, current, 50, None, rng),
                columns._of_column("aspect", reference, current, 50, None, rng),
                columns._of_labels(reference, current, NAMES, rng),
            ):
                flagged[each.column] += each.p_value is not None and each.p_value <= 0.05

        assert all(35 <= n <= 65 for n in flagged.values()), flagged


def _stuck() -> Sample:
    return Sample(
        {name: np.ones(200) for name in COLUMNS},
        np.zeros(200, dtype=np.int64),
        np.ones((200, 256), dtype=np.float32),
        np.array([200, 0, 0, 0, 0]),
    )


def _narrow(sample: Sample) -> Sample:
    """Leave the embedding out: its permutations take most of the time."""
    return replace(sample, embedding=np.zeros((0, 256), dtype=np.float32))


def _with_sizes(sample: Sample, rng: np.random.Generator) -> Sample:
    sizes = rng.choice([0.75, 1.0, 4 / 3, 1.5], len(sample.predicted), p=[0.1, 0.1, 0.5, 0.3])
    return replace(_narrow(sample), columns=sample.columns | {"aspect": sizes})


def _mix(rng: np.random.Generator, before: np.ndarray, now: np.ndarray) -> Finding:
    sides = [
        replace(_stuck(), counts=rng.multinomial(n, shares))
        for n, shares in ((2_000, before), (500, now))
    ]
    return columns._of_labels(sides[0], sides[1], NAMES, rng)


def _says_drift(rng: np.random.Generator, before: np.ndarray, now: np.ndarray) -> bool:
    """Say whether the mix alone is called drift; all other checks of the day have nothing to say.

    Those are ten columns, and the same ten in every class with 30 rows on both sides.
    """
    finding = _mix(rng, before, now)
    quiet = [Finding(name, "", 500, 2_000, 0.1, 0.0, 0.5, 0.0) for name in (*COLUMNS, "embedding")]
    checked = np.flatnonzero(500 * before >= columns.FEWEST_OF_CLASS).tolist()
    quiet += [replace(each, label=label) for label in checked for each in quiet]
    return drift.verdict_of(finding, drift.correct([finding, *quiet])[0]) == "drift"
