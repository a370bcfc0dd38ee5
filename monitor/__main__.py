"""The monitor as a program: `weakspot monitor`, or `python -m monitor`."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from types import FrameType

from core import logs
from core.clock import open_clock
from core.settings import HomeSettings, MonitorSettings
from core.store.database import open_database
from monitor import schedule
from monitor.page import MonitorOptions

logger = logging.getLogger(__name__)


def options_from(settings: MonitorSettings) -> MonitorOptions:
    """Return what the owner chose, as the steps of a day take it."""
    return MonitorOptions.from_settings(settings)


def run(home: HomeSettings, settings: MonitorSettings) -> None:
    """Examine every class every day, until SIGTERM or Ctrl-C.

    Args:
        home: Where things are, and how to log.
        settings: The monitor's knobs.

    Raises:
        StoreError: Postgres cannot be reached at the start.
    """
    logs.configure(home.log_level, home.log_format)
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        logger.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    with open_database(home.database_url, home.postgres) as engine:
        schedule.run_forever(
            engine,
            options=options_from(settings),
            clock=open_clock(home.clock_file),
            holder=f"{socket.gethostname()}/{os.getpid()}",
            reports=home.reports.absolute(),
            stop=stop,
        )


if __name__ == "__main__":
    run(HomeSettings(), MonitorSettings())  # pyright: ignore[reportCallIssue]
