"""One answer for one Idempotency-Key, however often it is asked for.

The first request with a key is answered; those that come meanwhile wait for it. Afterwards the
answer stands beside its prediction in Postgres, for a day, and the last ones in memory too. While
Postgres is away, keys are known that were used in this service lately or lie in its spool; one
that only Postgres remembers counts as new, because the service goes on answering. Where a service
has several fronts, they take turns with a key, and tell each other what they know.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal, Protocol

from starlette.concurrency import run_in_threadpool

from core.errors import ConflictError, KeyReusedError, OverloadedError
from core.store.idempotency import Kept
from service.log.log_store import LogStore

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"

PATTERN = r"^[\x20-\x7e]{1,255}$"

_MOST_RECENT = 10_000
_MOST_SPOOLED = 50_000

_Place = tuple[str, str]

# What has become of an answer: given, and safe in Postgres; in the spool; there no more.
State = Literal["recent", "pinned", "unpinned"]


class Others(Protocol):
    """The other fronts of a service."""

    def turn(self, place: tuple[str, str]) -> AbstractAsyncContextManager[None]:
        """Be the only front that deals with a key, for a while."""
        ...

    def share(self, kept: list[Kept], state: State) -> None:
        """Tell them what is known of keys; called by any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two requests the same.

    Attributes:
        caller: Who asks.
        key: The Idempotency-Key.
        request_sha256: Digest of the image and of how it is to be answered.
    """

    caller: str
    key: str
    request_sha256: bytes

    @property
    def place(self) -> _Place:
        """Where its answer is kept."""
        return self.caller, self.key


@dataclass(frozen=True, slots=True)
class _Inside:
    request_sha256: bytes
    done: asyncio.Event = field(default_factory=asyncio.Event)


def identify(caller: str, key: str, data: bytes, *, top_k: int) -> Identity:
    """Return the identity of a request for one image."""
    digest = hashlib.sha256(f"top_k={top_k}\n".encode())
    digest.update(data)
    return Identity(caller, key, digest.digest())


class Idempotency:
    """Sees to it that a key is answered once.

    Args:
        store: Where the answers of all processes are.
        patience_s: How long a request waits for an earlier one with its key.
        others: The other fronts; None where there are none.
    """

    def __init__(self, store: LogStore, *, patience_s: float, others: Others | None = None) -> None:
        self._store = store
        self._others = others
        self._patience_s = patience_s
        self._inside: dict[_Place, _Inside] = {}
        self._recent: OrderedDict[_Place, Kept] = OrderedDict()
        self._spooled: dict[_Place, Kept] = {}
        self._lock = threading.Lock()  # of the two maps: the log's threads write to them

    async def answer(
        self, asked: Identity, make: Callable[[], Awaitable[Kept]]
    ) -> tuple[Kept, bool]:
        """Return the answer of a key, and whether it had been given before.

        Args:
            asked: Which.
            make: Answers the request, and commits the answer under the key.

        Raises:
            KeyReusedError: The key came with another request before.
            OverloadedError: The earlier request took too long, or too many keys are spooled.
        """
        inside = await self._enter(asked)
        try:
            async with AsyncExitStack() as stack:
                await self._take_turn(asked, stack)
                return await self._answer_once(asked, make)
        finally:
            del self._inside[asked.place]
            inside.done.set()

    async def _answer_once(
        self, asked: Identity, make: Callable[[], Awaitable[Kept]]
    ) -> tuple[Kept, bool]:
        kept = await self._known(asked)
        if kept is not None:
            return kept, True
        try:
            kept = await make()
        except ConflictError:
            # Another service took the key between our look and our commit.
            kept = await self._known(asked)
            if kept is None:
                raise
            return kept, True
        self._tell([kept], "recent")
        return kept, False

    async def _take_turn(self, asked: Identity, stack: AsyncExitStack) -> None:
        if self._others is None:
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await stack.enter_async_context(self._others.turn(asked.place))
        except TimeoutError as error:
            raise _still_inside() from error

    async def _enter(self, asked: Identity) -> _Inside:
        """Wait until no other request with the key is inside, and be the one that is."""
        try:
            async with asyncio.timeout(self._patience_s):
                while (other := self._inside.get(asked.place)) is not None:
                    _check(asked, other.request_sha256)
                    await other.done.wait()
        except TimeoutError as error:
            raise _still_inside() from error
        inside = self._inside[asked.place] = _Inside(asked.request_sha256)
        return inside

    async def _known(self, asked: Identity) -> Kept | None:
        with self._lock:
            kept = self._spooled.get(asked.place) or self._recent.get(asked.place)
            crowded = len(self._spooled) >= _MOST_SPOOLED
        kept = kept or await run_in_threadpool(self._store.find, *asked.place)
        if kept is not None:
            _check(asked, kept.request_sha256)
        elif crowded:
            raise OverloadedError(
                f"Postgres is away and {_MOST_SPOOLED} keys are waiting for it; try again later",
                retry_after_s=5,
            )
        return kept

    def pin(self, kept: Iterable[Kept], pinned: bool = True) -> None:
        """Remember what is in the spool, or forget what is not any more; called by any thread."""
        self._tell(list(kept), "pinned" if pinned else "unpinned")

    def hear(self, kept: Iterable[Kept], state: State) -> None:
        """Remember, or forget, what others know; called by any thread."""
        with self._lock:
            for each in kept:
                place = each.caller, each.key
                if state == "recent":
                    self._recent[place] = each
                elif state == "pinned":
                    self._spooled[place] = each
                else:
                    self._spooled.pop(place, None)
            while len(self._recent) > _MOST_RECENT:
                self._recent.popitem(last=False)

    def _tell(self, kept: list[Kept], state: State) -> None:
        self.hear(kept, state)
        if self._others and kept:
            self._others.share(kept, state)


def _still_inside() -> OverloadedError:
    return OverloadedError(
        f"an earlier request with this {HEADER} is still being answered; try again"
    )


def _check(asked: Identity, request_sha256: bytes) -> None:
    if asked.request_sha256 != request_sha256:
        raise KeyReusedError(
            f"this {HEADER} came with another image or query before; use a new key for each request"
        )
