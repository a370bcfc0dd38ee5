"""Signals stay the program's own while Lightning fits.

In the main thread Lightning takes SIGTERM over, and makes an exit of Ctrl-C. To fit in another
thread would leave both alone, and cost speed: OpenMP keeps a pool of threads for each thread that
computes, and once there are more threads than cores they sleep at every barrier, thousands of
times a step.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class OwnSignals(Callback):
    """Gives signals back to whoever had them, as soon as Lightning has taken them."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    @contextmanager
    def kept(self) -> Generator[None]:
        """Let nothing be changed by the block, and Ctrl-C be Ctrl-C.

        Raises:
            KeyboardInterrupt: Lightning has made an exit of one.
        """
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.getsignal(each) for each in _SIGNALS}
        try:
            yield
        except SystemExit as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        finally:
            self._give_back()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Lightning has taken them just before."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # none of Python's
                signal.signal(number, handler)
