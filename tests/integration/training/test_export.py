"""What a training leaves in the bundle beside its graph, and what is handed out of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import Engine

from core.bundle import files, sentinels, variants
from core.bundle.runner import Runner
from core.clock import FixedClock
from core.errors import BundleError, ParityError, TrainingError, UsageError
from core.images.preprocess import Recipe
from core.store import registry
from core.store.database import transaction
from tests.tiny import forge
from tests.training import LABELS, NOW, add, tiny_backbone, tiny_config
from trainer import pipeline
from trainer.bundling import variants as rules
from trainer.networks import architectures, export, handout
from weakspot import front
from weakspot.cli import app

Weakspot = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's pictures, bundles and runs lie."""
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def bundle(module_engine: Engine, home: Path) -> Path:
    """The champion's bundle."""
    add(module_engine, home / "pool", per_side={"train": 12, "val": 8, "test": 4})
    return _train(module_engine, home, epochs=2)


@pytest.fixture(scope="module")
def plain(module_engine: Engine, home: Path, bundle: Path) -> Path:
    """The bundle of a run that wanted no variants, and every other form."""
    return _train(module_engine, home, epochs=1, variants="", also="safetensors,torchscript")


@pytest.fixture
def weakspot(
    module_engine: Engine,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Weakspot:
    """Run the command on this module's database: (exit code, what it printed)."""
    url = module_engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("WEAKSPOT_HOME", str(home))
    monkeypatch.setenv("WEAKSPOT_DATABASE_URL", url)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            front.run(app, words)
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def _train(engine: Engine, home: Path, **changes: object) -> Path:
    result = pipeline.train(
        engine,
        tiny_config(tiny_backbone(home), **changes),
        bundles=home / "bundles",
        runs=home / "runs",
        clock=FixedClock(NOW),
    )
    with transaction(engine) as connection:
        return Path(registry.get(connection, result.version).uri)


class TestVariants:
    """int8 and fp16, made with every version."""

    def test_have_a_verdict_each_and_a_file_where_they_were_kept(self, bundle: Path):
        """What is not good enough is not there to be served by mistake."""
        manifest = files.verify(bundle)

        assert set(manifest.variants) == {"int8", "fp16"}
        for name in variants.VARIANTS:
            told = variants.verdict(manifest, name)
            assert told is not None
            assert told.kept == (variants.FILES[name] in manifest.files)
            assert told.n == 8 * len(LABELS)
            assert told.largest_logit_difference is not None

    def test_serve_where_they_were_kept(self, bundle: Path):
        """Half precision of these few layers takes nothing from anybody."""
        manifest = files.verify(bundle)
        assert variants.kept(manifest, "fp16")

        runner = Runner.open_variant(bundle, "fp16")

        assert np.isfinite(runner.run(sentinels.read(bundle, manifest).images).logits).all()

    def test_are_not_made_where_none_is_wanted(self, plain: Path):
        """`WEAKSPOT_TRAINER_VARIANTS=` spares the time."""
        manifest = files.verify(plain)

        assert manifest.variants == {}
        assert not {files.HALF, files.QUANTISED} & set(manifest.files)

    def test_of_an_unknown_name_are_refused_before_anything_is_trained(self):
        """An hour of training must not end in a typing error."""
        with pytest.raises(UsageError, match="variant 'int4' is unknown"):
            tiny_config(Path("anywhere"), variants="int4")


class TestHandOut:
    """`trainer.networks.handout`."""

    def test_writes_every_form_and_checks_each(self, bundle: Path, tmp_path: Path):
        """What leaves the house answers as the bundle does."""
        found = handout.hand_out(bundle, tmp_path / "out", handout.FORMS)

        assert set(found) == {"onnx", "torchscript", "safetensors"}
        assert max(found.values()) < 1e-3
        assert found["safetensors"] == 0

    @pytest.mark.filterwarnings("ignore:.*torch.jit.load:DeprecationWarning")
    def test_torchscript_runs_without_our_code_at_any_batch(self, bundle: Path, tmp_path: Path):
        """Bytes in, calibrated probabilities out, as the ONNX file has it."""
        handout.hand_out(bundle, tmp_path / "out", ["torchscript"])
        loaded = torch.jit.load(tmp_path / "out" / handout.TORCHSCRIPT)
        real = sentinels.read(bundle, files.read_manifest(bundle))

        for size in (1, 5):
            _, logits, embedding = loaded(torch.from_numpy(real.images[:size]))
            assert np.allclose(logits.numpy(), real.logits[:size], atol=1e-3)
            assert embedding.shape == (size, 256)

    def test_safetensors_load_back_into_the_architecture(self, bundle: Path, tmp_path: Path):
        """Somebody who goes on training elsewhere starts from these very weights."""
        handout.hand_out(bundle, tmp_path / "out", ["safetensors"])

        network = architectures.load_bundle(tmp_path / "out", len(LABELS))

        facts = json.loads((tmp_path / "out" / handout.FACTS).read_text())
        real = sentinels.read(bundle, files.read_manifest(bundle))
        with torch.inference_mode():
            images = torch.from_numpy(real.images)
            _, logits, _ = export.served_graph(network, facts["temperature"])(images)
        assert np.allclose(logits.numpy(), real.logits, atol=1e-3)
        assert facts["labels"] == list(LABELS)

    def test_refuses_weights_that_are_not_the_graphs(self, bundle: Path, tmp_path: Path):
        """F19: a bundle whose weights and graph differ would hand out two models as one."""
        network = architectures.load_bundle(bundle, len(LABELS))
        with torch.no_grad():
            network.head.bias += 0.1
        forged = files.write(
            tmp_path,
            files.read_manifest(bundle),
            {name: bundle / name for name in files.read_manifest(bundle).files},
        )
        forge(forged, {files.WEIGHTS: architectures.weights_bytes(network.state_dict())})

        with pytest.raises(ParityError):
            handout.hand_out(forged, tmp_path / "out", ["torchscript"])

        assert not (tmp_path / "out").exists()

    def test_refuses_a_folder_with_something_in_it(self, bundle: Path, tmp_path: Path):
        """It might be somebody's other model."""
        (tmp_path / "kept.txt").write_text("mine")

        with pytest.raises(UsageError, match="not empty"):
            handout.hand_out(bundle, tmp_path, [])

        assert [each.name for each in tmp_path.iterdir()] == ["kept.txt"]

    def test_refuses_a_form_there_is_not(self):
        """The message names those there are."""
        with pytest.raises(UsageError, match="torchscript, safetensors"):
            handout.known_forms("tflite")


class TestAlso:
    """`weakspot train --also`: handed out when the version is made."""

    def test_lies_beside_the_bundles_and_not_in_one(self, plain: Path):
        """TorchScript has a pickle in it; a bundle has none, and is verified at every load."""
        out = handout.place(plain)

        facts = json.loads((out / handout.FACTS).read_text())
        assert out == plain.parent / "exports" / plain.name
        assert {handout.TORCHSCRIPT, files.MODEL, files.WEIGHTS, files.CONFIG} == set(
            facts["files"]
        )
        assert handout.TORCHSCRIPT not in files.verify(plain).files

    def test_says_what_each_file_is_by_its_digest(self, plain: Path):
        """Whoever got the folder can tell whether it is whole, and of which bundle it is."""
        out = handout.place(plain)

        facts = json.loads((out / handout.FACTS).read_text())
        found = {n: hashlib.sha256((out / n).read_bytes()).hexdigest() for n in facts["files"]}
        assert found == facts["files"]
        assert facts["bundle"] == files.digest(plain)

    def test_that_fails_costs_no_version(self, plain: Path):
        """Hours of training are not thrown away over a file that can be made again."""
        told = handout.beside(plain, ["torchscript"])  # where the run has put its own already

        assert "not empty" in told["error"]
        assert told["forms"] == ["torchscript"]

    def test_of_a_form_there_is_not_is_refused_before_anything_is_trained(self):
        """An hour of training must not end in a typing error."""
        with pytest.raises(UsageError, match="tflite is unknown"):
            tiny_config(Path("anywhere"), also="tflite")

    def test_of_a_network_that_cannot_be_scripted_is_refused_before_training(self, bundle: Path):
        """It is tried on the untrained network, as the export of a new family is."""
        network = architectures.load_bundle(bundle, len(LABELS))
        network.backbone.register_forward_hook(_refuses)

        with pytest.raises(TrainingError, match="TorchScript: not this one"):
            handout.require_scriptable(network, Recipe(16, 16), ["torchscript"])


def _refuses(*_: object) -> None:
    raise RuntimeError("not this one")


class TestCommands:
    """`weakspot model verify` and `export`."""

    def test_verify_compares_each_variant_on_the_validation_images(
        self, weakspot: Weakspot, bundle: Path
    ):
        """The figures of the manifest come out again on the same images."""
        code, out = weakspot("model", "verify", "v1", "--json")

        found = json.loads(out)
        told = files.read_manifest(bundle).variants["fp16"]
        assert (code, found["ok"]) == (0, True)
        assert found["variants"]["fp16"]["n"] == told["n"] == 8 * len(LABELS)
        assert found["variants"]["fp16"]["top1"] == told["top1"]

    def test_verify_ends_with_1_when_a_variant_no_longer_holds(
        self, weakspot: Weakspot, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """A nightly job must not have to read the text."""
        monkeypatch.setattr(rules, "MOST_LOST", -1.0)

        code, out = weakspot("model", "verify")

        assert code == 1
        assert "fp16: DOES NOT HOLD on 24 images" in out

    def test_export_writes_what_was_asked_for(
        self, weakspot: Weakspot, bundle: Path, tmp_path: Path
    ):
        """One command from a version to a file that others can run."""
        to = tmp_path / "out"

        code, out = weakspot(
            "model", "export", "v1", "--also", "torchscript,safetensors", "--to", str(to), "--json"
        )

        assert code == 0
        assert {files.MODEL, handout.TORCHSCRIPT, files.WEIGHTS} <= set(json.loads(out)["files"])
        assert (to / files.MODEL).read_bytes() == (bundle / files.MODEL).read_bytes()


class _Payload:
    """What a pickle may hold: a call of anything, made by whoever reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._path}",)


class TestPickles:
    """S09: nothing in a backbone or a bundle is run by being read."""

    def test_in_a_backbones_folder_is_not_run(self, tmp_path: Path):
        """A checkpoint from the internet is a stranger's program."""
        folder = tiny_backbone(tmp_path)
        (folder / "model.safetensors").unlink()
        torch.save({"x": _Payload(tmp_path / "ran")}, folder / "pytorch_model.bin")

        with pytest.raises(TrainingError, match="a pickle that holds more than numbers"):
            architectures.load(str(folder), image_size=16)

        assert not (tmp_path / "ran").exists()

    def test_in_place_of_a_bundles_weights_is_not_run(self, bundle: Path, tmp_path: Path):
        """A retraining begins by reading them."""
        copy = files.write(
            tmp_path,
            files.read_manifest(bundle),
            {name: bundle / name for name in files.read_manifest(bundle).files},
        )
        torch.save({"x": _Payload(tmp_path / "ran")}, copy / files.WEIGHTS)

        with pytest.raises(BundleError, match="cannot be loaded"):
            architectures.load_bundle(copy, len(LABELS))

        assert not (tmp_path / "ran").exists()
