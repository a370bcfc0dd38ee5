"""A GPU that was asked for is used, or the reason is told."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from core.bundle import cuda, engines, files
from core.bundle.bound_session import Place
from core.bundle.half_precision import to_half
from core.bundle.runner import Runner
from core.bundle.sessions import Threads
from core.bundle.trial import Task, measure, try_out
from core.errors import BundleError, UsageError
from tests.gpu import HAS_GPU, needs_gpu
from tests.tiny import forge, tiny_bundle
from tests.tiny_conv import conv_bundle, conv_model, pictures

KNOWS_CUDA = SimpleNamespace(get_available_providers=lambda: [cuda.PROVIDER, "CPU..."])
KNOWS_NOTHING = SimpleNamespace(get_available_providers=lambda: ["CPU..."])
without_gpu = pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")


class Deaf:
    """An onnxruntime-gpu whose CUDA libraries are missing: it knows CUDA, and uses the CPU."""

    def __init__(self, parent: Path) -> None:
        self.__file__ = str(parent / "__init__.py")

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        """Name what was built in, whether it can be loaded or not."""
        return [cuda.PROVIDER, "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        """Say on stdout what is missing, as onnxruntime does."""
        print("Failed to load libcublasLt.so.13: cannot open shared object file")  # noqa: T201

    def InferenceSession(self, model: bytes, *args: Any, **options: Any) -> Any:  # noqa: N802
        """Leave the provider out without a word."""
        options["providers"] = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(model, *args, **options)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A /dev with a GPU, and nothing in the environment that hides it."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidia0").touch()
    return tmp_path


class TestIsVisible:
    """Whether there is something to ask for."""

    def test_sees_the_device(self, seen: Path):
        """The driver makes a node for each."""
        assert cuda.is_visible(seen)

    def test_takes_the_drivers_other_nodes_for_none(self, tmp_path: Path):
        """`nvidiactl` is there without a GPU, too."""
        (tmp_path / "nvidiactl").touch()

        assert not cuda.is_visible(tmp_path)

    @pytest.mark.parametrize("hidden", ["", "-1"])
    def test_heeds_that_it_is_hidden(self, seen: Path, monkeypatch, hidden: str):
        """Its owner keeps it for another program."""
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)

        assert not cuda.is_visible(seen)


class TestResolve:
    """What `auto` means."""

    @pytest.mark.parametrize("asked", ["cpu", "cuda"])
    def test_leaves_a_decision_alone(self, asked):
        """Who asks for a GPU gets it or hears why not."""
        assert cuda.resolve(asked, None) == asked

    @pytest.mark.parametrize("ort", [None, KNOWS_NOTHING])
    def test_takes_the_cpu_where_onnxruntime_knows_no_cuda(self, ort, monkeypatch):
        """A GPU alone is of no use."""
        monkeypatch.setattr(cuda, "is_visible", lambda: True)

        assert cuda.resolve("auto", ort) == "cpu"

    @pytest.mark.parametrize(("visible", "place"), [(True, "cuda"), (False, "cpu")])
    def test_takes_the_gpu_where_there_is_one(self, monkeypatch, visible: bool, place: str):
        """onnxruntime-gpu on a laptop serves by its CPU."""
        monkeypatch.setattr(cuda, "is_visible", lambda: visible)

        assert cuda.resolve("auto", KNOWS_CUDA) == place


class TestOpenOnGpu:
    """Loud failures."""

    def open(self, ort: Any) -> None:
        """Try to load the tiny graph."""
        model = conv_model().SerializeToString()
        cuda.open_on_gpu(ort, model, Path("model.onnx"), half=False, threads=Threads(1))

    def test_names_the_library_that_is_missing(self, tmp_path: Path, monkeypatch, capsys):
        """CUDA is listed and cannot be loaded: the CPU must not answer in its place."""
        monkeypatch.setattr(cuda, "is_visible", lambda: True)
        (tmp_path / "capi").mkdir()
        (tmp_path / "capi/libonnxruntime_providers_cuda.so").write_bytes(b"no library")

        with pytest.raises(BundleError, match=r"could not use it: .*libonnxruntime_providers_cuda"):
            self.open(Deaf(tmp_path))

        assert capsys.readouterr().out == "", "stdout is for answers"

    def test_says_that_there_is_no_gpu(self, tmp_path: Path, monkeypatch):
        """Everything is installed, on the wrong machine."""
        monkeypatch.setattr(cuda, "is_visible", lambda: False)

        with pytest.raises(BundleError, match="no NVIDIA GPU is to be seen here"):
            self.open(Deaf(tmp_path))

    def test_says_which_onnxruntime_is_needed(self):
        """The two packages exclude each other, and the CPU's is the usual one."""
        with pytest.raises(BundleError, match=r"pip install 'weakspot\[gpu\]'"):
            self.open(KNOWS_NOTHING)

    @without_gpu
    @pytest.mark.parametrize("engine", [engines.CUDA, engines.CUDA_HALF, None])
    def test_refuses_a_bundle_with_the_reason(self, tmp_path: Path, engine):
        """Pinned engine or device, runner or trial: nobody falls back in silence."""
        folder = conv_bundle(tmp_path)

        with pytest.raises(BundleError, match="device cuda was asked for"):
            Runner.open(folder, "cuda", engine=engine)
        with pytest.raises(BundleError, match="device cuda was asked for"):
            try_out(folder, Task("cuda", seconds=0.05, engine=engine))

    @without_gpu
    def test_refuses_a_pinned_engine_on_any_device(self, tmp_path: Path):
        """WEAKSPOT_SERVICE_ENGINE alone asks for a GPU, too."""
        with pytest.raises(BundleError, match="device cuda was asked for"):
            try_out(tiny_bundle(tmp_path), Task("auto", seconds=0.05, engine=engines.CUDA))

    @pytest.mark.parametrize(
        ("engine", "device"), [("onnxruntime-fp32", "cuda"), ("onnxruntime-cuda-fp16", "cpu")]
    )
    def test_refuses_an_engine_of_another_device(self, tmp_path: Path, engine, device):
        """Two wishes that contradict each other are a mistake to be told."""
        with pytest.raises(UsageError, match=f"device {device} was asked for, and {engine}"):
            Runner.open(conv_bundle(tmp_path), device, engine=engine)


@pytest.fixture
def cpu_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way to a GPU, with the CPU at its end."""
    here = Place("cpu", ("CPUExecutionProvider",))
    monkeypatch.setattr(cuda, "place", lambda **_: here)
    monkeypatch.setattr(cuda, "load_libraries", lambda _: None)


@pytest.mark.usefixtures("cpu_in_its_place")
class TestTheWholeWay:
    """From a bundle to answers, by the code that a GPU runs."""

    def test_a_trial_times_both_engines_by_full_batches(self, tmp_path: Path):
        """24 images in batches of 16: the second one begins anew."""
        found = measure(conv_bundle(tmp_path), Task("cuda", 2, max_batch_size=16, seconds=0.05))

        exact, half = found.measurements
        assert (exact.engine, half.engine) == (engines.CUDA, engines.CUDA_HALF)
        assert exact.deviation == pytest.approx(0, abs=1e-5)
        assert 0 < (half.deviation or 0) < 2e-2
        assert exact.agreement == half.agreement == 1
        assert found.chosen.passed_over is None

    def test_a_trial_passes_half_precision_over_where_there_are_no_layers(self, tmp_path: Path):
        """And says so."""
        found = measure(tiny_bundle(tmp_path), Task("cuda", max_batch_size=4, seconds=0.05))

        assert found.engine == engines.CUDA
        assert "has no layers" in str(found.measurements[1].passed_over)

    @pytest.mark.parametrize("engine", [engines.CUDA, engines.CUDA_HALF])
    def test_a_runner_answers_any_number_of_images(self, tmp_path: Path, engine):
        """Prepared for 1, 2 and 4; asked for up to 9."""
        folder = conv_bundle(tmp_path)
        reference = Runner.open(folder, "cpu").run(pictures(9))

        runner = Runner.open(folder, "cuda", Threads(1, 2, (1, 2, 4)), engine=engine)

        assert runner.device == "cuda"
        for n in range(10):
            logits = runner.run(pictures(9)[:n]).logits
            np.testing.assert_allclose(logits, reference.logits[:n], atol=2e-2)

    def test_a_bundles_own_half_precision_is_taken(self, tmp_path: Path):
        """It was checked when the bundle was made; ours would be another graph."""
        path = Path("model.onnx")
        good = to_half(conv_model().SerializeToString(), path)
        other = to_half(conv_model(seed=1).SerializeToString(), path)

        taken = Runner.open(
            forge(conv_bundle(tmp_path / "a"), {files.HALF: good}), "cuda", engine=engines.CUDA_HALF
        )

        assert taken.engine == engines.CUDA_HALF
        with pytest.raises(BundleError, match="answers its own sentinels otherwise"):
            Runner.open(
                forge(conv_bundle(tmp_path / "b"), {files.HALF: other}),
                "cuda",
                engine=engines.CUDA_HALF,
            )

    def test_runs_unrecorded_where_it_cannot_be_recorded(self, tmp_path: Path, monkeypatch, caplog):
        """Slower, and said; better than no answer."""
        monkeypatch.setattr(cuda, "is_visible", lambda: True)
        here = Place("cpu", ("CPUExecutionProvider",))

        def place(*, half: bool, records: bool) -> Place:
            if records:
                raise RuntimeError("all compute graph nodes have not been partitioned")
            return here

        monkeypatch.setattr(cuda, "place", place)
        monkeypatch.setattr(cuda, "explain", lambda *_: None)

        Runner.open(conv_bundle(tmp_path), "cuda")

        assert "runs without CUDA graphs, and slower: all compute graph nodes" in caplog.text


class TestTrialOnAGpu:
    """The choice among the GPU's engines."""

    @needs_gpu
    def test_times_both_and_holds_them_against_the_bundle(self, tmp_path: Path):
        """Half precision earns its place by measurement, like any other engine."""
        task = Task("cuda", callers=2, max_batch_size=16, seconds=0.2)

        found = try_out(conv_bundle(tmp_path), task)

        assert {each.engine for each in found.measurements} == {engines.CUDA, engines.CUDA_HALF}
        assert all(each.images_per_s for each in found.measurements)
        assert all((each.agreement or 0) >= 0.98 for each in found.measurements)

    @needs_gpu
    def test_passes_half_precision_over_where_there_are_no_layers(self, tmp_path: Path):
        """And says so."""
        found = try_out(tiny_bundle(tmp_path), Task("cuda", max_batch_size=4, seconds=0.1))

        assert found.engine == engines.CUDA
        assert "has no layers" in str(found.measurements[1].passed_over)

    @needs_gpu
    def test_a_runner_says_where_it_runs(self, tmp_path: Path):
        """`/v1/model` shows it."""
        runner = Runner.open(conv_bundle(tmp_path), "auto", engine=engines.CUDA_HALF)

        assert (runner.device, runner.engine) == ("cuda", engines.CUDA_HALF)


class TestOwnHalf:
    """A bundle that brings its own graph in half precision."""

    def test_has_it_checked_like_the_other(self, tmp_path: Path):
        """Another file of the same kind: no external data, no noise."""
        folder = forge(conv_bundle(tmp_path), {files.HALF: b"noise"})

        with pytest.raises(BundleError, match=r"model\.fp16\.onnx \(5 bytes\) is truncated or no"):
            files.verify(folder)
