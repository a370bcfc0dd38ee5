"""A challenger in a process of its own: real bundles, a real child process."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.bundle import files
from core.bundle.runner import Runner
from core.errors import BundleError
from core.images.preprocess import preprocess
from service.shadow.challenger import Challenger, GivenUpError, Patience
from tests.tiny import LABELS, forge, picture, tiny_bundle

IMAGE = np.zeros((16, 16, 3), np.uint8)


def _start(bundle: Path, **options: object) -> Challenger:
    given = {"stopping": threading.Event()} | options
    return Challenger(bundle, files.digest(bundle), **given)  # type: ignore[arg-type]


def _end(challenger: Challenger) -> None:
    """End it; of the lowest priority, it may take its time even to die."""
    challenger.close()
    assert challenger.ended_with(within_s=60) is not None


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle."""
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def challenger(bundle: Path) -> Iterator[Challenger]:
    """It, ready to be asked."""
    started = _start(bundle)
    yield started
    _end(started)


class TestChallenger:
    """What the service sees of it."""

    def test_answers_as_the_bundle_does(self, bundle: Path, challenger: Challenger):
        """The gate examines by the same engine."""
        runner = Runner.open(bundle, "cpu", 1)
        images = [preprocess(picture(label), runner.recipe) for label in LABELS]

        said = [challenger.ask(image) for image in images]

        best = runner.run(np.stack(images)).probabilities.max(axis=1)
        assert [label for label, _ in said] == list(LABELS)
        assert [p for _, p in said] == pytest.approx(best.tolist(), abs=1e-6)

    def test_computes_at_the_lowest_priority(self, challenger: Challenger):
        """Whatever else wants the core has it."""
        assert os.getpriority(os.PRIO_PROCESS, challenger.pid) == 19

    def test_is_given_up_when_it_does_not_answer(self, bundle: Path):
        """A graph without an end must not hold the service's thread for ever."""
        challenger = _start(bundle, patience=Patience(answer_s=0.4))
        os.kill(challenger.pid, signal.SIGSTOP)

        with pytest.raises(BundleError, match="not answered in time"):
            challenger.ask(IMAGE)

        _end(challenger)

    def test_says_how_its_process_ended(self, challenger: Challenger):
        """A crash of the runtime is the challenger's, and has a number."""
        os.kill(challenger.pid, signal.SIGKILL)

        with pytest.raises(BundleError, match="signal 9"):
            challenger.ask(IMAGE)

    def test_is_waited_for_no_longer_when_the_service_stops(self, bundle: Path):
        """A stop takes a moment, whatever the challenger is at."""
        stopping = threading.Event()
        challenger = _start(bundle, stopping=stopping)
        os.kill(challenger.pid, signal.SIGSTOP)
        stopping.set()

        with pytest.raises(GivenUpError):
            challenger.ask(IMAGE)

        _end(challenger)

    def test_ends_with_its_service(self, bundle: Path):
        """Killed, a service closes its pipes; nobody is left that computes for nobody."""
        challenger = _start(bundle)

        challenger.hang_up()

        assert challenger.ended_with(within_s=20) == 0
        _end(challenger)


class TestRefusals:
    """What is not loaded."""

    def test_another_bundle_than_the_registered_one(self, bundle: Path):
        """Its answers would be told under the wrong name."""
        with pytest.raises(BundleError, match="not the bundle that was registered"):
            Challenger(bundle, "0" * 64, stopping=threading.Event())

    def test_a_graph_that_cannot_be_read(self, tmp_path: Path):
        """The child says why, and the service lives on."""
        broken = forge(tiny_bundle(tmp_path), {files.MODEL: b"no graph"})

        with pytest.raises(BundleError, match=r"model\.onnx"):
            _start(broken)
