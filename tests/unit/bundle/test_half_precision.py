"""The body in half precision, and what decides an answer in float32."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from core.bundle.half_precision import to_half
from core.errors import BundleError
from tests.tiny import tiny_model
from tests.tiny_conv import conv_model, pictures

PATH = Path("v1/model.onnx")
OUTPUTS = ["probabilities", "logits", "embedding"]


@pytest.fixture(scope="module")
def half() -> bytes:
    """The tiny graph, converted."""
    return to_half(conv_model().SerializeToString(), PATH)


def answers(model: bytes, n: int = 8) -> list[np.ndarray]:
    """Ask a graph for pictures, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(OUTPUTS, {"image": pictures(n)})


def types_of(model: bytes) -> dict[str, int]:
    """Return the type of every tensor of a graph."""
    inferred = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model), True)
    told = [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]
    return {each.name: each.type.tensor_type.elem_type for each in told}


class TestToHalf:
    """What becomes of a graph."""

    def test_answers_as_the_graph_did(self, half: bytes):
        """Eleven bits in the body must not be another model."""
        expected = answers(conv_model().SerializeToString())

        found = answers(half)

        for one, other in zip(found, expected, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, atol=2e-2)
        assert np.abs(found[1] - expected[1]).max() > 0, "nothing was converted"

    def test_keeps_sums_and_lengths_exact(self, half: bytes):
        """Probabilities of half precision would add up to 0.999 in somebody's log."""
        probabilities, _, embedding = answers(half)

        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)

    def test_computes_the_layers_in_half_and_the_rest_in_float32(self, half: bytes):
        """Tensor cores need the layers; the answer needs the rest."""
        found = types_of(half)

        layers = ("c1", "r1", "c2", "sum", "p2", "c3", "r3", "pooled")
        assert all(found[f"{name}__half"] == TensorProto.FLOAT16 for name in layers)
        for name in ("normal", "scores", "logits", "probabilities", "projected", "embedding"):
            assert found[name] == TensorProto.FLOAT
            assert f"{name}__half" not in found or name == "normal"
        assert found["image"] == TensorProto.UINT8

    def test_makes_a_graph_that_onnx_finds_right(self, half: bytes):
        """Nodes in order, types that fit, no weight twice."""
        graph = onnx.load_model_from_string(half)

        onnx.checker.check_model(graph, full_check=True)

        before = sum(len(each.raw_data) for each in conv_model().graph.initializer)
        assert sum(len(each.raw_data) for each in graph.graph.initializer) < before

    def test_leaves_a_layer_in_float32_whose_weights_are_too_large(self):
        """A weight of 100,000 would become infinite."""
        model = conv_model(first_scale=1e6).SerializeToString()

        found = types_of(to_half(model, PATH))

        assert found["c1"] == TensorProto.FLOAT
        assert found["c2__half"] == TensorProto.FLOAT16

    def test_refuses_a_graph_without_layers(self):
        """Where nothing is gained, the engine is passed over and says so."""
        with pytest.raises(BundleError, match="has no layers that half precision"):
            to_half(tiny_model().SerializeToString(), PATH)

    def test_refuses_a_graph_that_branches(self):
        """What a branch reads from outside is not followed; CUDA graphs cannot have it either."""
        model = conv_model()
        body = helper.make_graph(
            [helper.make_node("Identity", ["logits"], ["same"])],
            "branch",
            [],
            [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
        )
        node = helper.make_node("If", ["yes"], ["out"], then_branch=body, else_branch=body)
        model.graph.node.append(node)

        with pytest.raises(BundleError, match="branches or loops"):
            to_half(model.SerializeToString(), PATH)

    def test_refuses_what_is_no_graph(self):
        """The message names the file."""
        with pytest.raises(BundleError, match=r"v1/model\.onnx cannot be put into half precision"):
            to_half(b"noise", PATH)
