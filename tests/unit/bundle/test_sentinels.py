"""An answer that moved is caught when the bundle is opened, and sentinels must be able to tell."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from core.bundle import files
from core.bundle.runner import Runner
from core.errors import BundleError
from tests.tiny import forge, tiny_bundle, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle to alter."""
    return tiny_bundle(tmp_path)


def _with_sentinels(folder: Path, **tensors: np.ndarray) -> Path:
    kept = safetensors.numpy.load_file(folder / files.SENTINELS)
    return forge(folder, {files.SENTINELS: safetensors.numpy.save({**kept, **tensors})})


class TestSentinels:
    """Asking a model about its own images."""

    def test_refuses_other_weights_than_those_measured(self, folder):
        """The digests are right; only the answers give it away."""
        forge(folder, {files.MODEL: tiny_model(seed=1).SerializeToString()})

        with pytest.raises(BundleError, match="answers its own sentinels otherwise"):
            Runner.open(folder)

    def test_allows_what_rounding_does_and_no_more(self, folder):
        """Another processor moves a logit by less than a hundredth."""
        logits = safetensors.numpy.load_file(folder / files.SENTINELS)["logits"]

        Runner.open(_with_sentinels(folder, logits=logits + np.float32(0.009)))

        with pytest.raises(BundleError, match=r"off by 1\.[0-9]+e-02, more than 1e-02"):
            Runner.open(_with_sentinels(folder, logits=logits + np.float32(0.011)))

    @pytest.mark.parametrize(
        ("tensors", "complaint"),
        [
            ({"images": np.zeros((0, 16, 16, 3), np.uint8)}, "one or more uint8"),
            ({"images": np.zeros((12, 8, 8, 3), np.uint8)}, "must be one or more uint8 of 16 x 16"),
            ({"logits": np.zeros((12, 4), np.float32)}, r"must be float32 \(12, 3\)"),
            ({"logits": np.zeros((12, 3), np.float64)}, "logits are float64"),
            ({"logits": np.full((12, 3), np.nan, np.float32)}, "off by nan"),
            ({"more": np.zeros(1, np.float32)}, "not images and logits"),
        ],
        ids=["none", "other size", "other labels", "other type", "NaN", "more tensors"],
    )
    def test_refuses_sentinels_that_could_check_nothing(self, folder, tensors, complaint):
        """A check that passes whatever happens is worse than none."""
        _with_sentinels(folder, **tensors)

        with pytest.raises(BundleError, match=complaint):
            Runner.open(folder)

    def test_refuses_sentinels_that_are_no_safetensors_file(self, folder):
        """Never a pickle."""
        forge(folder, {files.SENTINELS: b"\x80\x04K\x01."})

        with pytest.raises(BundleError, match="no safetensors file"):
            Runner.open(folder)

    def test_opens_a_bundle_with_a_single_sentinel(self, folder):
        """The batch is then that one image three times."""
        kept = safetensors.numpy.load_file(folder / files.SENTINELS)
        first = {name: tensor[:1] for name, tensor in kept.items()}

        assert Runner.open(_with_sentinels(folder, **first)).version == "v1"
