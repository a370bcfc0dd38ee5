"""What people look at of a day's drift, drawn without a database."""

import numpy as np

from core.bundle.profile import COLUMNS
from monitor.drift import pictures
from monitor.drift.samples import Sample

LABELS = ["Cat", "Cow", "Dog"]


def _sample(n: int, *, shift: float = 0.0, seed: int = 0, only: int | None = None) -> Sample:
    rng = np.random.default_rng(seed)
    predicted = np.full(n, only) if only is not None else rng.integers(0, 2, n)
    return Sample(
        {name: rng.normal(shift, 1, n) for name in COLUMNS},
        predicted,
        rng.normal(shift, 1, (n, 256)).astype(np.float32),
        np.bincount(predicted, minlength=3),
        tuple(f"{seed}-{row}" for row in range(n)),
    )


class TestHistograms:
    """Both sides counted over the same bins."""

    def test_count_every_row_once(self):
        """Also those beyond the outermost bins."""
        found = pictures.histograms(_sample(500), _sample(200, shift=3, seed=1), LABELS)

        overall = found.of("brightness")

        assert overall is not None
        assert (overall.reference.sum(), overall.current.sum()) == (500, 200)
        assert found.mix.tolist() == [
            [*np.bincount(_sample(500).predicted), 0],
            [*np.bincount(_sample(200, seed=1).predicted), 0],
        ]

    def test_of_a_class_hold_its_rows_alone(self):
        """And no class with too few rows is counted by itself."""
        current = _sample(200, seed=1)
        found = pictures.histograms(_sample(500), current, LABELS)

        cow = found.of("margin", "Cow")

        assert cow is not None
        assert cow.current.sum() == (current.predicted == 1).sum()
        assert (found.classes, found.of("margin", "Dog")) == (["Cat", "Cow"], None)

    def test_f27_leave_nan_out_and_show_a_constant_as_one_bar(self):
        """F27: pictures of one size have one aspect."""
        stuck = _sample(100)
        stuck.columns["aspect"][:] = 1.5
        stuck.columns["sharpness"][:] = np.nan

        found = pictures.histograms(stuck, stuck, LABELS)

        aspect, sharpness = found.of("aspect"), found.of("sharpness")
        assert aspect is not None
        assert sharpness is not None
        assert (np.count_nonzero(aspect.current), aspect.current.max()) == (1, 100)
        assert sharpness.current.sum() == 0


class TestPoints:
    """The map of the embeddings."""

    def test_are_bounded_and_spread_over_all_rows(self):
        """A reference of four past weekdays lies there day after day."""
        found = pictures.points((_sample(5_000), _sample(300, seed=1)), LABELS, {})

        assert (len(found.xy), int(found.is_current.sum())) == (2_300, 300)

    def test_name_the_pictures_that_the_pool_has(self):
        """A click on a point shows it."""
        sides = (_sample(50), _sample(50, seed=1))

        found = pictures.points(sides, LABELS, {"1-7": 42})

        assert np.flatnonzero(found.image).tolist() == [57]
        assert found.image[57] == 42

    def test_leave_out_rows_without_an_embedding(self):
        """Predictions of older services have none."""
        blank = _sample(50, seed=1)
        blank.embedding[:] = np.nan

        found = pictures.points((_sample(1), blank), LABELS, {})

        assert (found.xy.tolist(), found.is_current.tolist()) == ([[0.0, 0.0]], [False])
