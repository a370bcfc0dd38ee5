"""The monitor as a program: `weakspot monitor`, or `python -m monitor`."""

from __future__ import annotations

import logging
import os
import socket
import threading

from core import logs
from core.clock import open_clock
from core.settings import AlertSettings, HomeSettings, MonitorSettings, alert_variables
from core.stopping import stopping_on_signals
from core.store.alert_policy import AlertRules
from core.store.database import open_database
from monitor import schedule
from monitor.messages import alert_setup, delivery
from monitor.messages.delivery import Postage
from monitor.page import MonitorOptions

logger = logging.getLogger(__name__)


def options_from(settings: MonitorSettings) -> MonitorOptions:
    """Return what the owner chose, as the steps of a day take it."""
    return MonitorOptions.from_settings(settings)


def initial_rules(settings: MonitorSettings, alerts: AlertSettings) -> AlertRules:
    """Return the alert rules that the settings ask for.

    Raises:
        UsageError: They do not fit together.
    """
    return alert_setup.initial_rules(
        budget=settings.alarm_budget,
        floor=settings.floor,
        urls=alerts.urls.get_secret_value(),
        signed=bool(alerts.secret.get_secret_value()),
        quiet_hours=alerts.quiet_hours,
    )


def postage_from(alerts: AlertSettings) -> Postage:
    """Return how messages are sent.

    Raises:
        UsageError: A network cannot be read.
    """
    return alert_setup.postage(
        networks=alerts.networks,
        timeout_s=alerts.timeout_s,
        attempts=alerts.max_attempts,
        poll_s=alerts.poll_s,
        variables=alert_variables(),
    )


def run(home: HomeSettings, settings: MonitorSettings, alerts: AlertSettings | None = None) -> None:
    """Examine every class every day, and send what is to be told, until SIGTERM or Ctrl-C.

    Args:
        home: Where things are, and how to log.
        settings: The monitor's knobs.
        alerts: How messages are sent; read from the environment when None.

    Raises:
        UsageError: The settings of the alerts do not fit together.
        StoreError: Postgres cannot be reached at the start.
    """
    logs.configure(home.log_level, home.log_format)
    alerts = alerts or AlertSettings()  # pyright: ignore[reportCallIssue]
    wanted, postage = initial_rules(settings, alerts), postage_from(alerts)
    clock = open_clock(home.clock_file)
    stop = threading.Event()
    with (
        stopping_on_signals(stop),
        open_database(home.database_url, home.postgres) as engine,
        delivery.in_background(engine, postage, clock, stop),
    ):
        alert_setup.adopt(engine, wanted, now=clock.now())
        schedule.run_forever(
            engine,
            options=options_from(settings),
            clock=clock,
            holder=f"{socket.gethostname()}/{os.getpid()}",
            reports=home.reports.absolute(),
            stop=stop,
        )


if __name__ == "__main__":
    run(HomeSettings(), MonitorSettings())  # pyright: ignore[reportCallIssue]
