"""The reference profile comes back bit for bit, and a wrong one is refused."""

from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from core.bundle import files, profile
from core.bundle.profile import COLUMNS, ReferenceProfile
from core.errors import BundleError
from tests.tiny import forge, tiny_bundle


def _profile(n: int = 5) -> ReferenceProfile:
    rng = np.random.default_rng(0)
    return ReferenceProfile(
        columns={name: rng.random(n) for name in COLUMNS},
        predicted=np.arange(n) % 3,
        embedding=rng.random((n, 256)).astype(np.float32),
    )


class TestReferenceProfile:
    """What traffic looked like when nothing was wrong."""

    def test_comes_back_from_bytes_bit_for_bit(self):
        """Distances to it must not depend on when it was read."""
        kept = _profile()

        read = profile.load(profile.save(kept))

        assert all(np.array_equal(read.columns[name], kept.columns[name]) for name in COLUMNS)
        assert np.array_equal(read.predicted, kept.predicted)
        assert np.array_equal(read.embedding, kept.embedding)

    def test_survives_columns_that_are_not_contiguous(self):
        """A strided view has its bytes in another order than its numbers."""
        both = np.random.default_rng(1).random((5, 2))
        kept = replace(_profile(), columns=dict.fromkeys(COLUMNS, both[:, 1]))

        read = profile.load(profile.save(kept))

        assert np.array_equal(read.columns["margin"], both[:, 1])

    def test_may_be_empty(self):
        """A version without a test split has no reference to compare with."""
        assert len(profile.load(profile.save(_profile(0))).predicted) == 0

    def test_is_read_from_a_bundle(self, tmp_path):
        """The monitor asks the champion's folder."""
        folder = tiny_bundle(tmp_path)

        read = profile.read(folder, files.verify(folder))

        assert len(read.predicted) == 120
        assert set(read.predicted) == {0, 1, 2}

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"columns": {}}, "has the columns"),
            ({"predicted": np.zeros(5)}, "predicted of the reference profile is float64"),
            ({"predicted": np.zeros(4, np.int64)}, r"\(5,\), not float64 \(4,\)"),
            ({"embedding": np.zeros((5, 255), np.float32)}, r"\(5, 255\)"),
            ({"columns": dict.fromkeys(COLUMNS, np.full(5, np.nan))}, "holds NaN"),
            ({"columns": dict.fromkeys(COLUMNS, np.zeros(5, np.float32))}, "is float32"),
        ],
    )
    def test_refuses_what_cannot_be_compared(self, change, complaint):
        """NaN in a column would make every later distance NaN."""
        with pytest.raises(BundleError, match=complaint):
            replace(_profile(), **change)

    def test_refuses_more_rows_than_a_day_is_compared_with(self):
        """The bound keeps the monitor quick."""
        with pytest.raises(BundleError, match="2001 rows; draw 2000 at most"):
            _profile(2001)

    @pytest.mark.parametrize("data", [b"", b"noise" * 10, safetensors.numpy.save({})])
    def test_refuses_bytes_that_are_no_profile(self, data):
        """Wrapped where it enters, as a fault of the bundle."""
        with pytest.raises(BundleError, match="cannot be read"):
            profile.load(data)

    def test_refuses_a_predicted_label_that_the_model_does_not_have(self, tmp_path):
        """The profile of a version with more classes."""
        folder = tiny_bundle(tmp_path)
        stranger = replace(_profile(), predicted=np.full(5, 3))
        forge(folder, {files.PROFILE: profile.save(stranger)})

        with pytest.raises(BundleError, match="not among the 3"):
            profile.read(folder, files.verify(folder))
