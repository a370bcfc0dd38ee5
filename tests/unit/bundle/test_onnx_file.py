"""A model that keeps tensors elsewhere is found out, wherever the tensor hides."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from core.bundle.onnx_file import check_self_contained
from core.errors import BundleError
from tests.tiny import tiny_model


def _outside() -> TensorProto:
    """Return a tensor whose numbers are said to lie in another file."""
    tensor = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def _graph(tensor: TensorProto) -> onnx.GraphProto:
    return helper.make_graph([], "inner", [], [], [tensor])


def _node(**attributes: object) -> onnx.NodeProto:
    return helper.make_node("Anything", [], ["y"], **attributes)


def _sparse(tensor: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=tensor, dims=[1])


class TestCheckSelfContained:
    """The walk through an ONNX file."""

    def test_lets_a_whole_model_pass(self):
        """The common case."""
        check_self_contained(tiny_model().SerializeToString(), "model.onnx")

    def test_finds_an_initializer_outside(self):
        """The usual form of external data."""
        model = tiny_model()
        model.graph.initializer.append(_outside())

        with pytest.raises(BundleError, match=r"model\.onnx keeps tensor 'secret' in another file"):
            check_self_contained(model.SerializeToString(), "model.onnx")

    @pytest.mark.parametrize(
        "node",
        [
            _node(value=_outside()),
            _node(values=[_outside()]),
            _node(body=_graph(_outside())),
            _node(bodies=[_graph(_outside())]),
            _node(sparse=_sparse(_outside())),
            _node(body=helper.make_graph([_node(value=_outside())], "inner", [], [])),
        ],
        ids=["tensor", "tensors", "graph", "graphs", "sparse", "nested"],
    )
    def test_finds_a_tensor_outside_in_an_attribute(self, node):
        """A constant or the body of a loop can read files just as well."""
        model = tiny_model()
        model.graph.node.append(node)

        with pytest.raises(BundleError, match="'secret'"):
            check_self_contained(model.SerializeToString(), "model.onnx")

    def test_finds_a_tensor_outside_in_a_function(self):
        """Functions are inlined when the model is loaded."""
        model = tiny_model()
        model.functions.append(onnx.FunctionProto(name="f", node=[_node(value=_outside())]))

        with pytest.raises(BundleError, match="'secret'"):
            check_self_contained(model.SerializeToString(), "model.onnx")

    def test_finds_a_sparse_initializer_outside(self):
        """A field of its own in the graph."""
        model = tiny_model()
        model.graph.sparse_initializer.append(_sparse(_outside()))

        with pytest.raises(BundleError, match="'secret'"):
            check_self_contained(model.SerializeToString(), "model.onnx")

    def test_agrees_with_onnx_on_what_is_outside(self, tmp_path):
        """The onnx package writes the real thing."""
        model = tiny_model()
        weights = numpy_helper.from_array(np.zeros(2_000, np.float32), "weights")
        model.graph.initializer.append(weights)
        onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True)

        with pytest.raises(BundleError, match="in another file"):
            check_self_contained((tmp_path / "model.onnx").read_bytes(), "model.onnx")

    @pytest.mark.parametrize("length", [1, 100, 5_000])
    def test_refuses_a_truncated_model(self, length):
        """A full disk leaves such files."""
        data = tiny_model().SerializeToString()

        with pytest.raises(BundleError, match="truncated or no ONNX"):
            check_self_contained(data[:length], "model.onnx")

    def test_refuses_an_empty_file(self):
        """So does a killed writer."""
        with pytest.raises(BundleError, match="no ONNX graph"):
            check_self_contained(b"", "model.onnx")

    @given(st.binary(max_size=200))
    def test_refuses_noise_in_its_own_words(self, data):
        """Whatever lies there, nothing but a BundleError comes of it."""
        try:
            check_self_contained(data, "model.onnx")
        except BundleError as error:
            assert "model.onnx" in str(error)  # noqa: PT017 -- noise may also happen to pass
