"""How many pixels are decoded at one moment, in all threads together.

One large picture takes hundreds of megabytes for a moment; as many of them as there are decoding
threads would take gigabytes. Small pictures never wait here.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

_SMALL_PIXELS = 1_000_000


class PixelBudget:
    """Room for so many pixels; who finds none waits.

    Args:
        pixels: At one moment. A picture of more waits until it is alone.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._held = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Return how many pixels are held; small pictures are not counted."""
        return self._held

    @contextmanager
    def hold(self, pixels: int) -> Generator[None]:
        """Wait for room, and keep it until the block ends."""
        if pixels <= _SMALL_PIXELS:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + pixels <= self._pixels)
            self._held += pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify_all()
