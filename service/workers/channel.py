"""Frames over a Unix socket between two processes of one machine, with files handed along.

It belongs to one event loop and never blocks it. What is said within one turn of the loop leaves
in one write. A file travels with the frame it was given with, and arrives in the same order.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from core.errors import OverloadedError
from service.workers import frames
from service.workers.frames import Kind, Topic

_log = logging.getLogger(__name__)

_READ_BYTES = 65_536
_MAX_FILES = 16  # in one read; the kernel gives those of one write at most
_MAX_FRAME = 64_000_000  # bytes; whoever says more is not one of us


class Files(Protocol):
    """Files that came along, to be taken in the order of their frames."""

    def popleft(self) -> int:
        """Return the next one's descriptor, which is the taker's from now on."""
        ...


OnFrame = Callable[[Kind, bytes, Files], None]
Reply = Callable[[bytes], None]
OnQuestion = Callable[[Topic, bytes, Reply], None]


class Channel:
    """One end of the socket; make it on the event loop that it belongs to.

    Args:
        end: The socket, which is the channel's from now on.
        on_frame: Told of every frame but questions and replies.
        on_question: Told of every question, and how to reply to it, now or later.
        on_lost: Told once that the other end is gone.
    """

    def __init__(
        self,
        end: socket.socket,
        *,
        on_frame: OnFrame,
        on_question: OnQuestion,
        on_lost: Callable[[], None],
    ) -> None:
        self._end = end
        self._on_frame, self._on_question, self._on_lost = on_frame, on_question, on_lost
        self._loop = asyncio.get_running_loop()
        self._unread = bytearray()
        self._files: deque[int] = deque()
        self._unsent: deque[tuple[bytearray, int | None]] = deque()
        self._flushing = False
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self.is_open = True
        end.setblocking(False)
        self._loop.add_reader(end, self._read)

    def send(self, kind: Kind, content: bytes = b"", *, file: int | None = None) -> None:
        """Say something; nothing happens when the other end is gone.

        Args:
            kind: What it is.
            content: Its fields.
            file: Descriptor of a file to go along; it is the channel's from now on.
        """
        if not self.is_open:
            if file is not None:
                os.close(file)
            return
        if file is not None or not self._unsent:
            self._unsent.append((bytearray(), file))
        self._unsent[-1][0].extend(frames.frame(kind, content))
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    async def ask(self, topic: Topic, content: bytes = b"") -> bytes:
        """Return the other end's reply to a question.

        Raises:
            OverloadedError: The other end is gone.
        """
        if not self.is_open:
            raise _gone()
        number = next(self._numbers) % 2**32
        reply = self._asked[number] = self._loop.create_future()
        try:
            self.send(Kind.QUESTION, frames.QUESTION.pack(number, topic) + content)
            return await reply
        finally:
            del self._asked[number]

    def close(self) -> None:
        """Hang up; what was said before leaves, as far as the socket takes it at once."""
        if self.is_open:
            self._flush()
        self._let_go()

    def _flush(self) -> None:
        self._flushing = False
        try:
            while self._unsent and self.is_open:
                self._send_piece()
        except BlockingIOError:
            # Until the other end reads, everything said meanwhile joins what waits.
            self._flushing = True
            self._loop.add_writer(self._end, self._resume)
        except OSError as error:
            self._lose(error)

    def _send_piece(self) -> None:
        piece, file = self._unsent[0]
        if file is None:
            sent = self._end.send(piece)
        else:
            sent = socket.send_fds(self._end, [piece], [file])
            os.close(file)
        del piece[:sent]
        self._unsent[0] = (piece, None)
        if not piece:
            self._unsent.popleft()

    def _resume(self) -> None:
        self._loop.remove_writer(self._end)
        self._flush()

    def _read(self) -> None:
        try:
            data, files, _, _ = socket.recv_fds(self._end, _READ_BYTES, _MAX_FILES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        self._files.extend(files)
        if not data:
            self._lose(None)
            return
        self._unread += data
        self._take_apart()

    def _take_apart(self) -> None:
        unread, at = self._unread, 0
        while len(unread) - at >= frames.HEAD.size and self.is_open:
            kind, length = frames.HEAD.unpack_from(unread, at)
            if length > _MAX_FRAME:
                self._lose(OSError(f"it speaks of {length} bytes"))
                return
            begin = at + frames.HEAD.size
            if len(unread) - begin < length:
                break
            at = begin + length
            try:
                self._heed(kind, bytes(unread[begin:at]))
            except Exception:
                # Nothing that the other end says may end the service on this one.
                _log.exception("frame %d of %d bytes cannot be heeded", kind, length)
        del unread[:at]

    def _heed(self, kind: int, content: bytes) -> None:
        if kind == Kind.REPLY:
            (number,) = frames.REPLY.unpack_from(content)
            asked = self._asked.get(number)
            if asked is not None and not asked.done():
                asked.set_result(content[frames.REPLY.size :])
        elif kind == Kind.QUESTION:
            number, topic = frames.QUESTION.unpack_from(content)
            head = frames.REPLY.pack(number)

            def reply(words: bytes) -> None:
                self.send(Kind.REPLY, head + words)

            self._on_question(Topic(topic), content[frames.QUESTION.size :], reply)
        else:
            self._on_frame(Kind(kind), content, self._files)

    def _lose(self, error: OSError | None) -> None:
        if self.is_open:
            _log.debug("the other end is gone: %s", error or "it hung up")
            self._let_go()
            self._on_lost()

    def _let_go(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()
        for file in (*self._files, *(file for _, file in self._unsent if file is not None)):
            os.close(file)
        self._files.clear()
        self._unsent.clear()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(_gone())


def _gone() -> OverloadedError:
    return OverloadedError("the service is stopping; try again")
