"""Fitting finds what there is to find, keeps the best pass, and prints nothing."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import TrainingError
from core.images.preprocess import Recipe
from tests.training import LABELS, SIZE, tiny_backbone, tiny_pixels, tiny_sides
from trainer.fitting.fit import FitReport, fit, has_bfloat16, predict_logits, torch_device
from trainer.fitting.head import FeatureSource, HeadData, fit_head
from trainer.fitting.module import FitOptions
from trainer.images.dataset import Sides
from trainer.networks.architectures import Network, load

RECIPE = Recipe(SIZE, SIZE, resize=SIZE)
OPTIONS = FitOptions(epochs=8, learning_rate=5e-3, batch_size=8, device="cpu")
ONE_PASS = FitOptions(epochs=1, learning_rate=1e-3, device="cpu")


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A tiny network with three classes."""
    return load(str(tiny_backbone(tmp_path)), image_size=SIZE).network(len(LABELS))


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Twelve pictures a class to learn from, five to choose by."""
    return tiny_sides(tmp_path)


class TestFit:
    """Weights fitted with Lightning."""

    def test_learns_and_keeps_the_best_pass(self, network: Network, sides: Sides):
        """The network is left as it was when it was best, and its answers are those reported."""
        report = fit(network, sides, options=OPTIONS)

        again = predict_logits(network, sides.val, device="cpu")
        assert report.val_accuracy > 0.8
        assert 1 <= report.best_epoch <= report.epochs == 8
        assert np.allclose(again, report.val_logits, atol=0.05)

    def test_says_nothing(self, network: Network, sides: Sides, capfd: pytest.CaptureFixture[str]):
        """A program's output is its own; Lightning would advertise on it."""
        fit(network, sides, options=FitOptions(epochs=1, learning_rate=1e-3, device="cpu"))

        assert capfd.readouterr() == ("", "")

    def test_stops_when_it_no_longer_gets_better(self, network: Network, sides: Sides):
        """Patience is counted in passes."""
        still = FitOptions(epochs=9, learning_rate=1e-12, patience=1, device="cpu")

        assert fit(network, sides, options=still).epochs < 9

    def test_can_be_repeated(self, tmp_path: Path, sides: Sides):
        """The seed decides about order and variation."""
        reports: list[FitReport] = []
        for _ in range(2):
            torch.manual_seed(0)
            fresh = load(str(tiny_backbone(tmp_path)), image_size=SIZE).network(len(LABELS))
            reports.append(fit(fresh, sides, options=OPTIONS))

        assert np.allclose(reports[0].val_logits, reports[1].val_logits, atol=1e-2)

    def test_ends_with_what_its_listener_raises(self, network: Network, sides: Sides):
        """A worker that is told to stop, or lost its job, stops at the next step."""

        def stop(_stage: str, done: int, _total: int) -> None:
            if done == 2:
                raise TimeoutError("enough")

        with pytest.raises(TimeoutError, match="enough"):
            fit(network, sides, options=OPTIONS, on_progress=stop)

    def test_leaves_the_handling_of_signals_alone(self, network: Network, sides: Sides):
        """Lightning would take SIGTERM over, and a worker could not put its job back."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        before = [signal.getsignal(each) for each in numbers]
        seen: list[object] = []

        fit(
            network,
            sides,
            options=ONE_PASS,
            on_progress=lambda *_: seen.append([signal.getsignal(each) for each in numbers]),
        )

        assert seen == [before] * len(seen) != []
        assert [signal.getsignal(each) for each in numbers] == before

    def test_leaves_ctrl_c_what_it_is(self, network: Network, sides: Sides):
        """Lightning would make an exit of it, and whoever called could not tidy up."""
        # A shell starts what runs in the background with the signal ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                fit(
                    network,
                    sides,
                    options=ONE_PASS,
                    on_progress=lambda *_: signal.raise_signal(signal.SIGINT),
                )
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, before)

    def test_computes_in_the_thread_that_called(self, network: Network, sides: Sides):
        """A second thread brings a second pool, and both then sleep at every barrier."""
        seen: set[threading.Thread] = set()

        fit(
            network,
            sides,
            options=ONE_PASS,
            on_progress=lambda *_: seen.add(threading.current_thread()),
        )

        assert seen == {threading.current_thread()}

    def test_refuses_a_device_that_is_not_there(self, network: Network, sides: Sides):
        """A silent fall back to the CPU would be noticed hours later."""
        if torch.cuda.is_available():
            pytest.skip("this machine has one")

        with pytest.raises(TrainingError, match="no CUDA device"):
            fit(network, sides, options=FitOptions(epochs=1, learning_rate=1e-3, device="cuda"))


class TestDevice:
    """Where it runs, and how precisely."""

    def test_auto_is_never_an_error(self):
        """Every machine has a processor."""
        assert torch_device("auto").type in {"cpu", "cuda"}

    def test_knows_whether_bfloat16_is_computed_or_emulated(self):
        """Emulated it is slower than float32, so it must be one or the other."""
        assert has_bfloat16(torch.device("cpu")) in {True, False}


class TestFreezeStages:
    """`stages:N`."""

    def test_batch_norms_at_rest_keep_their_statistics(self, network: Network, sides: Sides):
        """A frozen part that still adapts is not frozen."""
        before = {k: v.clone() for k, v in network.state_dict().items() if "embedder" in k}

        fit(
            network,
            sides,
            options=FitOptions(epochs=1, learning_rate=1e-3, trainable_stages=1, device="cpu"),
        )

        after = network.state_dict()
        assert before
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


class TestFeatures:
    """What a frozen backbone says, computed once."""

    @pytest.fixture
    def source(self, network: Network, tmp_path: Path) -> FeatureSource:
        """Features of the tiny network, kept in a folder."""
        return FeatureSource(network, RECIPE, tmp_path / "features", "cpu")

    def test_are_kept(self, source: FeatureSource):
        """The second head costs no pass over the images."""
        told: list[int] = []
        first = source.features(tiny_pixels(4))

        second = source.features(
            tiny_pixels(4), on_progress=lambda _stage, done, _total: told.append(done)
        )

        assert np.array_equal(first, second)
        assert told == []

    def test_are_marked_as_used(self, source: FeatureSource):
        """What nobody has used for a month is removed; what each night uses is not."""
        source.features(tiny_pixels(4))
        (kept,) = source.folder.iterdir()
        os.utime(kept, (0, 0))

        source.features(tiny_pixels(4))

        assert kept.stat().st_mtime > 0

    def test_only_new_images_are_computed(self, source: FeatureSource):
        """A retraining adds a few to many."""
        told: list[int] = []
        source.features(tiny_pixels(4))

        both = source.features(
            tiny_pixels(6), on_progress=lambda _stage, _done, total: told.append(total)
        )

        assert told == [6]
        assert both.shape == (18, 16)

    def test_of_mirrored_images_are_others(self, source: FeatureSource):
        """They are kept apart."""
        pixels = tiny_pixels(4)

        assert not np.allclose(source.features(pixels), source.features(pixels, mirrored=True))


class TestFitHead:
    """A logistic regression on features."""

    def test_agrees_with_scikit_learn(self, network: Network):
        """The same optimum, found by another's solver."""
        from sklearn.linear_model import LogisticRegression

        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(3), 40)
        features = (rng.normal(size=(120, 16)) + labels[:, None] * 0.5).astype(np.float32)
        centred = features - features.mean(0)
        scaled = centred / np.sqrt((centred**2).sum(1).mean())
        data = HeadData(features, labels, np.ones(120), features, labels)

        report = fit_head(network, data, weight_decays=[1e-3])

        theirs = LogisticRegression(C=1 / (1e-3 * 120), max_iter=5000, tol=1e-8)
        expected = theirs.fit(scaled, labels).predict_proba(scaled)
        found = torch.from_numpy(report.val_logits).softmax(1).numpy()
        assert np.abs(found - expected).max() < 2e-3

    def test_chooses_the_decay_that_suits_the_validation_images(self, network: Network):
        """Noise asks for a strong one, which is the first of the path."""
        rng = np.random.default_rng(1)
        noise = rng.normal(size=(60, 16)).astype(np.float32)
        labels = rng.integers(0, 3, 60)
        val = rng.normal(size=(60, 16)).astype(np.float32)
        data = HeadData(noise, labels, np.ones(60), val, rng.integers(0, 3, 60))

        assert fit_head(network, data, weight_decays=[1.0, 1e-4, 1e-8]).head_decay == 1.0

    def test_puts_the_head_into_the_network(self, network: Network):
        """Scaling and centring are folded in: the network takes features as they are."""
        rng = np.random.default_rng(2)
        features = rng.normal(3, 2, size=(30, 16)).astype(np.float32)
        labels = np.repeat(np.arange(3), 10)
        data = HeadData(features, labels, np.ones(30), features, labels)

        report = fit_head(network, data)

        with torch.no_grad():
            logits = network.head(torch.from_numpy(features)).numpy()
        assert np.allclose(logits, report.val_logits, atol=1e-3)
