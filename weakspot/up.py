"""Every program on this machine, started by one command and stopped by Ctrl-C."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from core.clock import open_clock
from core.settings import AlertSettings, HomeSettings
from core.store.database import open_database
from weakspot.supervisor import Program, Supervisor, child_environment, run_until_signal

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the started programs listen."""

    service: str
    dashboard: str


def run(  # noqa: PLR0913 - each is named by its caller
    home: HomeSettings,
    *,
    host: str,
    service_port: int,
    dashboard_port: int,
    on_listening: Callable[[Addresses], None],
    require_keys: bool | None = None,
    sign_in: bool | None = None,
) -> None:
    """Start service, monitor, worker and dashboard; return when told to stop.

    The database is opened first and closed last: the embedded one outlives every program. Messages
    are sent from here as well as by the monitor: that a monitor is dead is news of its own.

    Args:
        home: Where things are.
        host: Address that service and dashboard listen on.
        service_port: Port of the service; 0 takes a free one.
        dashboard_port: Port of the dashboard; 0 takes a free one.
        on_listening: Told the addresses once both listen.
        require_keys: Whether callers of the service need API keys; None leaves it to `host`.
        sign_in: Whether callers of the dashboard do, likewise.

    Raises:
        UsageError: Callers need keys, and there are none.
    """
    from dashboard.door import keyring, rules
    from monitor import __main__ as monitor
    from monitor.messages import delivery
    from service.door.keyring import keys_are_needed, require_some_key

    clock = open_clock(home.clock_file)
    postage = monitor.postage_from(AlertSettings())  # pyright: ignore[reportCallIssue]
    needs_keys = keys_are_needed(host, require_keys)
    needs_sign_in = rules.keys_are_needed(host, sign_in)
    environment = child_environment({"WEAKSPOT_HOME": str(home.home.absolute())})
    with (
        open_database(home.database_url, home.postgres, on_progress=logger.info) as engine,
        delivery.in_background(engine, postage, clock, threading.Event()),
        Supervisor(environment=environment, logs=home.home / "logs") as supervisor,
    ):
        if needs_keys:
            # Said here, because the service would say it to its log; the dashboard likewise.
            require_some_key(engine, host=host, now=clock.now())
        if needs_sign_in:
            keyring.require_some_key(engine, host=host, now=clock.now())
        service = supervisor.start(listener("serve", host, service_port))
        dashboard = supervisor.start(listener("dashboard", host, dashboard_port))
        supervisor.start(Program("monitor", ["monitor"]))
        supervisor.start(Program("worker", ["worker"]))
        on_listening(Addresses(str(service), str(dashboard)))
        run_until_signal()


def listener(verb: str, host: str, port: int) -> Program:
    """Return the program that `verb` starts, announcing its address."""
    return Program(verb, [verb, "--host", host, "--port", str(port), "--json"], announces=True)
