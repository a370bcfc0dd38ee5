"""The average of the weights is what the formula says."""

from pathlib import Path

import pytest
import torch

from core.errors import UsageError
from tests.training import tiny_backbone
from trainer.config import RunConfig
from trainer.networks.architectures import Network, load
from trainer.networks.average import Average


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A tiny network."""
    return load(str(tiny_backbone(tmp_path)), image_size=16).network(3)


def _set(network: Network, value: float) -> None:
    with torch.no_grad():
        network.head.bias.fill_(value)


class TestAverage:
    """An exponential running average."""

    def test_moves_by_the_share_of_its_step(self, network: Network):
        """d_t = min(decay, (1 + t) / (10 + t)): by hand for three steps."""
        average, expected = Average(network, 0.2), 0.0
        for step in (1, 2, 3):
            _set(network, float(step))
            average.update(network)
            decay = min(0.2, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * step

        assert average.network.head.bias.tolist() == pytest.approx([expected] * 3)

    def test_takes_in_statistics_and_counters_too(self, network: Network):
        """Weights of one network and the batch norms of another do not belong together."""
        average = Average(network, 0.5)
        network.train()(torch.rand(4, 3, 16, 16) * 255)

        average.update(network)

        theirs, ours = network.state_dict(), average.network.state_dict()
        norm = "backbone.resnet.embedder.embedder.normalization"
        mean, counter = f"{norm}.running_mean", f"{norm}.num_batches_tracked"
        assert torch.allclose(ours[mean], theirs[mean] * (1 - 2 / 11))
        assert ours[counter] == 1

    def test_is_itself_not_trained(self, network: Network):
        """It follows; it does not learn."""
        assert not any(p.requires_grad for p in Average(network, 0.9).network.parameters())

    @pytest.mark.parametrize("decay", [0.0, 1.0])
    def test_refuses_a_decay_that_averages_nothing(self, decay: float):
        """One would keep the first weights for ever, the other the last."""
        with pytest.raises(UsageError, match="must lie between 0 and 1"):
            RunConfig(ema=decay)
