"""Fixed sizes, bound memory, one thread: on the CPU here, and on a GPU where there is one."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from core.bundle import cuda, engines
from core.bundle.bound_session import BoundSession, Place
from core.bundle.half_precision import to_half
from core.bundle.sessions import Threads, buckets
from core.errors import BundleError
from tests.gpu import needs_gpu
from tests.strict_ort import StrictOrt
from tests.tiny_conv import conv_model, pictures

OUTPUTS = ("probabilities", "logits", "embedding")
CPU = Place("cpu", ("CPUExecutionProvider",))
MODEL = conv_model().SerializeToString()


def bound(
    place: Place = CPU, model: bytes = MODEL, *, callers: int = 1, largest: int = 8
) -> BoundSession:
    """Load the tiny graph for batches up to the largest."""
    return BoundSession(onnxruntime, model, place, Threads(1, callers, buckets(largest)))


def on_gpu(*, half: bool = False, records: bool = True, callers: int = 2) -> BoundSession:
    """Load it on the GPU, up to batches of 64."""
    cuda.load_libraries(onnxruntime)
    model = to_half(MODEL, Path("model.onnx")) if half else MODEL
    return bound(cuda.place(half=half, records=records), model, callers=callers, largest=64)


def ask(session: BoundSession, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return all three outputs."""
    return session.run(OUTPUTS, {"image": images})


@pytest.fixture(scope="module")
def expected() -> list[NDArray[np.float32]]:
    """What plain onnxruntime on the CPU says of 150 pictures."""
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    return session.run(list(OUTPUTS), {"image": pictures(150)})


def assert_answers(session: BoundSession, expected: list[NDArray[np.float32]], atol: float) -> None:
    """Ask for batches of every kind: full, padded, and larger than the largest."""
    images = pictures(150)
    for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 33, 64, 65, 150):
        found = ask(session, images[:n])
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other[:n].shape
            np.testing.assert_allclose(one, other[:n], atol=atol)


def assert_nobody_gets_anothers(
    session: BoundSession, expected: list[NDArray[np.float32]], atol: float, turns: int = 25
) -> None:
    """Let six threads ask for batches of all sizes at once."""
    images = pictures(150)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(turns):
            rows = rng.integers(0, 150, rng.integers(1, 70))
            found = ask(session, images[rows])
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other[rows], atol=atol)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, seed) for seed in range(6)]:
            done.result()


class TestBuckets:
    """The sizes that a GPU is prepared for."""

    @pytest.mark.parametrize(
        ("largest", "sizes"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))]
    )
    def test_double_up_to_the_largest(self, largest: int, sizes: tuple[int, ...]):
        """No batch is padded to more than twice its size, and the owner's limit is kept."""
        assert buckets(largest) == sizes


class TestBoundSession:
    """What holds on any device."""

    def test_answers_batches_of_every_size(self, expected):
        """Padding must not be seen, and a batch beyond the largest is no error."""
        assert_answers(bound(), expected, 1e-5)

    def test_gives_each_caller_its_own_answers(self, expected):
        """Memory is bound once; two callers must never share it."""
        assert_nobody_gets_anothers(bound(callers=2), expected, 1e-5)

    def test_answers_outlive_the_next_call(self):
        """The memory they were computed in is used again."""
        session, images = bound(), pictures(2)
        first = ask(session, images[:1])
        kept = [each.copy() for each in first]

        ask(session, images[1:])

        for one, other in zip(first, kept, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_gives_the_outputs_in_the_order_asked_for(self, expected):
        """As any onnxruntime session does."""
        logits, probabilities = bound().run(("logits", "probabilities"), {"image": pictures(3)})

        np.testing.assert_allclose(logits, expected[1][:3], atol=1e-5)
        np.testing.assert_allclose(probabilities, expected[0][:3], atol=1e-5)

    def test_computes_in_half_precision(self, expected):
        """The same code, another graph."""
        session = bound(model=to_half(MODEL, Path("model.onnx")))

        found = ask(session, pictures(5))

        np.testing.assert_allclose(found[1], expected[1][:5], atol=2e-2)

    def test_describes_the_graph_and_not_its_own_sizes(self):
        """A batch that is fixed inside must not look like a graph with a fixed batch."""
        session = bound()

        assert [(each.name, each.shape) for each in session.get_inputs()] == [
            ("image", ["batch", 16, 16, 3])
        ]
        assert {each.name: each.shape[0] for each in session.get_outputs()} == dict.fromkeys(
            OUTPUTS, "batch"
        )

    def test_serves_a_graph_whose_batch_has_no_name(self, expected):
        """Not every exporter gives it one."""
        model = conv_model()
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.type.tensor_type.shape.dim[0].Clear()

        session = bound(model=model.SerializeToString())

        np.testing.assert_allclose(ask(session, pictures(3))[1], expected[1][:3], atol=1e-5)

    def test_runs_everything_by_one_thread_that_ends_with_it(self):
        """A recording belongs to its thread; a replaced version must leave none behind."""
        before = set(threading.enumerate())
        session = bound(callers=2)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ask, [session] * 4, [pictures(3)] * 4))
        (made,) = set(threading.enumerate()) - before

        del session

        made.join(5)
        assert not made.is_alive()

    def test_goes_on_after_a_call_that_fails(self, expected):
        """One bad batch must not take a caller's memory with it."""
        session = bound(callers=1)

        with pytest.raises(ValueError, match="broadcast"):
            ask(session, np.zeros((3, 5, 5, 3), dtype=np.uint8))

        np.testing.assert_allclose(ask(session, pictures(1))[1], expected[1][:1], atol=1e-5)

    @pytest.mark.parametrize("axis", [1, 2])
    def test_refuses_an_image_of_open_size(self, axis: int):
        """Memory that is bound once needs to know how much."""
        model = conv_model()
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "any"

        with pytest.raises(BundleError, match="a fixed height and width"):
            bound(model=model.SerializeToString())

    def test_refuses_another_input(self):
        """The runner's own check comes later, and must not be met by a crash before."""
        model = conv_model()
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT8

        with pytest.raises(BundleError, match="one input image"):
            bound(model=model.SerializeToString())

    def test_refuses_a_provider_that_did_not_start(self):
        """Onnxruntime leaves it out, and computes on the CPU."""

        class Deaf:
            """An onnxruntime that behaves as one whose CUDA libraries are missing."""

            def __getattr__(self, name: str) -> object:
                return getattr(onnxruntime, name)

            def InferenceSession(self, model, options, providers, **_) -> object:  # noqa: N802
                return onnxruntime.InferenceSession(model, options, providers=providers[-1:])

        place = Place("cuda", (("CUDAExecutionProvider", {}), "CPUExecutionProvider"), records=True)

        with pytest.raises(BundleError, match="could not start CUDAExecutionProvider"):
            BoundSession(Deaf(), MODEL, place, Threads(1))


class TestCudasRules:
    """Kept, as far as that can be seen without a GPU."""

    PLACE = cuda.place(half=False, records=True)

    def load(self, ort: StrictOrt, *, callers: int = 2) -> BoundSession:
        """Load the tiny graph for batches of 1, 2, 4 and 8."""
        return BoundSession(ort, MODEL, self.PLACE, Threads(1, callers, buckets(8)))

    def test_records_each_size_once_for_each_caller(self):
        """All of it when the version is loaded; later calls only replay."""
        ort = StrictOrt()
        session = self.load(ort, callers=2)
        before = ort.replays
        assert len(ort.recordings) == 4 * 2

        for n in (1, 3, 8, 11):
            ask(session, pictures(n))

        assert len(ort.recordings) == 4 * 2
        assert ort.replays - before == 5
        assert ort.broken == []

    def test_runs_and_records_by_one_thread(self, expected):
        """A recording is not found by another thread, which would make its own under load."""
        ort = StrictOrt()
        session = self.load(ort)

        assert_nobody_gets_anothers(session, expected, 1e-5, turns=6)

        assert len(set(ort.recordings.values())) == 1
        assert threading.current_thread() not in ort.recordings.values()
        assert ort.broken == []

    def test_keeps_still_while_another_version_is_recorded(self, expected):
        """F17: a promotion under load spoils neither the recordings nor the calls."""
        ort, stop = StrictOrt(), threading.Event()
        serving = self.load(ort)

        def serve() -> None:
            while not stop.is_set():
                found = ask(serving, pictures(5))
                np.testing.assert_allclose(found[1], expected[1][:5], atol=1e-5)

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(serve) for _ in range(3)]
            try:
                for _ in range(2):
                    self.load(ort)
            finally:
                stop.set()
            for each in asking:
                each.result()

        assert len(set(ort.recordings.values())) == 3
        assert ort.broken == []

    def test_the_stand_in_notices_who_breaks_them(self):
        """A watchman that never barks proves nothing."""
        ort = StrictOrt()
        with ort.doing("running", recording=True), ort.doing("copying in"):
            pass
        with ort.doing("copying out"), ort.doing("running", recording=True):
            pass

        assert ort.broken == ["copying in during a recording", "a recording during ['copying out']"]


class TestOnAGpu:
    """What only a GPU can show."""

    @needs_gpu
    @pytest.mark.parametrize(("half", "atol"), [(False, 1e-3), (True, 5e-2)])
    @pytest.mark.parametrize("records", [True, False])
    def test_answers_batches_of_every_size(self, expected, half: bool, atol: float, records: bool):
        """Every bucket, recorded or not, in both precisions."""
        assert_answers(on_gpu(half=half, records=records), expected, atol)

    @needs_gpu
    @pytest.mark.parametrize("half", [False, True])
    def test_replays_what_it_would_have_run(self, half: bool):
        """A recording that read old pixels would give old answers."""
        recorded, plain = on_gpu(half=half), on_gpu(half=half, records=False)

        for seed in range(5):
            for n in (1, 7, 64):
                images = pictures(n, seed=1000 * seed)
                for one, other in zip(ask(recorded, images), ask(plain, images), strict=True):
                    np.testing.assert_allclose(one, other, atol=2e-2 if half else 1e-4)

    @needs_gpu
    @pytest.mark.parametrize(("half", "atol"), [(False, 1e-3), (True, 5e-2)])
    def test_gives_each_caller_its_own_answers(self, expected, half: bool, atol: float):
        """One copies while the other's batch computes."""
        assert_nobody_gets_anothers(on_gpu(half=half), expected, atol)

    @needs_gpu
    def test_loads_another_version_while_it_serves(self, expected):
        """F17: recording the new version must not break the old one's calls, nor they it."""
        serving, stop = on_gpu(), threading.Event()

        def serve() -> int:
            asked = 0
            while not stop.is_set():
                found = ask(serving, pictures(5))
                np.testing.assert_allclose(found[1], expected[1][:5], atol=1e-3)
                asked += 1
            return asked

        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(serve) for _ in range(2)]
            try:
                for _ in range(3):
                    assert_answers(on_gpu(), expected, 1e-3)
            finally:
                stop.set()
            assert all(each.result() > 0 for each in asking)

    @needs_gpu
    def test_leaves_no_memory_behind(self):
        """A promotion a day must not fill the GPU."""
        on_gpu()  # what CUDA itself takes, and keeps
        used: list[int] = []
        for _ in range(6):
            session = on_gpu()
            ask(session, pictures(64))
            del session
            used.append(_used_mib())

        assert used[-1] - used[0] < 64, used

    @needs_gpu
    def test_the_engines_are_what_a_service_would_use(self):
        """`auto` means the GPU, in both precisions, and asks for two callers."""
        assert engines.candidates("auto") == ("onnxruntime-cuda-fp32", "onnxruntime-cuda-fp16")
        assert engines.suited(None, "auto", cores=16) == engines.Suited(2, 64)


def _used_mib() -> int:
    import subprocess

    time.sleep(0.5)  # the threads of what was dropped end by themselves
    words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(words, capture_output=True, check=True).stdout.split()[0])
