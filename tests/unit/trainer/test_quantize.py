"""The body in integers, and what decides an answer in float32."""

import numpy as np
import onnx
import onnxruntime
import pytest

from core.bundle.onnx_file import check_self_contained
from core.errors import BundleError
from tests.tiny import tiny_model
from tests.tiny_conv import conv_model, pictures
from trainer.bundling.quantize import _range, to_int8

OUTPUTS = ["probabilities", "logits", "embedding"]


@pytest.fixture(scope="module")
def model() -> bytes:
    """The tiny graph in float32."""
    return conv_model().SerializeToString()


@pytest.fixture(scope="module")
def quantised(model: bytes) -> bytes:
    """The tiny graph in integers."""
    return to_int8(model, pictures(40))


def answers(model: bytes) -> list[np.ndarray]:
    """Ask a graph for pictures that it was not calibrated with."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(OUTPUTS, {"image": pictures(32, seed=500)})


def _features(model: bytes) -> np.ndarray:
    """Return what the projection reads, for the pictures that the graph was calibrated with."""
    whole = onnx.load_model_from_string(model)
    (reader,) = [node for node in whole.graph.node if node.op_type == "MatMul"]
    whole.graph.output.append(
        onnx.helper.make_tensor_value_info(reader.input[0], onnx.TensorProto.FLOAT, None)
    )
    session = onnxruntime.InferenceSession(
        whole.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run([reader.input[0]], {"image": pictures(40)})
    return found


class TestToInt8:
    """What becomes of a graph."""

    def test_answers_nearly_as_the_graph_did(self, model: bytes, quantised: bytes):
        """Eight bits cost something, and must not be another model."""
        exact, coarse = answers(model), answers(quantised)

        assert 0 < np.abs(exact[1] - coarse[1]).max() < 1
        assert (exact[1].argmax(axis=1) == coarse[1].argmax(axis=1)).mean() > 0.95

    def test_keeps_sums_and_lengths_exact(self, quantised: bytes):
        """Softmax and norm stay in float32."""
        probabilities, _, embedding = answers(quantised)

        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)

    def test_puts_layers_into_integers_but_the_first_and_the_classifier(self, quantised: bytes):
        """A layer left out costs speed; pixels and classifier in integers cost answers."""
        graph = onnx.load_model_from_string(quantised).graph
        made = {name: node for node in graph.node for name in node.output}
        fed = {
            (node.op_type, made[node.input[0]].op_type if node.input[0] in made else "")
            for node in graph.node
            if node.op_type in {"Conv", "Gemm", "MatMul"}
        }

        assert ("Conv", "DequantizeLinear") in fed
        assert {each for each in fed if each[1] != "DequantizeLinear"} == {
            ("Conv", "Div"),
            ("Gemm", "Add"),
            ("MatMul", "Add"),
        }

    def test_scales_weights_by_channel_and_activations_as_a_whole(self, quantised: bytes):
        """Unsigned activations and signed weights are what VNNI multiplies at once."""
        graph = onnx.load_model_from_string(quantised).graph
        kinds = {each.name: each.data_type for each in graph.initializer}
        weights = [each for each in graph.initializer if each.name.endswith("_quantized")]
        zeros = {kinds[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}

        assert onnx.TensorProto.INT8 in {each.data_type for each in weights}
        assert zeros == {onnx.TensorProto.UINT8}
        assert any(each.dims == [8] for each in graph.initializer if "scale" in each.name)

    def test_leaves_features_that_cannot_be_told_from_those_of_float32(
        self, model: bytes, quantised: bytes
    ):
        """Embeddings that are off by a constant would be drift on every day of their lives."""
        exact, coarse = (_features(each) for each in (model, quantised))

        assert np.abs(coarse - exact).max() > 1e-3
        assert np.abs((coarse - exact).mean(axis=0)).max() < 1e-5

    def test_cuts_off_what_is_rare_and_large(self):
        """One number of a thousand must not take the steps from all others."""
        numbers = np.random.default_rng(0).normal(0, 1, 10_000).astype("f4")

        low, high = _range(np.append(numbers, np.float32(20)), float(numbers.min()), 20.0)

        assert (low < 0, 6 <= high < 20) == (True, True)

    def test_keeps_a_range_without_outliers_whole(self):
        """Where all numbers matter alike, none is cut off."""
        even = np.linspace(0, 6, 5_000, dtype="f4")

        assert _range(even, 0.0, 6.0) == pytest.approx((0, 6), rel=0.05)

    def test_is_the_same_bytes_every_time(self, model: bytes, quantised: bytes):
        """The same training gives the same bundle."""
        assert to_int8(model, pictures(40)) == quantised

    def test_is_whole_in_itself(self, quantised: bytes):
        """Its numbers must not lie in a second file."""
        check_self_contained(quantised, "model.int8.onnx")

    def test_refuses_a_graph_without_layers(self):
        """There is nothing to gain, and the reason goes into the verdict."""
        with pytest.raises(BundleError, match="no layers that integers would make faster"):
            to_int8(tiny_model().SerializeToString(), pictures(4))

    def test_refuses_what_is_no_graph(self):
        """Its errors are the caller's own kind."""
        with pytest.raises(BundleError, match="cannot be put into integers"):
            to_int8(b"noise", pictures(4))
