"""What a run is told is what its steps do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training import LABELS, SIZE, tiny_backbone, tiny_sides
from trainer.fitting.fit import fit, predict_logits
from trainer.fitting.module import PICTURES, ClassifierModule, FitOptions
from trainer.images.dataset import Sides
from trainer.networks.architectures import Network, load
from trainer.variation.augment import POLICIES, augment_options

OPTIONS = FitOptions(
    epochs=2, learning_rate=5e-3, batch_size=8, device="cpu", augment=POLICIES["none"]
)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A tiny network with three classes."""
    torch.manual_seed(0)
    return load(str(tiny_backbone(tmp_path)), image_size=SIZE).network(len(LABELS))


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Twelve pictures a class to learn from, five to choose by."""
    return tiny_sides(tmp_path)


class TestStatistics:
    """`keep_statistics`: what batch normalisation goes by."""

    @pytest.mark.parametrize("kept", [True, False])
    def test_are_the_backbones_own_only_where_asked(
        self, network: Network, sides: Sides, kept: bool
    ):
        """Its weights learn either way."""
        before = {name: each.clone() for name, each in network.state_dict().items()}
        fit(network, sides, options=replace(OPTIONS, keep_statistics=kept))
        moved = {
            name for name, each in network.state_dict().items() if not each.equal(before[name])
        }

        statistics = {name for name in before if name.endswith(("running_mean", "running_var"))}
        assert statistics
        assert moved & statistics == (set() if kept else statistics)
        assert {name for name, _ in network.named_parameters()} <= moved


class TestAverageOfWeights:
    """`ema`."""

    def test_is_what_is_validated_and_kept(self, network: Network, sides: Sides):
        """A decay so near to 1 that the warm-up alone decides leaves other weights than none."""
        report = fit(network, sides, options=replace(OPTIONS, ema=0.9999))

        again = predict_logits(network, sides.val, device="cpu")
        assert np.allclose(again, report.val_logits, atol=0.05)

    def test_lags_behind_the_weights(self, network: Network, sides: Sides):
        """The judged network is another than the trained one, and nearer to where it began."""
        start = network.head.weight.detach().clone()
        counts = np.bincount(sides.train.labels)
        module = ClassifierModule(network, replace(OPTIONS, ema=0.9), counts=counts)
        with torch.no_grad():
            network.head.weight += 1

        module.on_train_batch_end()

        moved = (module.judged.head.weight - start).mean()
        assert module.judged is not network
        assert float(moved) == pytest.approx(1 - 2 / 11, abs=1e-4)


class TestSchedules:
    """Every way of fitting ends with weights that are numbers."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"schedule": "cosine", "warm_up": 0.1},
            {"gradual": True, "trainable_stages": 0},
            {"augment": augment_options("strong,mixup=0.5,cutmix=0.5"), "label_smoothing": 0.1},
            {"augment": POLICIES["trivial"]},
        ],
        ids=["cosine", "gradual", "mixed", "trivial"],
    )
    def test_learns(self, network: Network, sides: Sides, changes: dict[str, object]):
        """A step was made, and the answers are finite."""
        before = network.head.weight.detach().clone()

        report = fit(network, sides, options=replace(OPTIONS, **changes))  # type: ignore[arg-type]

        assert np.isfinite(report.val_logits).all()
        assert not torch.equal(network.head.weight, before)


class TestPictures:
    """What the network saw."""

    def test_of_the_first_batch_are_left_in_the_runs_folder(self, network: Network, sides: Sides):
        """Eight images of a batch, each twice."""
        fit(network, sides, options=replace(OPTIONS, epochs=1, augment=POLICIES["light"]))

        with Image.open(sides.folder / PICTURES) as sheet:
            assert sheet.size == (8 * (SIZE + 4) + 4, 2 * (SIZE + 4) + 4)
