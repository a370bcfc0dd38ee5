"""Every runtime that can compute a bundle gives the same answers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.bundle import engines
from core.bundle.engines import Threads
from core.bundle.runner import Runner
from core.errors import BundleError
from core.images.preprocess import preprocess
from tests.tiny import picture, tiny_bundle

LABELS = ("Cat", "Dog", "Spider")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle of a real, tiny graph."""
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


class TestOpenVino:
    """The engine that serves on most processors."""

    def test_answers_as_the_reference_does(self, folder):
        """Another runtime must not be another model."""
        reference = Runner.open(folder, "cpu", threads=1)
        images = np.stack([_tensor(label, reference.recipe) for label in LABELS])

        answered = Runner.open(folder, "cpu", threads=1, engine="openvino-fp32").run(images)

        expected = reference.run(images)
        np.testing.assert_allclose(answered.logits, expected.logits, atol=1e-4)
        np.testing.assert_allclose(answered.probabilities, expected.probabilities, atol=1e-4)
        np.testing.assert_allclose(answered.embedding, expected.embedding, atol=1e-4)

    def test_keeps_each_callers_answer_its_own(self, folder):
        """A request's memory is used again by the next call; an answer must outlive it."""
        runner = Runner.open(folder, "cpu", Threads(1, 2), engine="openvino-fp32")
        cat, dog = (_tensor(label, runner.recipe)[None] for label in ("Cat", "Dog"))

        first = runner.run(cat)
        before = first.logits.copy()
        runner.run(dog)

        np.testing.assert_array_equal(first.logits, before)

    def test_answers_the_same_alone_and_beside_others(self, folder):
        """A call without company takes all threads; it must not be another model."""
        runner = Runner.open(folder, "cpu", Threads(1, 2), engine="openvino-fp32")
        images = np.stack([_tensor(label, runner.recipe) for label in LABELS])
        alone = runner.run(images)

        with ThreadPoolExecutor(4) as callers:
            beside = list(callers.map(lambda _: runner.run(images), range(64)))

        for each in beside:
            np.testing.assert_array_equal(each.logits, alone.logits)
            np.testing.assert_array_equal(each.embedding, alone.embedding)

    def test_gives_exact_sums_in_a_coarse_precision(self, folder):
        """Probabilities of bfloat16 would add up to 0.99 in somebody's log."""
        try:
            runner = Runner.open(folder, "cpu", threads=1, engine="openvino-bf16")
        except BundleError as error:
            if "does not compute in" not in str(error):
                raise
            pytest.skip(str(error))

        answered = runner.run(_tensor("Dog", runner.recipe)[None])

        assert answered.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert np.linalg.norm(answered.embedding) == pytest.approx(1, abs=1e-6)

    def test_never_computes_in_another_precision_than_its_name(self, folder):
        """OpenVINO falls back in silence; the figures would be of another engine."""
        for engine in ("openvino-f16", "openvino-bf16"):
            try:
                runner = Runner.open(folder, "cpu", engine=engine)
            except BundleError as error:
                assert "does not compute in" in str(error)  # noqa: PT017 - either is right
            else:
                assert runner.engine == engine


class TestOpenSession:
    """What is refused before a graph is touched."""

    @pytest.mark.parametrize("threads", [Threads(0), Threads(1, 0)])
    def test_refuses_no_threads_at_all(self, tmp_path, threads):
        """Zero means all of them to one runtime and none to another."""
        with pytest.raises(Exception, match="threads must be 1 or more, not 0"):
            engines.open_session(
                b"", tmp_path, engine="openvino-fp32", device="cpu", threads=threads
            )

    def test_names_the_engine_that_cannot_load_a_graph(self, tmp_path):
        """Two runtimes, two opinions: the message says whose."""
        with pytest.raises(BundleError, match="cannot be loaded by openvino-fp32"):
            engines.open_session(
                b"noise", tmp_path, engine="openvino-fp32", device="cpu", threads=Threads(1)
            )


def _tensor(label, recipe):
    return preprocess(picture(label), recipe)


class TestSuited:
    """How an engine is called where its owner set nothing."""

    def test_is_a_thread_for_each_core_on_a_cpu(self):
        """A batch of four is enough; a core computes one image as well as four."""
        assert engines.suited(None, "cpu", cores=6) == engines.Suited(6, 4)
        assert engines.suited("openvino-f16", "auto", cores=6) == engines.Suited(6, 4)

    def test_is_two_callers_and_full_batches_on_a_gpu(self):
        """Cores have nothing to do with it."""
        assert engines.suited(engines.CUDA_HALF, "auto", cores=6) == engines.Suited(2, 64)
        assert engines.suited(None, "cuda", cores=6) == engines.Suited(2, 64)


class TestBatches:
    """The sizes to warm an engine with."""

    def test_are_all_of_them_on_a_cpu(self):
        """A runtime there takes memory anew for each size it has not seen."""
        assert engines.batches("onnxruntime-fp32", 4) == (1, 2, 3, 4)

    def test_are_those_it_is_prepared_for_on_a_gpu(self):
        """Every other size is padded to one of them."""
        assert engines.batches(engines.CUDA, 64) == (1, 2, 4, 8, 16, 32, 64)
