"""How many bytes of requests are held at one moment, in all of them together.

A request's Content-Length is taken off the budget before its body is read, so that a burst of
large uploads is refused before it is uploaded; a body without one is counted as it grows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY

from core.errors import OverloadedError

_RETRY_AFTER_S = 1


class BodyBudget:
    """Counts the bytes of bodies; belongs to one event loop.

    Args:
        max_bytes: Held at one moment; a single request may exceed it when nothing else is held.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0

    def __len__(self) -> int:
        """Return how many bytes are held."""
        return self._held

    @contextmanager
    def hold(self, request: Request) -> Generator[Body]:
        """Give a request's body room until the block ends.

        Raises:
            HTTPException: It states more bytes than its route accepts (413); it is
                compressed (415).
            OverloadedError: There is no room for it now.
        """
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise HTTPException(415, "compressed bodies are not taken; send the bytes themselves")
        stated = _stated_length(request)
        body = Body(request, self, stated)
        self._take(stated)
        try:
            yield body
        finally:
            self._held -= body.held

    def _take(self, count: int) -> None:
        if self._held and self._held + count > self._max_bytes:
            raise OverloadedError(
                f"the service holds {self._held} bytes of other requests, and {self._max_bytes} "
                "are allowed; try again",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._held += count

    def grow(self, body: Body, count: int) -> None:
        """Count bytes that arrived beyond what a body had room for.

        Raises:
            OverloadedError: There is no room for them now.
        """
        self._take(count)
        body.held += count


class Body:
    """One request's body, counted while it is read.

    Attributes:
        request: Whose it is.
        held: Bytes that it has room for.
    """

    def __init__(self, request: Request, budget: BodyBudget, held: int) -> None:
        self.request = request
        self.held = held
        self._budget = budget

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives.

        Raises:
            HTTPException: It is larger than its route accepts (413).
            OverloadedError: It has no stated length, and there is no room for more of it.
        """
        arrived = 0
        async for chunk in self.request.stream():
            arrived += len(chunk)
            if arrived > self.held:
                self._budget.grow(self, arrived - self.held)
            yield chunk

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([chunk async for chunk in self.chunks()])


def _stated_length(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    stated = int(text) if text.isascii() and text.isdigit() else 0
    limit: int | None = request.scope.get(MAX_BODY_SIZE_SCOPE_KEY)
    if limit is not None and stated > limit:
        raise HTTPException(413)
    return stated
