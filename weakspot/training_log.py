"""What a training says on stderr: bars at a terminal, and lines of the log anywhere else.

Under `nohup`, in a container or in a pipe no bar can be drawn, and half an hour of silence looks
like a training that hangs. There it says each stage when it begins, how far it is twice a minute,
and every pass with its figures, in the format of WEAKSPOT_LOG_FORMAT.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core import logs
from weakspot import front

if TYPE_CHECKING:
    from trainer.fitting.passes import Epoch

_logger = logging.getLogger(__name__)

_EVERY_S = 30.0
_BRIEF_S = 1.0  # a stage that was over sooner is told once


@contextmanager
def told(*, as_json: bool) -> Generator[front.OnProgress]:
    """Give what is to be told of stages: (stage in words, done, total).

    Args:
        as_json: Wipe the bars away at the end, leaving the terminal to the object.
    """
    if sys.stderr.isatty():
        with front.progress(as_json) as on_progress:
            yield on_progress
        return
    home = front.settings()
    with logs.configured(home.log_level, home.log_format):
        yield _Lines()


def on_epoch(epoch: Epoch) -> None:
    """Say one pass; at a terminal nothing listens to this, and a bar is there."""
    _logger.info("%s", epoch.in_words())


class _Lines:
    """Stages as lines: each at its beginning, at its end, and now and then between."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_new = stage not in self._begun
        begun = self._begun.setdefault(stage, now)
        is_over = 0 < total <= done and now - begun > _BRIEF_S
        if not is_new and not is_over and now - self._said[stage] < _EVERY_S:
            return
        self._said[stage] = now
        of = f" of {total}" if total else ""
        _logger.info("%s: %d%s, after %.0f s", front.visible(stage), done, of, now - begun)
