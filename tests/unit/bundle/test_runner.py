"""A runner that opens gives the right answers; every other bundle is refused, with the reason."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.bundle import files
from core.bundle.runner import Runner
from core.errors import BundleError, UsageError
from core.images.decode import decode
from core.images.preprocess import preprocess
from tests import images
from tests.gpu import HAS_GPU
from tests.tiny import LABELS, forge, picture, tiny_bundle, tiny_model

Alter = Callable[[onnx.ModelProto], object]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test alters."""
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def runner(shared: Path) -> Runner:
    """The runner of `shared`."""
    return Runner.open(shared, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle to alter."""
    return tiny_bundle(tmp_path)


def _inputs(runner: Runner, n: int) -> np.ndarray:
    drawn = [picture(LABELS[i % 3], seed=i) for i in range(n)]
    return np.stack([preprocess(image, runner.recipe) for image in drawn])


def _with_model(folder: Path, alter: Alter) -> Path:
    """Put an altered graph into a bundle whose digests are right."""
    model = tiny_model()
    alter(model)
    return forge(folder, {files.MODEL: model.SerializeToString()})


def _node(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def _rework_logits(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
) -> None:
    """Put nodes in that make `logits` from what was `logits` and is now `plain`."""
    _node(model, "Sub").output[0] = "plain"
    for name, value in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    at = [node.op_type for node in model.graph.node].index("Softmax")
    for offset, node in enumerate(nodes):
        model.graph.node.insert(at + offset, node)


class TestRun:
    """The answers of a model."""

    def test_names_a_jpeg_rightly_from_its_bytes(self, runner):
        """The whole way that an upload goes: decode, preprocess, run."""
        data = images.jpeg(picture("Dog", size=(90, 120), seed=5))

        outputs = runner.run(preprocess(decode(data), runner.recipe)[None])

        assert runner.labels[outputs.probabilities[0].argmax()] == "Dog"

    @pytest.mark.parametrize("n", [1, 3, 17])
    def test_says_of_an_image_the_same_in_any_batch(self, runner, n):
        """Whom a request shares its batch with must not show in its answer."""
        inputs = _inputs(runner, 17)

        together, apart = runner.run(inputs), runner.run(inputs[:n])

        assert np.allclose(apart.logits, together.logits[:n], atol=1e-5)
        assert np.allclose(apart.embedding, together.embedding[:n], atol=1e-6)

    def test_says_the_same_to_threads_that_ask_at_once(self, shared):
        """One session serves every thread of the service."""
        runner = Runner.open(shared, device="cpu", threads=1)
        batches = [_inputs(runner, n) for n in (1, 2, 5, 9)] * 10
        expected = [runner.run(batch).logits for batch in batches]

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(runner.run, batches))

        assert all(
            np.allclose(one.logits, other, atol=1e-5)
            for one, other in zip(answers, expected, strict=True)
        )

    def test_gives_each_output_its_type_and_shape(self, runner):
        """What everything above relies on."""
        outputs = runner.run(_inputs(runner, 4))

        arrays = (outputs.probabilities, outputs.logits, outputs.embedding)
        assert [each.shape for each in arrays] == [(4, 3), (4, 3), (4, 256)]
        assert {each.dtype for each in arrays} == {np.dtype(np.float32)}

    def test_gives_nothing_for_no_image(self, runner):
        """An empty day is no special case for its caller."""
        outputs = runner.run(np.zeros((0, 16, 16, 3), np.uint8))

        assert outputs.probabilities.shape == (0, 3)
        assert outputs.embedding.shape == (0, 256)

    def test_takes_an_image_that_is_not_contiguous(self, runner):
        """A mirrored view is an image like any other."""
        inputs = _inputs(runner, 2)[:, :, ::-1]

        assert np.allclose(runner.run(inputs).logits, runner.run(inputs.copy()).logits)

    @pytest.mark.parametrize(
        "inputs",
        [
            np.zeros((1, 16, 16, 3), np.float32),
            np.zeros((1, 16, 17, 3), np.uint8),
            np.zeros((16, 16, 3), np.uint8),
            np.zeros((1, 3, 16, 16), np.uint8),
        ],
        ids=["floats", "too wide", "no batch", "channels first"],
    )
    def test_refuses_other_types_and_shapes(self, runner, inputs):
        """A mistake in the caller, named with both shapes."""
        with pytest.raises(UsageError, match=r"takes uint8 \(N, 16, 16, 3\), not"):
            runner.run(inputs)

    def test_refuses_to_answer_nan(self, folder):
        """A black picture divides by zero here, and no sentinel is black."""
        nodes = [
            helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Div", ["mean", "mean"], ["one_or_nan"]),
            helper.make_node("Mul", ["plain", "one_or_nan"], ["logits"]),
        ]
        runner = Runner.open(_with_model(folder, lambda model: _rework_logits(model, nodes)))

        with pytest.raises(BundleError, match="NaN or infinity in its probabilities"):
            runner.run(np.zeros((1, 16, 16, 3), np.uint8))

    def test_wraps_what_the_runtime_raises(self, folder):
        """A white picture looks up the 256th of 255 numbers, and no sentinel is white."""
        nodes = [
            helper.make_node("ReduceMin", ["float"], ["darkest"], keepdims=0),
            helper.make_node("Cast", ["darkest"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "index"], ["nothing"]),
            helper.make_node("Add", ["plain", "nothing"], ["logits"]),
        ]
        table = {"table": np.zeros(255, np.float32)}
        runner = Runner.open(_with_model(folder, lambda model: _rework_logits(model, nodes, table)))

        with pytest.raises(BundleError, match=r"version v1 failed on \(1, 16, 16, 3\)"):
            runner.run(np.full((1, 16, 16, 3), 255, np.uint8))


class TestOpen:
    """What a bundle must be to be opened."""

    def test_knows_its_version_labels_and_recipe(self, runner, shared):
        """Callers ask the runner, never the folder."""
        manifest = files.read_manifest(shared)

        assert (runner.version, runner.labels, runner.recipe) == ("v1", LABELS, manifest.recipe)
        assert runner.manifest == manifest
        assert (runner.folder, runner.digest) == (shared, files.digest(shared))

    def test_opens_a_version_that_mistakes_one_label(self, tmp_path):
        """Wrong in the world's eyes is still true to its sentinels."""
        runner = Runner.open(tiny_bundle(tmp_path, confuse=("Spider", "Cat")))

        outputs = runner.run(_inputs(runner, 30))

        predicted = outputs.probabilities.argmax(axis=1)
        assert np.array_equal(predicted, np.tile([0, 1, 0], 10))

    @pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
    def test_says_so_when_it_runs_on_the_cpu(self, shared):
        """`auto` may fall back, and never in silence."""
        assert Runner.open(shared, device="auto").device == "cpu"

    @pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
    def test_refuses_a_gpu_that_is_not_there(self, shared):
        """Ten times slower in silence is worse than a clear refusal."""
        with pytest.raises(BundleError, match="device cuda was asked for"):
            Runner.open(shared, device="cuda")

    def test_refuses_fewer_than_one_thread(self, shared):
        """To onnxruntime, 0 means all cores of the host."""
        with pytest.raises(UsageError, match="threads must be 1 or more, not 0"):
            Runner.open(shared, threads=0)

    def test_refuses_a_folder_without_manifest(self, tmp_path):
        """The message names the file."""
        with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
            Runner.open(tmp_path)

    def test_refuses_an_altered_model(self, folder):
        """Even when it would still load."""
        (folder / files.MODEL).write_bytes(tiny_model(seed=1).SerializeToString())

        with pytest.raises(BundleError, match=r"model\.onnx was altered"):
            Runner.open(folder)

    def test_refuses_a_missing_file(self, folder):
        """Also one that the runner itself does not read."""
        (folder / files.PROFILE).unlink()

        with pytest.raises(BundleError, match=r"lacks \['profile\.safetensors'\]"):
            Runner.open(folder)

    def test_refuses_a_file_too_many(self, folder):
        """The digest must cover all that lies there."""
        (folder / "model.onnx.data").write_bytes(b"numbers")

        with pytest.raises(BundleError, match=r"holds \['model\.onnx\.data'\]"):
            Runner.open(folder)

    @pytest.mark.parametrize(
        "data",
        [b"", b"not a model", b"\x00\x00\x00\x00ORTM" + b"\x00" * 64],
        ids=["empty", "noise", "onnxruntime's own"],
    )
    def test_refuses_what_is_no_onnx_file(self, folder, data):
        """Neither noise nor onnxruntime's own format, which nothing here can check."""
        forge(folder, {files.MODEL: data})

        with pytest.raises(BundleError, match=r"model\.onnx"):
            Runner.open(folder)

    def test_refuses_external_data(self, folder):
        """A tensor that names /etc/passwd is never opened."""

        def point_outside(model: onnx.ModelProto) -> None:
            tensor = model.graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="/etc/passwd")

        _with_model(folder, point_outside)

        with pytest.raises(BundleError, match="in another file"):
            Runner.open(folder)

    def test_refuses_operators_it_does_not_know(self, folder):
        """The same words for a custom operator and one from the future."""
        _with_model(folder, lambda model: setattr(_node(model, "Softmax"), "op_type", "Softestmax"))

        with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded: .*Softestmax"):
            Runner.open(folder)

    def test_refuses_an_opset_too_new(self, folder):
        """The message of onnxruntime says which it can."""
        _with_model(folder, lambda model: setattr(model.opset_import[0], "version", 999))

        with pytest.raises(BundleError, match=r"cannot be loaded: .*opset"):
            Runner.open(folder)

    def test_refuses_an_input_of_another_name(self, folder):
        """Callers feed `image`."""

        def rename(model: onnx.ModelProto) -> None:
            model.graph.input[0].name = _node(model, "Cast").input[0] = "pixels"

        _with_model(folder, rename)

        with pytest.raises(BundleError, match=r"takes \['pixels'\], not one input 'image'"):
            Runner.open(folder)

    def test_refuses_an_input_of_another_type(self, folder):
        """Scaling outside the graph is how two callers come to differ."""
        kind = TensorProto.FLOAT
        _with_model(
            folder,
            lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", kind),
        )

        with pytest.raises(BundleError, match=r"image is tensor\(float\), not tensor\(uint8\)"):
            Runner.open(folder)

    def test_refuses_an_input_of_another_rank(self, folder):
        """One image at a time is no batch."""

        def unbatch(model: onnx.ModelProto) -> None:
            model.graph.input[0].CopyFrom(
                helper.make_tensor_value_info("image", TensorProto.UINT8, [16, 16, 3])
            )
            cast = _node(model, "Cast")
            cast.input[0] = "batched"
            axes = numpy_helper.from_array(np.array([0]), "axes")
            model.graph.initializer.append(axes)
            model.graph.node.insert(
                0, helper.make_node("Unsqueeze", ["image", "axes"], ["batched"])
            )

        _with_model(folder, unbatch)

        with pytest.raises(BundleError, match="image has rank 3"):
            Runner.open(folder)

    def test_refuses_an_input_of_another_size(self, folder):
        """The recipe would make pictures that the graph cannot take."""
        forge(folder, {files.MODEL: tiny_model(size=32).SerializeToString()})

        with pytest.raises(BundleError, match=r"image has shape .*32, 32, 3.* \('N', 16, 16, 3\)"):
            Runner.open(folder)

    def test_refuses_a_fixed_batch(self, folder):
        """Exporters fix it at 1 when nobody looks."""

        def fix(model: onnx.ModelProto) -> None:
            for each in (*model.graph.input, *model.graph.output):
                each.type.tensor_type.shape.dim[0].dim_value = 1

        _with_model(folder, fix)

        with pytest.raises(BundleError, match="image has a fixed batch of 1"):
            Runner.open(folder)

    def test_refuses_a_batch_that_is_fixed_inside_only(self, folder):
        """The signature promises any N, and only the first image is answered."""
        bounds = {"from": np.array([0]), "to": np.array([1])}
        cut = helper.make_node("Slice", ["plain", "from", "to", "from"], ["logits"])

        _with_model(folder, lambda model: _rework_logits(model, [cut], bounds))

        with pytest.raises(
            BundleError, match=r"gave probabilities of shape \(1, 3\), not \(12, 3\)"
        ):
            Runner.open(folder)

    def test_refuses_another_number_of_classes_than_labels(self, folder):
        """Every name would stand for the wrong output."""
        labels = ("Cat", "Dog", "Spider", "Zebra")
        forge(folder, {files.MODEL: tiny_model(labels).SerializeToString()})

        with pytest.raises(BundleError, match=r"probabilities has shape .*labels"):
            Runner.open(folder)

    def test_refuses_a_graph_that_lacks_an_output(self, folder):
        """Without embeddings there is no drift to see."""
        _with_model(folder, lambda model: model.graph.output.pop())

        with pytest.raises(BundleError, match=r"lacks \['embedding'\]"):
            Runner.open(folder)

    def test_refuses_nan_on_its_own_sentinels(self, folder):
        """Weights that overflowed in training."""

        def poison(model: onnx.ModelProto) -> None:
            penalty = next(each for each in model.graph.initializer if each.name == "penalty")
            broken = np.full(3, np.nan, np.float32)
            penalty.CopyFrom(numpy_helper.from_array(broken, "penalty"))

        _with_model(folder, poison)

        with pytest.raises(BundleError, match="NaN or infinity"):
            Runner.open(folder)

    def test_refuses_probabilities_that_are_not_of_the_logits(self, folder):
        """A temperature applied to only one of them."""

        def sharpen(model: onnx.ModelProto) -> None:
            _node(model, "Softmax").input[0] = "doubled"
            doubled = helper.make_node("Add", ["plain", "plain"], ["doubled"])
            same = helper.make_node("Identity", ["plain"], ["logits"])
            _rework_logits(model, [doubled, same])

        _with_model(folder, sharpen)

        with pytest.raises(BundleError, match=r"probabilities are not softmax\(logits\)"):
            Runner.open(folder)

    def test_refuses_embeddings_that_are_not_of_length_one(self, folder):
        """Distances between them would mean something else for each version."""

        def skip_normalisation(model: onnx.ModelProto) -> None:
            normalisation = _node(model, "LpNormalization")
            normalisation.op_type = "Identity"
            del normalisation.attribute[:]

        _with_model(folder, skip_normalisation)

        with pytest.raises(BundleError, match="an embedding has length"):
            Runner.open(folder)
