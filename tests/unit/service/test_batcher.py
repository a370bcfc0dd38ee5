"""Many single images, few model calls."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.bundle.runner import Runner
from core.errors import OverloadedError, UsageError
from core.images.preprocess import preprocess
from service.model.batcher import Batcher, Outcome, available_cores, cgroup_quota
from tests.tiny import LABELS, picture, tiny_bundle


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, Runner]:
    """Two versions that answer the same picture with different numbers."""
    parent = tmp_path_factory.mktemp("bundles")
    folders = [tiny_bundle(parent, version=f"v{i + 1}", seed=i) for i in range(2)]
    first, second = (Runner.open(folder, "cpu", threads=1) for folder in folders)
    return first, second


@pytest.fixture
def sizes() -> list[int]:
    """The sizes of the model calls made."""
    return []


@pytest.fixture
def batcher(sizes: list[int]) -> Iterator[Batcher]:
    """One thread, four images a call, eight waiting."""
    made = Batcher(threads=1, max_batch_size=4, max_queue=8, on_batch=sizes.append)
    yield made
    made.stop()


def image_of(runner: Runner, label: str, seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture as the runner takes it."""
    return preprocess(picture(label, seed=seed), runner.recipe)


async def answers(batcher: Batcher, asked: list[tuple[Runner, NDArray[np.uint8]]]) -> list[Outcome]:
    """Submit everything, then let the threads start, so that all of it is waiting by then."""
    waiting = [batcher.submit(runner, image) for runner, image in asked]
    batcher.start()
    return list(await asyncio.gather(*waiting))


class TestBatcher:
    """One queue in front of the inference threads."""

    def test_gives_each_image_its_own_answer(self, batcher: Batcher, runners):
        """Answers must not be handed to the neighbour in the batch."""
        runner = runners[0]
        asked = [(runner, image_of(runner, label)) for label in LABELS]

        outcomes = asyncio.run(answers(batcher, asked))

        said = [runner.labels[outcome.probabilities.argmax()] for outcome in outcomes]
        assert said == list(LABELS)

    def test_agrees_with_a_call_of_one(self, batcher: Batcher, runners):
        """Confidence, margin and entropy are those of the image alone."""
        runner = runners[0]
        image = image_of(runner, "Dog")

        (outcome,) = asyncio.run(answers(batcher, [(runner, image)]))

        p = np.sort(runner.run(image[None]).probabilities[0].astype(float))
        assert outcome.confidence == pytest.approx(p[-1])
        assert outcome.margin == pytest.approx(p[-1] - p[-2])
        assert outcome.entropy == pytest.approx(-np.sum(p * np.log(p)))

    def test_takes_what_is_waiting_up_to_its_limit(self, batcher: Batcher, runners, sizes):
        """Seven waiting images are two calls, not seven."""
        image = image_of(runners[0], "Dog")

        asyncio.run(answers(batcher, [(runners[0], image)] * 7))

        assert sizes == [4, 3]

    def test_never_mixes_two_runners(self, batcher: Batcher, runners, sizes):
        """F17: after a promotion no tensor of one version is run by the other."""
        first, second = runners
        image = image_of(first, "Dog")
        asked = [(runner, image) for runner in (first, first, second, first, second)]

        outcomes = asyncio.run(answers(batcher, asked))

        alone = {id(runner): runner.run(image[None]).probabilities[0] for runner in runners}
        for (runner, _), outcome in zip(asked, outcomes, strict=True):
            assert outcome.probabilities == pytest.approx(alone[id(runner)], abs=1e-6)
        assert sizes == [2, 1, 1, 1]

    def test_shares_what_waits_among_idle_threads(self, runners, sizes):
        """One thread must not take everything while another has nothing to do."""
        batcher = Batcher(threads=2, max_batch_size=8, max_queue=8, on_batch=sizes.append)
        image = image_of(runners[0], "Dog")

        async def submit() -> None:
            batcher.start()
            await asyncio.sleep(0.1)  # both threads are waiting now
            await asyncio.gather(*[batcher.submit(runners[0], image) for _ in range(4)])

        asyncio.run(submit())
        batcher.stop()

        assert sum(sizes) == 4
        assert max(sizes) <= 3

    def test_refuses_one_more_than_fits(self, batcher: Batcher, runners):
        """F31: a burst meets a bounded queue and a 503, not growing memory."""
        image = image_of(runners[0], "Dog")

        async def overfill() -> None:
            waiting = [batcher.submit(runners[0], image) for _ in range(8)]
            with pytest.raises(OverloadedError, match="8 images are waiting"):
                batcher.submit(runners[0], image)
            batcher.start()
            await asyncio.gather(*waiting)

        asyncio.run(overfill())

    def test_leaves_out_what_nobody_awaits_any_more(self, batcher: Batcher, runners, sizes):
        """A request that timed out must not cost the others a model call."""
        image = image_of(runners[0], "Dog")

        async def abandon() -> None:
            first, second, third = (batcher.submit(runners[0], image) for _ in range(3))
            second.cancel()
            batcher.start()
            await asyncio.gather(first, third)

        asyncio.run(abandon())

        assert sizes == [2]

    def test_is_idle_only_while_nobody_waits_and_a_thread_does_nothing(self, batcher, runners):
        """What is done in idle moments alone asks this, so it must not be true too soon."""
        image = image_of(runners[0], "Dog")
        seen: list[bool] = []

        class Held:
            version = "v1"

            def run(self, images: NDArray[np.uint8]) -> object:
                seen.append(batcher.is_idle)
                return runners[0].run(images)

        async def ask() -> None:
            waiting = batcher.submit(Held(), image)
            seen.append(batcher.is_idle)
            batcher.start()
            await waiting
            while not batcher.is_idle:
                await asyncio.sleep(0.01)

        asyncio.run(asyncio.wait_for(ask(), 20))

        assert seen == [False, False]

    def test_survives_a_call_that_fails(self, batcher: Batcher, runners):
        """One bad batch must not end the thread and with it the service."""
        runner = runners[0]

        async def fail_then_work() -> Outcome:
            bad = batcher.submit(runner, np.zeros((3, 3, 3), dtype=np.uint8))
            batcher.start()
            with pytest.raises(UsageError):
                await bad
            return await batcher.submit(runner, image_of(runner, "Cat"))

        outcome = asyncio.run(fail_then_work())

        assert runner.labels[outcome.probabilities.argmax()] == "Cat"

    def test_answers_what_waits_before_it_stops(self, runners):
        """F20: what was accepted before SIGTERM is answered."""
        batcher = Batcher(threads=1, max_batch_size=2, max_queue=8)
        image = image_of(runners[0], "Dog")

        async def stop_early() -> list[Outcome]:
            waiting = [batcher.submit(runners[0], image) for _ in range(5)]
            batcher.start()
            await asyncio.to_thread(batcher.stop)
            with pytest.raises(OverloadedError, match="stopping"):
                batcher.submit(runners[0], image)
            return list(await asyncio.gather(*waiting))

        assert len(asyncio.run(stop_early())) == 5


class TestCompany:
    """A batcher in front of a GPU, which earns more by full batches."""

    @staticmethod
    def arrive(batcher: Batcher, runner: Runner, after_s: list[float]) -> float:
        """Let one image arrive after each pause; return the seconds until all are answered."""
        image = image_of(runner, "Dog")

        async def one_by_one() -> float:
            batcher.start()
            begun = asyncio.get_running_loop().time()
            waiting = []
            for pause in after_s:
                await asyncio.sleep(pause)
                waiting.append(batcher.submit(runner, image))
            await asyncio.gather(*waiting)
            return asyncio.get_running_loop().time() - begun

        seconds = asyncio.run(one_by_one())
        batcher.stop()
        return seconds

    def test_waits_for_others_at_most_so_long(self, runners, sizes):
        """Three that come within the wait share a call; the wait begins with the first."""
        batcher = Batcher(
            threads=2, max_batch_size=8, max_queue=8, on_batch=sizes.append, max_wait_ms=500
        )

        seconds = self.arrive(batcher, runners[0], [0, 0.05, 0.05])

        assert sizes == [3]
        assert 0.49 <= seconds < 2

    def test_waits_no_longer_than_for_a_full_batch(self, runners, sizes):
        """Nobody else would fit in."""
        batcher = Batcher(
            threads=2, max_batch_size=2, max_queue=8, on_batch=sizes.append, max_wait_ms=5_000
        )

        seconds = self.arrive(batcher, runners[0], [0, 0.02, 0, 0.02])

        assert sizes == [2, 2]
        assert seconds < 5

    def test_never_waits_unless_told_to(self, runners, sizes):
        """On a CPU company buys 4 % and costs every request in it time."""
        batcher = Batcher(threads=1, max_batch_size=8, max_queue=8, on_batch=sizes.append)

        self.arrive(batcher, runners[0], [0, 0.05, 0.05])

        assert sizes == [1, 1, 1]

    def test_does_not_wait_for_company_of_a_version_that_is_gone(self, runners, sizes):
        """After a promotion all that come are the new version's."""
        batcher = Batcher(
            threads=1, max_batch_size=8, max_queue=8, on_batch=sizes.append, max_wait_ms=60_000
        )
        old, new = runners

        async def promote() -> float:
            batcher.start()
            begun = asyncio.get_running_loop().time()
            last = batcher.submit(old, image_of(old, "Dog"))
            first = batcher.submit(new, image_of(new, "Dog"))
            await last
            seconds = asyncio.get_running_loop().time() - begun
            await asyncio.to_thread(batcher.stop)
            await first
            return seconds

        assert asyncio.run(promote()) < 5
        assert sizes == [1, 1]

    def test_answers_at_once_when_it_is_told_to_stop(self, runners, sizes):
        """SIGTERM is no time to wait for others."""
        batcher = Batcher(
            threads=1, max_batch_size=8, max_queue=8, on_batch=sizes.append, max_wait_ms=60_000
        )

        async def stop_early() -> None:
            batcher.start()
            answer = batcher.submit(runners[0], image_of(runners[0], "Dog"))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(batcher.stop)
            await asyncio.wait_for(answer, 5)

        asyncio.run(stop_early())

        assert sizes == [1]


class TestAvailableCores:
    """How many inference threads there should be."""

    def test_is_at_least_one(self):
        """A quota below one core still needs a thread."""
        assert available_cores() >= 1

    @pytest.mark.parametrize(
        ("content", "cores"),
        [("200000 100000\n", 2.0), ("50000 100000\n", 0.5), ("max 100000\n", None)],
    )
    def test_reads_the_quota_of_cgroup_2(self, tmp_path: Path, content: str, cores: float | None):
        """A container with two of 64 cores must not start 64 threads."""
        (tmp_path / "cpu.max").write_text(content)

        assert cgroup_quota(tmp_path) == cores

    def test_reads_the_quota_of_cgroup_1(self, tmp_path: Path):
        """Older hosts keep it in two files; -1 means none."""
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text("150000\n")

        assert cgroup_quota(tmp_path) == 1.5

    def test_knows_no_quota_where_there_is_none(self, tmp_path: Path):
        """A host without cgroups is no error."""
        assert cgroup_quota(tmp_path) is None
