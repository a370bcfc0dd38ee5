"""One bounded queue of images in front of all inference threads.

Each thread takes what is waiting and never waits for company: a fuller batch buys 4 % on a CPU
and costs every request in it time. What waits is shared out, so that no thread idles while
another takes everything. A GPU earns more by full batches, so it may be told to wait a little for
company; then nothing is shared out. A batch holds images of one runner only, so after a promotion
the old version drains while the new one fills.

Images are submitted from one event loop, and answers arrive there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.bundle.outputs import Outputs, confidence, entropy, margin
from core.bundle.runner import Runner
from core.errors import OverloadedError

_log = logging.getLogger(__name__)

_NEWEST_SHARE = 0.1  # of the newest call in the moving mean of the pace


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model said of one image.

    Attributes:
        probabilities: float32 of shape (K,).
        logits: float32 of shape (K,).
        embedding: float32 of shape (256,).
        confidence: The largest probability.
        margin: By how much it leads over the second.
        entropy: Of all probabilities, in nats.
        queue_s: Time spent waiting for a thread.
        infer_s: Time of the model call this image was part of.
    """

    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]
    confidence: float
    margin: float
    entropy: float
    queue_s: float
    infer_s: float


class AnyBatcher(Protocol):
    """Whatever takes single images and answers them: in this process, or in another."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End, after what is waiting is answered."""
        ...

    def __len__(self) -> int:
        """Return how many images are waiting."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether no image waits, and one more would be computed at once."""
        ...

    def expected_s(self, ahead: int) -> float:
        """Return how long so many images take."""
        ...

    # Which runners it takes is between it and whatever fills the slot beside it.
    def submit(self, runner: Any, image: NDArray[np.uint8]) -> asyncio.Future[Outcome]:
        """Queue one image."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    runner: Runner
    image: NDArray[np.uint8]
    answer: asyncio.Future[Outcome]
    since: float


class Batcher:
    """Turns single images into model calls.

    Args:
        threads: Model calls at a time.
        max_batch_size: Images in one call.
        max_queue: Images waiting; one more is refused.
        on_batch: Told the number of images of every call.
        max_wait_ms: How long an image waits for others to fill its call; 0 for never.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_batch_size: int,
        max_queue: int,
        on_batch: Callable[[int], None] | None = None,
        max_wait_ms: float = 0,
    ) -> None:
        self._max_batch_size = max_batch_size
        self._max_wait_s = max_wait_ms / 1000
        self._max_queue = max_queue
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._pace_s = 0.0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{i}", daemon=True)
            for i in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Answer what is waiting, then end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __len__(self) -> int:
        """Return how many images are waiting for a thread."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether no image waits, and a thread does nothing."""
        return not self._waiting and self._idle > 0

    def expected_s(self, ahead: int) -> float:
        """Return how long so many images take, by the pace of the last calls; 0 before the first.

        Args:
            ahead: Images, all threads together.
        """
        return ahead * self._pace_s / len(self._threads)

    def submit(self, runner: Runner, image: NDArray[np.uint8]) -> asyncio.Future[Outcome]:
        """Queue one image; call it on the event loop that awaits the answer.

        Args:
            runner: The version that is to answer.
            image: uint8 (H, W, 3), preprocessed by that version's recipe.

        Raises:
            OverloadedError: The queue is full, or the service is stopping.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._stopping:
                raise OverloadedError("the service is stopping; try again on another one")
            if len(self._waiting) >= self._max_queue:
                raise OverloadedError(f"{self._max_queue} images are waiting already; try again")
            self._waiting.append(_Waiting(runner, image, answer, time.monotonic()))
            self._changed.notify()
        return answer

    def _work(self) -> None:
        # Between two calls a thread holds nothing: no image, and no version that has gone.
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Wait for images and answer them; False when it is time to stop."""
        batch = self._take()
        if not batch:
            return False
        begun = time.monotonic()
        answers = [each.answer for each in batch]
        try:
            outputs = batch[0].runner.run(np.stack([each.image for each in batch]))
        except Exception as error:
            # Whatever it was, those who wait must hear of it, and the thread must live on.
            _log.exception("a model call failed", extra={"version": batch[0].runner.version})
            _hand_over(answers, error)
            return True
        self._note_pace((time.monotonic() - begun) / len(batch))
        # Counted first: whoever has an answer finds its call in the metrics.
        if self._on_batch:
            self._on_batch(len(batch))
        _hand_over(answers, _outcomes(batch, outputs, begun))
        return True

    def _note_pace(self, seconds: float) -> None:
        """Keep a moving mean of the seconds of one thread per image."""
        before = self._pace_s or seconds
        self._pace_s = before + _NEWEST_SHARE * (seconds - before)

    def _take(self) -> list[_Waiting]:
        """Wait for images and return a thread's share of them; nothing means: stop."""
        with self._changed:
            while True:
                if self._max_wait_s:
                    self._wait_for_company()
                if (batch := self._share()) or self._stopping:
                    return batch
                self._idle += 1
                self._changed.wait()
                self._idle -= 1

    def _wait_for_company(self) -> None:
        """Let the images that wait become a full batch, but none wait longer than it may."""
        while self._waiting and not self._stopping:
            first, last = self._waiting[0], self._waiting[-1]
            left_s = first.since + self._max_wait_s - time.monotonic()
            is_full = len(self._waiting) >= self._max_batch_size
            # After a promotion, nobody comes any more to join the old version's last batch.
            if is_full or left_s <= 0 or first.runner is not last.runner:
                return
            self._changed.wait(left_s)

    def _share(self) -> list[_Waiting]:
        """Return what one thread takes now: of one runner, and no more than a fair part."""
        sharers = 1 if self._max_wait_s else self._idle + 1
        fair = -(-len(self._waiting) // sharers)
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < min(fair, self._max_batch_size):
            first = self._waiting[0]
            if batch and first.runner is not batch[0].runner:
                break
            self._waiting.popleft()
            if not first.answer.done():  # else whoever asked has given up
                batch.append(first)
        return batch


def available_cores() -> int:
    """Return how many cores this process may use: by affinity and by its cgroup's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cgroup_quota()
    return max(1, min(cores or 1, int(quota) if quota is not None else 1 << 16))


def cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the cores that cgroup version 2 or 1 grants; None without a quota."""
    try:
        granted, period = (root / "cpu.max").read_text().split()
        return None if granted == "max" else int(granted) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((root / "cpu/cpu.cfs_period_us").read_text())
        return quota / period_us if quota > 0 else None
    except (OSError, ValueError):
        return None


def _outcomes(batch: Sequence[_Waiting], outputs: Outputs, begun: float) -> list[Outcome]:
    infer_s = time.monotonic() - begun
    confidences = confidence(outputs.probabilities)
    margins = margin(outputs.probabilities)
    entropies = entropy(outputs.probabilities)
    return [
        Outcome(
            probabilities=outputs.probabilities[i],
            logits=outputs.logits[i],
            embedding=outputs.embedding[i],
            confidence=float(confidences[i]),
            margin=float(margins[i]),
            entropy=float(entropies[i]),
            queue_s=begun - each.since,
            infer_s=infer_s,
        )
        for i, each in enumerate(batch)
    ]


def _hand_over(
    answers: Sequence[asyncio.Future[Outcome]], outcome: Sequence[Outcome] | Exception
) -> None:
    """Give a batch its answers, with one call into the event loop for all of them."""
    loop = answers[0].get_loop()
    try:
        loop.call_soon_threadsafe(_resolve, answers, outcome)
    except RuntimeError:
        _log.warning("the service stopped before %d answers could leave", len(answers))


def _resolve(
    answers: Sequence[asyncio.Future[Outcome]], outcome: Sequence[Outcome] | Exception
) -> None:
    for i, answer in enumerate(answers):
        if answer.done():
            continue
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome[i])
