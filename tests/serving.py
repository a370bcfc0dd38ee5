"""A real service on a real port, in a thread of the test.

with serving(engine, tmp_path) as service:
    answer = service.post("/v1/predict", content=jpeg_of("Dog")).json()
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from core.clock import Clock, SystemClock
from core.settings import ServiceSettings
from core.store import predictions
from core.store.database import transaction
from core.store.predictions import Filter
from service.app import create_app
from service.server import Server, bind, url_of
from tests.images import jpeg
from tests.tiny import picture


@contextmanager
def serving(
    engine: Engine,
    home: Path,
    *,
    clock: Clock | None = None,
    instance: str = "test",
    **knobs: Any,
) -> Iterator[httpx.Client]:
    """Run the service until the block ends; gives a client that knows its address.

    Args:
        engine: Its database.
        home: Any folder.
        clock: Its time; the machine's when None.
        instance: What it is called where it says that it has loaded a version.
        knobs: Service settings that differ from the defaults.
    """
    settings = ServiceSettings(**(_KNOBS | knobs))
    app = create_app(
        settings, engine=engine, clock=clock or SystemClock(), instance=instance, home=home
    )
    stop, started = threading.Event(), threading.Event()
    with bind("127.0.0.1", 0) as listener:
        server = Server(app, stop=stop, drain_s=5, on_started=started.set)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert started.wait(20)
            with httpx.Client(base_url=url_of(listener), timeout=20) as client:
                yield client
        finally:
            stop.set()
            thread.join(20)


# One engine, hardly timed: a load takes a second, not five.
_KNOBS = {"threads": 2, "reload_s": 0.5, "engine": "onnxruntime-fp32", "trial_s": 0.01}


def get(client: httpx.Client, path: str, **asked: Any) -> dict[str, Any]:
    """Return what a route answers."""
    answer = client.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def jpeg_of(label: str, seed: int = 0) -> bytes:
    """Return a picture of one of the tiny bundle's labels, as a JPEG."""
    return jpeg(picture(label, seed=seed))


def logged(engine: Engine) -> dict[str, str]:
    """Return the version of every prediction in the log, by id; refuses doubles."""
    with transaction(engine) as connection:
        rows = predictions.page(connection, Filter(), limit=100_000).predictions
    versions = {str(row.id): row.version for row in rows}
    assert len(versions) == len(rows)
    return versions


class Traffic:
    """Callers who ask one question after the other until the block ends.

    Attributes:
        answers: Version of every answer received, by the prediction's id.
        refusals: What else was received: (status, code, Retry-After).
        broken: How many requests ended without any answer.
    """

    def __init__(self, address: str, *, callers: int = 4, pause_s: float = 0.0) -> None:
        self.answers: dict[str, str] = {}
        self.refusals: list[tuple[int, str, str | None]] = []
        self.broken = 0
        self._address = address
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(callers)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, answers: int, *, within_s: float = 15.0) -> None:
        """Wait until so many more answers than now have come."""
        goal, deadline = len(self.answers) + answers, time.monotonic() + within_s
        while len(self.answers) < goal:
            assert time.monotonic() < deadline, (len(self.answers), self.refusals[-3:], self.broken)
            time.sleep(0.01)

    def _ask(self) -> None:
        body = jpeg_of("Dog")
        with httpx.Client(base_url=self._address, timeout=20) as client:
            while not self._stop.wait(self._pause_s):
                try:
                    self._note(client.post("/v1/predict", content=body))
                except httpx.HTTPError:
                    self.broken += 1
                    time.sleep(0.02)

    def _note(self, answer: httpx.Response) -> None:
        content = answer.json()
        if answer.status_code == 200:
            self.answers[content["id"]] = content["model"]["version"]
            return
        again = answer.headers.get("retry-after")
        self.refusals.append((answer.status_code, content["code"], again))
        time.sleep(0.02)
