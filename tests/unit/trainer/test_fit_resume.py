"""A fit that ends before its time is gone on with, and is the fit that it would have been."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training import LABELS, SIZE, tiny_backbone, tiny_sides
from trainer.fitting.fit import Epoch, FitReport, fit
from trainer.fitting.module import FitOptions
from trainer.images.dataset import Sides
from trainer.networks.architectures import Network, load
from trainer.variation.augment import augment_options

OPTIONS = FitOptions(epochs=3, learning_rate=5e-3, batch_size=8, patience=3, device="cpu")
# All that is random, and all that has a state of its own.
EVERYTHING = replace(
    OPTIONS,
    ema=0.9,
    schedule="cosine",
    gradual=True,
    trainable_stages=0,
    augment=augment_options("trivial,mixup=0.5"),
)


class KilledError(Exception):
    """Stands for whatever ended the process."""


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone."""
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def network(backbone: Path) -> Callable[[], Network]:
    """Makes the same network each time."""

    def make() -> Network:
        torch.manual_seed(0)
        return load(str(backbone), image_size=SIZE).network(len(LABELS))

    return make


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Twelve pictures a class to learn from, five to choose by."""
    return tiny_sides(tmp_path)


def _same(one: Network, other: Network) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _fit(network: Network, sides: Sides, options: FitOptions = OPTIONS) -> FitReport:
    return fit(network, sides, options=options, resume=True)


def _killed_in_pass_2(network: Network, sides: Sides, options: FitOptions = OPTIONS) -> None:
    def end(epoch: Epoch) -> None:
        # A checkpoint is written after everybody has heard of the pass.
        if epoch.number == 2:
            raise KilledError

    with pytest.raises(KilledError):
        fit(network, sides, options=options, on_epoch=end, resume=True)


class TestEpochs:
    """What is told about each pass."""

    def test_are_told_in_order_with_their_figures(
        self, network: Callable[[], Network], sides: Sides
    ):
        """Trackers, the queue and a search read these."""
        told: list[Epoch] = []

        report = fit(network(), sides, options=OPTIONS, on_epoch=told.append)

        assert [(each.number, each.epochs) for each in told] == [(1, 3), (2, 3), (3, 3)]
        assert told[-1].train_loss < told[0].train_loss
        assert max(each.val_accuracy for each in told) == report.val_accuracy
        assert 0 < told[-1].learning_rate < told[1].learning_rate <= OPTIONS.learning_rate
        assert all(each.seconds > 0 and each.val_loss > 0 for each in told)


class TestResume:
    """`fit(..., resume=True)`."""

    @pytest.mark.parametrize("options", [OPTIONS, EVERYTHING], ids=["plain", "everything"])
    def test_ends_with_the_weights_of_a_fit_that_was_not_ended(
        self,
        network: Callable[[], Network],
        sides: Sides,
        tmp_path: Path,
        options: FitOptions,
    ):
        """Bit by bit: otherwise a power cut would change what goes live."""
        whole, ended, resumed = network(), network(), network()
        fit(whole, sides, options=options)
        _killed_in_pass_2(ended, sides, options)

        report = _fit(resumed, sides, options)

        assert (report.resumed_after, report.epochs) == (1, 3)
        assert _same(resumed, whole)

    def test_the_same_seed_gives_the_same_weights(
        self, network: Callable[[], Network], sides: Sides
    ):
        """On one machine a version can be made again."""
        first, second = network(), network()

        for each in (first, second):
            fit(each, sides, options=EVERYTHING)

        assert _same(first, second)

    def test_makes_no_pass_when_all_were_made(self, network: Callable[[], Network], sides: Sides):
        """What died was the export."""
        first, second = network(), network()
        _fit(first, sides)
        told: list[Epoch] = []

        report = fit(second, sides, options=OPTIONS, on_epoch=told.append, resume=True)

        assert (told, report.resumed_after, _same(first, second)) == ([], 3, True)

    def test_knows_that_it_had_stopped_early(self, network: Callable[[], Network], sides: Sides):
        """Patience that had run out is not given again."""
        still = replace(OPTIONS, epochs=9, learning_rate=1e-12, patience=1)
        before = _fit(network(), sides, still)

        after = _fit(network(), sides, still)

        assert after.epochs == after.resumed_after == before.epochs < 9

    def test_begins_anew_with_other_options(self, network: Callable[[], Network], sides: Sides):
        """Weights of one rate are no beginning of a run at another."""
        _killed_in_pass_2(network(), sides)

        report = _fit(network(), sides, replace(OPTIONS, learning_rate=1e-3))

        assert report.resumed_after == 0

    def test_begins_anew_with_other_images(self, network: Callable[[], Network], sides: Sides):
        """A pool that has grown makes another run."""
        _killed_in_pass_2(network(), sides)

        report = _fit(network(), replace(sides, weights=2 * sides.weights))

        assert report.resumed_after == 0

    @pytest.mark.parametrize("keep", [0, 1000])
    def test_begins_anew_when_the_checkpoint_is_damaged(
        self, network: Callable[[], Network], sides: Sides, keep: int
    ):
        """A disk that lost its end costs time, not the run."""
        _killed_in_pass_2(network(), sides)
        path = sides.folder / "checkpoint.pt"
        path.write_bytes(path.read_bytes()[:keep])

        assert _fit(network(), sides).resumed_after == 0

    def test_goes_on_without_checkpoints_when_the_disk_is_full(
        self, network: Callable[[], Network], sides: Sides
    ):
        """The weights that matter are in memory."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            report = _fit(network(), sides)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

        assert report.epochs == 3
        assert not list(sides.folder.glob("checkpoint.*"))

    def test_reads_no_pickled_code(self, network: Callable[[], Network], sides: Sides):
        """Whoever may write into the folder of runs must not run what they like."""
        _killed_in_pass_2(network(), sides)
        path = sides.folder / "checkpoint.pt"
        content = torch.load(path, weights_only=True)
        torch.save(content | {"callbacks": content["callbacks"] | {"x": Path}}, path)

        assert _fit(network(), sides).resumed_after == 0
