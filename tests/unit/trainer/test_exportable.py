"""What cannot be exported is refused before it is trained."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from core.errors import TrainingError
from core.images.preprocess import Recipe
from tests.unit.trainer.test_families import FAMILIES
from trainer.networks.architectures import Network
from trainer.networks.exportable import PROVEN, require_exportable

RECIPE = Recipe(16, 16, resize=16)


class _Odd(nn.Module):
    """A backbone whose path depends on what it sees, which no graph can hold."""

    def __init__(self, family: str) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type=family)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> SimpleNamespace:
        """Answer three features, in one of two ways."""
        means = images.mean((2, 3)) * self.scale
        return SimpleNamespace(logits=means if float(means.sum()) > 0 else -means)


class TestRequireExportable:
    """Asked before a training."""

    def test_refuses_a_backbone_that_torch_cannot_export(self):
        """After the training it would be too late."""
        network = Network(_Odd("odd"), width=3, classes=2)

        with pytest.raises(TrainingError, match="family 'odd' cannot be served"):
            require_exportable(network, RECIPE)

    def test_asks_nothing_of_a_family_that_a_test_proves(self):
        """Seconds in every run, for an answer that is known."""
        require_exportable(Network(_Odd("resnet"), width=3, classes=2), RECIPE)

    def test_takes_no_family_on_trust(self):
        """Each of the proven ones is among those that are exported in a test."""
        proven = {build().config.model_type for build in FAMILIES.values()}

        assert proven == PROVEN
