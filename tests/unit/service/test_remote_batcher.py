"""Images from a front to the engine process and back, over a real socket and real shared memory."""

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from core.bundle.outputs import Outputs
from core.bundle.runner import Runner
from core.bundle.trial import Measurement, Trial
from core.errors import OverloadedError, UsageError
from core.images.preprocess import Recipe, preprocess
from service.door.rates import LocalTally
from service.model.batcher import Batcher
from service.model.model_slot import Serving
from service.workers import frames
from service.workers.channel import Channel
from service.workers.engine_desk import Desk, InHand
from service.workers.engine_link import EngineLink, Place
from service.workers.frames import Kind
from service.workers.remote_batcher import RemoteRunner
from service.workers.shared_memory import Board, make_board
from tests.tiny import LABELS, picture, tiny_bundle

_TRIAL = Trial("onnxruntime-fp32", (Measurement("onnxruntime-fp32", 7.0, 0.0, 1.0),))


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, Runner]:
    """Two versions that answer the same picture with different numbers."""
    parent = tmp_path_factory.mktemp("bundles")
    folders = [tiny_bundle(parent, version=f"v{i + 1}", seed=i) for i in range(2)]
    first, second = (Runner.open(folder, "cpu", threads=1) for folder in folders)
    return first, second


class Held:
    """A runner whose calls end when they may."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._runner, name)

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Answer, when it may."""
        self.begun.set()
        assert self.may_end.wait(10)
        return self._runner.run(images)


class Pair:
    """An engine process and one front, both in this one; make it on an event loop.

    Attributes:
        batcher: The real one; its threads are not started yet.
        desk: The engine process' side.
        link: The front's.
    """

    def __init__(self, *, slots: int = 8, max_queue: int = 8) -> None:
        self._started = False
        file = make_board(1)
        self.board = Board(os.dup(file), 1)
        self.batcher = Batcher(threads=1, max_batch_size=4, max_queue=max_queue)
        self.desk = Desk(self.batcher, InHand(self.board, self.batcher), slots=slots)
        ours, theirs = socket.socketpair()
        self.channel = Channel(
            ours,
            on_frame=lambda kind, content, _files: self.desk.heed(kind, content),
            on_question=lambda _topic, _content, reply: reply(b""),
            on_lost=self.desk.on_lost,
        )
        self.desk.attach(self.channel)
        self.link = EngineLink(theirs, Board(file, 1), Place(0, 1))

    def serve(self, number: int, runner: Runner) -> None:
        """Let the front know of a version."""
        now = datetime(2026, 1, 1, tzinfo=UTC)
        self.desk.offer(number, Serving(runner, _TRIAL, "classifier", "0" * 64, now))

    @property
    def runner(self) -> RemoteRunner:
        """What the front's slot holds."""
        held = self.link.slot.current().runner
        assert isinstance(held, RemoteRunner)
        return held

    def start(self) -> None:
        """Let the model's thread begin."""
        self._started = True
        self.batcher.start()

    def close(self) -> None:
        """End both."""
        self.link.close()
        self.channel.close()
        if self._started:
            self.batcher.stop()


@pytest.fixture
def play(runners: tuple[Runner, Runner]) -> Iterator[Callable[..., None]]:
    """Run a scene between the two, the first version being served."""

    def run(scene: Callable[[Pair], Awaitable[None]], **options: int) -> None:
        async def whole() -> None:
            pair = Pair(**options)
            pair.serve(1, runners[0])
            await pair.link.attach()
            try:
                async with asyncio.timeout(10):
                    await scene(pair)
            finally:
                pair.close()

        asyncio.run(whole())

    yield run
    gc.collect()  # a block that is still mapped would warn here


def image_of(label: str, seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture as the tiny bundle takes it."""
    return preprocess(picture(label, seed=seed), Recipe(16, 16, resize=16))


async def until(condition: Callable[[], bool]) -> None:
    """Let both sides go on until something holds."""
    while not condition():
        await asyncio.sleep(0.001)


class TestRemoteBatcher:
    """A front's side of the batcher."""

    def test_gives_each_image_its_own_answer(self, play, runners):
        """Slots must not be mixed up, and not a bit may change on the way."""
        images = [image_of(label, seed) for label in LABELS for seed in range(2)]
        expected = [runners[0].run(image[None]) for image in images]

        async def scene(pair: Pair) -> None:
            pair.start()
            found = await asyncio.gather(
                *(pair.link.batcher.submit(pair.runner, image) for image in images)
            )
            for outcome, outputs in zip(found, expected, strict=True):
                np.testing.assert_allclose(outcome.logits, outputs.logits[0], rtol=1e-5, atol=1e-5)
                np.testing.assert_allclose(outcome.embedding, outputs.embedding[0], atol=1e-6)
                assert outcome.confidence == pytest.approx(outcome.probabilities.max())
                assert outcome.infer_s > 0

        play(scene)

    def test_keeps_its_answer_when_the_slot_is_used_again(self, play):
        """What a caller holds must not change under it."""

        async def scene(pair: Pair) -> None:
            pair.start()
            first = await pair.link.batcher.submit(pair.runner, image_of("Cat"))
            kept = first.probabilities.copy()
            for _ in range(10):
                await pair.link.batcher.submit(pair.runner, image_of("Dog"))
            assert (first.probabilities == kept).all()

        play(scene)

    def test_says_that_the_queue_is_full(self, play):
        """The engine process' own limit reaches the caller as the same error."""

        async def scene(pair: Pair) -> None:
            asked = [pair.link.batcher.submit(pair.runner, image_of("Cat")) for _ in range(4)]
            await until(asked[-1].done)
            with pytest.raises(OverloadedError, match="2 images are waiting already"):
                asked[-1].result()
            asked[2].exception()
            pair.start()
            await asyncio.gather(*asked[:2])

        play(scene, max_queue=2)

    def test_refuses_when_its_slots_are_in_use(self, play):
        """Memory is bounded, whoever is slow."""

        async def scene(pair: Pair) -> None:
            asked = [pair.link.batcher.submit(pair.runner, image_of("Cat")) for _ in range(2)]
            with pytest.raises(OverloadedError):
                pair.link.batcher.submit(pair.runner, image_of("Cat"))
            pair.start()
            await asyncio.gather(*asked)

        play(scene, slots=2)

    def test_refuses_an_image_of_another_shape(self, play):
        """It would be spread over the slot in silence."""

        async def scene(pair: Pair) -> None:
            with pytest.raises(UsageError, match=r"takes \(16, 16, 3\)"):
                pair.link.batcher.submit(pair.runner, np.zeros((1, 16, 3), np.uint8))

        play(scene)

    def test_keeps_the_slot_of_who_gave_up_while_it_waits(self, play):
        """The image is still in the queue: a new one in its place would be read for it."""

        async def scene(pair: Pair) -> None:
            given_up = pair.link.batcher.submit(pair.runner, image_of("Cat"))
            await until(lambda: len(pair.batcher) == 1)
            given_up.cancel()
            await until(lambda: pair.board.in_hand == 0)
            await asyncio.sleep(0.02)
            assert len(pair.runner.free) == 1
            pair.start()
            await until(lambda: len(pair.runner.free) == 2)

        play(scene, slots=2)

    def test_keeps_the_slot_of_who_gave_up_while_it_is_read(self, runners):
        """An inference thread has taken the image: the slot is free when the call has ended."""
        held = Held(runners[0])

        async def scene() -> None:
            pair = Pair(slots=2)
            pair.serve(1, held)  # type: ignore[arg-type]
            await pair.link.attach()
            pair.start()
            given_up = pair.link.batcher.submit(pair.runner, image_of("Cat"))
            await asyncio.to_thread(held.begun.wait, 10)
            given_up.cancel()
            await asyncio.sleep(0.02)
            assert len(pair.runner.free) == 1
            held.may_end.set()
            await until(lambda: len(pair.runner.free) == 2)
            pair.close()

        asyncio.run(asyncio.wait_for(scene(), 10))

    def test_expects_what_others_wait_for_too(self, play):
        """The queue is one for all fronts, so its length is, too."""

        async def scene(pair: Pair) -> None:
            pair.board.tell(10, 0.5)
            assert pair.link.batcher.expected_s(2) == pytest.approx(6)

        play(scene)

    def test_is_idle_when_no_front_has_anything_in_hand(self, play):
        """Its own images on their way count, and so do those of other fronts."""

        async def scene(pair: Pair) -> None:
            batcher = pair.link.batcher
            assert batcher.is_idle
            answer = batcher.submit(pair.runner, image_of("Cat"))
            assert not batcher.is_idle
            await until(lambda: pair.board.in_hand == 1)
            pair.start()
            await answer
            assert batcher.is_idle

        play(scene)

    def test_lets_nobody_wait_for_a_process_that_is_gone(self, play):
        """An answer that cannot come any more is refused at once."""

        async def scene(pair: Pair) -> None:
            asked = pair.link.batcher.submit(pair.runner, image_of("Cat"))
            runner = pair.runner
            pair.channel.close()
            with pytest.raises(OverloadedError, match="stopping"):
                await asked
            with pytest.raises(OverloadedError, match="stopping"):
                pair.link.batcher.submit(runner, image_of("Cat"))
            assert pair.link.slot.peek() is None

        play(scene)


class TestVersions:
    """A promotion, as a front sees it."""

    def test_are_released_when_their_last_request_has_ended(self, play, runners):
        """F17: who began with a version ends with it; then its memory goes, in both processes."""

        async def scene(pair: Pair) -> None:
            old = pair.runner
            begun = pair.link.batcher.submit(old, image_of("Cat"))
            pair.serve(2, runners[1])
            await until(lambda: pair.runner.version == "v2")
            late = pair.link.batcher.submit(old, image_of("Cat"))
            new = pair.link.batcher.submit(pair.runner, image_of("Cat"))
            assert len(pair.desk) == 2
            pair.start()
            said = await asyncio.gather(begun, late, new)
            assert said[0].logits.tolist() == said[1].logits.tolist()
            assert said[0].logits.tolist() != said[2].logits.tolist()
            del old
            await until(lambda: len(pair.desk) == 1)

        play(scene)

    def test_say_why_there_is_none(self, runners):
        """The sentence is the reloader's, whichever process gives it."""

        async def scene() -> str:
            pair = Pair()
            pair.channel.send(Kind.REASON, b"there is no model yet; run: weakspot train")
            await pair.link.attach()
            pair.close()
            return pair.link.slot.reason

        assert asyncio.run(scene()) == "there is no model yet; run: weakspot train"


class TestDesk:
    """The engine process' side of one front."""

    def test_computes_nothing_for_a_front_that_is_gone(self, play):
        """Its callers' connections went with it."""

        async def scene(pair: Pair) -> None:
            for _ in range(3):
                pair.link.batcher.submit(pair.runner, image_of("Cat"))
            await until(lambda: len(pair.batcher) == 3)
            assert pair.board.in_hand == 3
            pair.link.close()
            await until(lambda: pair.board.in_hand == 0)
            assert len(pair.desk) == 0

        play(scene)

    def test_survives_what_no_front_says(self, play, caplog):
        """A front that strangers have taken over must not take the engine process with it."""

        async def scene(pair: Pair) -> None:
            link = pair.link._channel
            assert link is not None
            for kind, content in (
                (Kind.SUBMIT, b"junk"),
                (Kind.SUBMIT, b"\1\0\0\0\xff\xff\xff\xff"),
                (Kind.SUBMIT, b"\7\0\0\0\0\0\0\0"),
                (Kind.ABANDON, b"\1\0\0\0\0\0\0\0"),
                (Kind.RELEASE, b"\7\0\0\0"),
            ):
                link.send(kind, content)
            pair.start()
            assert (await pair.link.batcher.submit(pair.runner, image_of("Dog"))).confidence > 0.5

        play(scene)
        assert caplog.text.count("cannot be heeded") == 3


class TestTally:
    """Rates, asked for over the line."""

    def test_are_those_of_the_engine_process(self):
        """The front packs and unpacks; the counting is in one place."""
        tally = LocalTally()
        allowance = tally.take_now("key", 3)

        assert frames.unpack_allowance(frames.pack_allowance(allowance)) == allowance
        assert frames.unpack_rate(frames.pack_rate("key ü", 3)) == ("key ü", 3)
        assert frames.unpack_guess(frames.pack_guess(7, locked=True)) == (7, True)
