"""How the dashboard listens, and how it stops."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from typing import TYPE_CHECKING, Any

from waitress.server import create_server

from core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from flask import Flask

# What this server takes at all: a picture. Routes that take none refuse far smaller bodies: they
# are held to LARGEST_BODY unless they set `request.max_content_length` themselves.
LARGEST_PICTURE = 10_500_000
LARGEST_BODY = 1_000_000

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# What a socket bound to every address is reached by from this machine.
_FROM_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def serve(server: Flask, host: str, port: int, on_listening: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish what was begun and return.

    Args:
        server: The Flask application.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        on_listening: Told the address as soon as requests are answered.

    Raises:
        UsageError: The address cannot be listened on.
    """
    try:
        listener: Any = create_server(
            server,
            host=host,
            port=port,
            threads=8,
            ident=None,
            channel_timeout=30,
            max_request_body_size=LARGEST_PICTURE,
            clear_untrusted_proxy_headers=True,
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error}; choose another with "
            "WEAKSPOT_DASHBOARD_HOST and WEAKSPOT_DASHBOARD_PORT (0 takes a free port)"
        ) from error
    spare_what_stays()
    try:
        on_listening(_address(listener))
        listener.run()  # It returns when SystemExit or KeyboardInterrupt is raised in it.
    finally:
        listener.close()


def spare_what_stays() -> None:
    """Let no search for garbage go through what lives as long as the program.

    Half a million objects of the libraries: to go through them takes a third of a second, in which
    nobody is answered, and finds nothing.
    """
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def leaving_on_signals() -> Generator[None]:
    """Let SIGTERM and SIGINT end the block as if it were done, where this is the main thread.

    They raise SystemExit, which is how waitress is told to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Once is enough: what is being closed now is not to be torn away half-closed.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        with contextlib.suppress(SystemExit):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _address(listener: Any) -> str:
    # A name such as localhost stands for two sockets; they share a port unless 0 was asked for.
    places = getattr(listener, "effective_listen", None)
    bound: tuple[str, int] = (
        places[0] if places else (listener.effective_host, listener.effective_port)
    )
    host, port = _FROM_HERE.get(bound[0], bound[0]), bound[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
