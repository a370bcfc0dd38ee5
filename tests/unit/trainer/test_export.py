"""The exported graph says what torch says, or is not kept."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.bundle.onnx_file import check_self_contained
from core.errors import ParityError
from tests.training import tiny_backbone
from trainer.networks.architectures import Network, load
from trainer.networks.export import ServedGraph, check_parity, projection, served_graph, to_onnx


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A tiny network, in training mode as a fit leaves it."""
    folder = tiny_backbone(tmp_path_factory.mktemp("export"))
    network = load(str(folder), image_size=16).network(3)
    torch.manual_seed(0)
    torch.nn.init.normal_(network.head.weight)
    network.train()
    network(torch.rand(8, 3, 16, 16) * 255)
    return network


@pytest.fixture(scope="module")
def graph(network: Network) -> ServedGraph:
    """The graph to export, at temperature 2."""
    return served_graph(network, 2.0)


@pytest.fixture(scope="module")
def model(graph: ServedGraph) -> bytes:
    """The ONNX file."""
    return to_onnx(graph, height=16, width=16)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Five pictures."""
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


class TestServedGraph:
    """Everything after the resize."""

    def test_answers_for_bytes(self, graph: ServedGraph, images: NDArray[np.uint8]):
        """Probabilities, logits and an embedding of length one."""
        with torch.inference_mode():
            probabilities, logits, embedding = graph(torch.from_numpy(images))

        assert torch.allclose(probabilities, logits.softmax(1))
        assert embedding.shape == (5, 256)
        assert torch.allclose(embedding.norm(dim=1), torch.ones(5))

    def test_divides_by_the_temperature(
        self, graph: ServedGraph, network: Network, images: NDArray[np.uint8]
    ):
        """Calibration is inside, so that no caller can forget it."""
        floats = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        own = served_graph(network, 1.0).network

        with torch.inference_mode():
            _, logits, _ = graph(torch.from_numpy(images))

            assert torch.allclose(logits * 2, own(floats), atol=1e-5)

    def test_leaves_the_network_in_training_mode(self, graph: ServedGraph, network: Network):
        """It is a copy that is frozen for export."""
        assert network.training
        assert not graph.training


class TestProjection:
    """Features to embedding."""

    def test_keeps_all_of_few_features(self):
        """With fewer than 256 features no distance changes."""
        matrix = projection(16)

        assert np.allclose(matrix @ matrix.T, np.eye(16), atol=1e-6)

    def test_is_orthonormal_for_many(self):
        """Two directions of the embedding never measure the same."""
        matrix = projection(2048)

        assert np.allclose(matrix.T @ matrix, np.eye(256), atol=1e-5)

    def test_never_changes(self):
        """Embeddings of two versions lie in one space, as far as their features do."""
        assert projection(300)[0, :3] == pytest.approx([0.00987, 0.04100, 0.02674], abs=1e-4)


class TestParity:
    """ONNX against torch."""

    def test_a_faithful_export_passes(
        self, graph: ServedGraph, model: bytes, images: NDArray[np.uint8]
    ):
        """At batch 1, 3 and 16, with five images at hand."""
        said, largest = check_parity(graph, model, images)

        assert largest < 1e-4
        assert said.logits.shape == (5, 3)

    def test_the_file_is_whole_in_itself(self, model: bytes):
        """Weights in a second file could be swapped."""
        check_self_contained(model, "model.onnx")

    def test_another_networks_file_is_refused(
        self, network: Network, model: bytes, images: NDArray[np.uint8]
    ):
        """F19: what an exporter that dropped a bias would look like."""
        other = served_graph(network, 2.0)
        with torch.no_grad():
            other.network.head.bias += 0.01

        with pytest.raises(ParityError) as refusal:
            check_parity(other, model, images)

        assert refusal.value.largest == pytest.approx(0.005, rel=0.01)

    def test_an_answer_that_is_no_number_is_refused(
        self, network: Network, images: NDArray[np.uint8], model: bytes
    ):
        """F19: a comparison with NaN is never larger than what is allowed."""
        other = served_graph(network, 2.0)
        with torch.no_grad():
            other.network.head.bias.fill_(float("nan"))

        with pytest.raises(ParityError, match="inf"):
            check_parity(other, model, images)
