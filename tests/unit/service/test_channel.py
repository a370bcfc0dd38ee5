"""Frames over a socket, with files handed along."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from core.errors import OverloadedError
from service.workers.channel import Channel, Files
from service.workers.frames import HEAD, Kind, Topic


class End:
    """One end, and what it has heard."""

    def __init__(self, end: socket.socket) -> None:
        self.heard: list[tuple[Kind, bytes]] = []
        self.files: list[int] = []
        self.lost = False
        self.channel = Channel(
            end,
            on_frame=self._hear,
            on_question=lambda topic, content, reply: reply(bytes([topic]) + content),
            on_lost=self._lose,
        )

    def _hear(self, kind: Kind, content: bytes, files: Files) -> None:
        self.heard.append((kind, content))
        if kind is Kind.CONNECTION:
            self.files.append(files.popleft())

    def _lose(self) -> None:
        self.lost = True


def between(scene: Callable[[End, End], Awaitable[None]]) -> None:
    """Play a scene between two ends."""

    async def whole() -> None:
        one, other = (End(each) for each in socket.socketpair())
        try:
            async with asyncio.timeout(10):
                await scene(one, other)
        finally:
            one.channel.close()
            other.channel.close()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    """Let both ends go on until something holds."""
    while not condition():
        await asyncio.sleep(0.001)


class TestChannel:
    """What one end says, the other hears."""

    def test_keeps_the_order_of_frames_larger_than_the_socket(self):
        """A reader that is slow gets everything all the same, and nobody is blocked meanwhile."""

        async def scene(one: End, other: End) -> None:
            said = [(Kind.REASON, bytes([i]) * (300_000 if i % 3 == 0 else i)) for i in range(20)]
            for kind, content in said:
                one.channel.send(kind, content)
            await until(lambda: len(other.heard) == 20)
            assert other.heard == said

        between(scene)

    def test_hands_files_along_in_order(self):
        """Each frame gets the file it was sent with, between frames that have none."""

        async def scene(one: End, other: End) -> None:
            for i in range(50):
                reading, writing = os.pipe()
                os.write(writing, bytes([i]))
                os.close(writing)
                one.channel.send(Kind.REASON, bytes(i * 1000))
                one.channel.send(Kind.CONNECTION, file=reading)
            await until(lambda: len(other.files) == 50)
            assert [os.read(file, 1)[0] for file in other.files] == list(range(50))
            for file in other.files:
                os.close(file)

        between(scene)

    def test_answers_questions_of_both_ends(self):
        """Each reply finds its question."""

        async def scene(one: End, other: End) -> None:
            asked = [(end, bytes([i])) for i in range(20) for end in (one, other)]
            replies = await asyncio.gather(
                *(end.channel.ask(Topic.RATE, content) for end, content in asked)
            )
            assert replies == [bytes([Topic.RATE]) + content for _, content in asked]

        between(scene)

    def test_tells_once_that_the_other_end_is_gone(self):
        """Whoever waits for a reply is not left waiting."""

        async def scene(one: End, other: End) -> None:
            asked = asyncio.create_task(one.channel.ask(Topic.RATE))
            other.channel.close()
            with pytest.raises(OverloadedError):
                await asked
            assert one.lost
            one.channel.send(Kind.REASON, b"into the void")

        between(scene)

    def test_hangs_up_on_who_speaks_of_gigabytes(self):
        """Memory is bounded, whatever the other end says."""

        async def scene(one: End, other: End) -> None:
            one.channel._unsent.append((bytearray(HEAD.pack(Kind.REASON, 2**32 - 1)), None))
            one.channel._flush()
            await until(lambda: other.lost)

        between(scene)
