"""Which coarser graphs a bundle may serve by."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from core.bundle import files, variants
from core.bundle.manifest import Manifest
from core.bundle.runner import Runner
from core.bundle.variants import Verdict
from core.errors import BundleError, UsageError
from tests.tiny import forge
from tests.tiny_conv import add_int8, conv_bundle, pictures


class TestWanted:
    """`WEAKSPOT_TRAINER_VARIANTS`."""

    @pytest.mark.parametrize(
        ("spec", "names"),
        [("", ()), (" int8 ", ("int8",)), ("fp16,int8", ("int8", "fp16")), ("fp16,", ("fp16",))],
    )
    def test_names_variants(self, spec: str, names: tuple[str, ...]):
        """Blanks and order are nobody's concern."""
        assert variants.wanted(spec) == names

    def test_refuses_what_there_is_not(self):
        """A typing error would otherwise be a model without its fast graph."""
        with pytest.raises(UsageError, match="variant 'int4' is unknown"):
            variants.wanted("int8,int4")


class TestVerdict:
    """What the manifest says of a variant."""

    def test_comes_back_from_the_manifest_as_it_went(self, tmp_path: Path):
        """It is written once and read at every load."""
        told = Verdict(True, "no class loses anything", files.QUANTISED, n=3, per_class={"A": 1.0})
        folder = forge(conv_bundle(tmp_path), {}, format=2, variants={"int8": told.to_dict()})

        manifest = Manifest.from_json(files.read_manifest(folder).to_json())

        assert variants.verdict(manifest, "int8") == told
        assert variants.verdict(manifest, "fp16") is None

    def test_may_say_more_than_this_code_knows(self, tmp_path: Path):
        """A later release may measure more of a variant without another format."""
        folder = add_int8(conv_bundle(tmp_path), b"", invented_later=7)  # never opened

        assert variants.require_kept(files.read_manifest(folder), "int8").n == 24

    @pytest.mark.parametrize("distance", [None, -1, float("inf"), "0.4"])
    def test_without_a_distance_vouches_for_nothing(self, tmp_path: Path, distance: object):
        """The distance is what every later answer is held against."""
        told = Verdict(True, "", "f", largest_logit_difference=distance)  # type: ignore[arg-type]

        with pytest.raises(BundleError, match="no logit difference"):
            variants.distance(told)


class TestBundleWithVariants:
    """What may be opened."""

    def test_of_before_has_none_and_keeps_its_format(self, tmp_path: Path):
        """Bundles without variants are written so that every release reads them."""
        manifest = files.verify(conv_bundle(tmp_path))

        assert manifest.variants == {}
        assert '"format": 1' in manifest.to_json()
        assert "variants" not in manifest.to_json()

    def test_opens_in_integers(self, tmp_path: Path):
        """The graph that answers is the one in integers."""
        runner = Runner.open(conv_bundle(tmp_path, with_int8=True), engine="onnxruntime-int8")

        assert (runner.engine, runner.device) == ("onnxruntime-int8", "cpu")
        assert np.allclose(runner.run(pictures(5)).probabilities.sum(axis=1), 1)

    def test_refuses_integers_that_were_not_kept(self, tmp_path: Path):
        """The reason is told to whoever pinned the engine."""
        folder = conv_bundle(tmp_path, with_int8=True)
        dropped = {"kept": False, "reason": "Dog loses 3.3 points", "file": files.QUANTISED}
        forge(folder, {}, variants={"int8": dropped})

        with pytest.raises(BundleError, match="may not serve in int8: Dog loses 3"):
            Runner.open(folder, engine="onnxruntime-int8")

    def test_refuses_integers_that_nobody_judged(self, tmp_path: Path):
        """A file alone is no verdict."""
        folder = conv_bundle(tmp_path)
        forge(folder, {files.QUANTISED: (folder / files.MODEL).read_bytes()})

        with pytest.raises(BundleError, match="no variant int8"):
            Runner.open(folder, engine="onnxruntime-int8")

    def test_refuses_half_precision_that_was_not_kept(self, tmp_path: Path):
        """Nor is another made of the graph in its place."""
        dropped = {"kept": False, "reason": "Cat loses 2 points", "file": files.HALF}
        folder = forge(conv_bundle(tmp_path), {}, format=2, variants={"fp16": dropped})

        with pytest.raises(BundleError, match="may not serve in fp16: Cat loses 2 points"):
            Runner.open(folder, engine="onnxruntime-cuda-fp16")

    def test_refuses_an_altered_graph_in_integers_as_a_whole(self, tmp_path: Path):
        """F16: a bundle with one wrong byte is not the one that was tested."""
        folder = conv_bundle(tmp_path, with_int8=True)
        data = bytearray((folder / files.QUANTISED).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / files.QUANTISED).write_bytes(data)

        with pytest.raises(BundleError, match=r"model\.int8\.onnx was altered"):
            Runner.open(folder)

    def test_refuses_noise_in_place_of_a_graph_as_a_whole(self, tmp_path: Path):
        """F16: its digest is right, so somebody put it there on purpose."""
        folder = add_int8(conv_bundle(tmp_path), b"noise")

        with pytest.raises(BundleError, match="no ONNX file"):
            Runner.open(folder)

    def test_refuses_a_graph_in_integers_with_data_elsewhere(self, tmp_path: Path):
        """S10: a variant is read by the same runtime, and may name files as well."""
        folder = conv_bundle(tmp_path, with_int8=True)
        model = onnx.load_model_from_string((folder / files.QUANTISED).read_bytes())
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
        forge(folder, {files.QUANTISED: model.SerializeToString()})

        with pytest.raises(BundleError, match=r"model\.int8\.onnx"):
            Runner.open(folder)
