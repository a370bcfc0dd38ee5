"""`python -m tests.bench.dashboard`: the dashboard over 2,500 classes, a year and 100 million rows.

Rollups, counts and states are made by Postgres, in an embedded server of this run alone; see
tests.bench.crowd_rows and tests.bench.crowd_desk. Measured are the answers of the callback that
draws every page (drawn, serialised and compressed, as the browser asks for it), of the addresses
that fetch what a page is too short for, the preview of alert rules, and the first view in Chromium:
what was transferred, and how long until every chart and the table stood. Of each page the first
look is left out; what the overview takes first after an exam stands in lines of its own.

`--write docs/dashboard.md` puts the table between its marks there, `--quick` is a smoke run,
`--keep FOLDER` makes the rows once and finds them there the next time.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy import Engine

from core.clock import FixedClock
from core.store import database, embedded
from dashboard.app import create_app
from dashboard.page import House
from dashboard.serving import spare_what_stays
from tests.bench.crowd_desk import furnish
from tests.bench.crowd_rows import Crowd, fill
from tests.bench.photographs import write_table
from tests.browser.screenshots import browser, wait_until_drawn
from tests.showing import showing

MARK = "dashboard-benchmark"
MOST_MS, MOST_BYTES, MOST_S = 300.0, 3_000_000, 3.0

_SMALL = Crowd(days=21, classes=200, predictions=200_000, hours=2, pictured=5)
_FIRST_VIEWS = 5
_FIRST_LOOKS = 10
_WORST = "/class/class_00000"
_PAGES = (
    ("overview, 30 days", "/", ""),
    ("overview, 90 days", "/", "?days=90"),
    ("overview, 365 days", "/", "?days=365"),
    ("class, 30 days", _WORST, ""),
    ("class, 90 days", _WORST, "?days=90"),
    ("class, 365 days", _WORST, "?days=365"),
    ("drift, 30 days", "/drift", ""),
    ("drift, 365 days", "/drift", "?days=365"),
    ("drift within a class", "/drift", "?class=class_00000&check=sharpness"),
    ("models", "/models", ""),
    ("one version", "/models", "?version=v12"),
    ("two versions, by class", "/models", "?a=v1&b=v12"),
    ("training", "/training", ""),
    ("alerts", "/alerts", ""),
    ("one alert", "/alerts", "?alert=1"),
    ("alert rules", "/alerts", "?rules=1"),
    ("system", "/system", ""),
    ("label inbox", "/inbox", ""),
    ("try", "/try", ""),
)
_PAGE_OUTPUT, _PREVIEW_INPUT = "page.children", "rules-preview"


def main() -> None:
    """Run the benchmark, print its table, and write it down where asked."""
    asked = _arguments()
    crowd = _SMALL if asked.quick else Crowd()
    with _home(asked.keep) as home, embedded.connect(home / "postgres") as server:
        engine = _filled(server.url, crowd)
        clock = FixedClock(crowd.now)
        client = _Client(create_app(House(engine, clock, home)))
        lines = _pages(client, asked.looks)
        lines += _fetched(client, asked.looks)
        lines += _first_looks(client, crowd)
        lines += _after_exams(client, engine)
        lines += _preview(client, asked.looks // 4 or 1)
        lines += [] if asked.no_browser else _first_view(engine, crowd, home)
        engine.dispose()
    table = ["| | median | p95 | sent | asked for |", "|---|---|---|---|---|", *lines]
    sys.stdout.write("\n".join(table) + "\n")
    if asked.write:
        write_table(asked.write, MARK, table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--looks", type=int, default=40, help="looks at each page")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table into it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the rows there")
    parser.add_argument("--quick", action="store_true", help="a smoke run of small tables")
    parser.add_argument("--no-browser", action="store_true", help="leave out the first view")
    return parser.parse_args()


@contextmanager
def _home(kept: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="weakspot-bench-") as folder:
        home = kept or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)  # Postgres runs as another user where we are root
        yield home


def _filled(url: str, crowd: Crowd) -> Engine:
    """Return the database with its rows, made where they are not there yet."""
    database.upgrade(url)
    engine = database.create_engine(url)
    with engine.connect() as connection:
        if connection.execute(sa.text("SELECT count(*) FROM versions")).scalar_one():
            return engine
    begun = time.perf_counter()
    fill(engine, crowd)
    furnish(engine, crowd)
    sys.stderr.write(f"filled in {time.perf_counter() - begun:.0f} s\n")
    return engine


class _Client:
    """Asks the dashboard as a browser does that has shown nothing yet."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._client: FlaskClient = app.server.test_client()
        self._client.get("/")  # Dash sets itself up at the first request.
        spare_what_stays()

    def draw(self, path: str, search: str) -> int:
        """Draw a page, and return the bytes of the answer."""
        values = {
            "address.pathname": path,
            "address.search": search,
            "tick.n_intervals": 1,
            "acted.data": None,
            "shown.data": None,
        }
        return self.call(_PAGE_OUTPUT, "", values)

    def call(self, output: str, trigger: str, values: dict[str, Any]) -> int:
        """Call the callback that writes an output at a trigger, and return the answer's bytes."""
        found = next(
            (key, each)
            for key, each in self._app.callback_map.items()
            if output in key and any(trigger in given["id"] for given in each["inputs"])
        )
        key, callback = found
        named = key.strip(".").split("...")
        outputs = [dict(zip(("id", "property"), each.split("."), strict=True)) for each in named]
        inputs, state = (
            [each | {"value": values.get(f"{each['id']}.{each['property']}")} for each in given]
            for given in (callback["inputs"], callback["state"])
        )
        body = {
            "output": key,
            "outputs": outputs if key.startswith("..") else outputs[0],
            "inputs": inputs,
            "state": state,
            "changedPropIds": [f"{inputs[0]['id']}.{inputs[0]['property']}"],
        }
        return self.ask("POST", "/_dash-update-component", json=body)

    def ask(self, method: str, path: str, **more: Any) -> int:
        """Ask an address, and return the bytes of the answer."""
        headers = {"Accept-Encoding": "gzip", "Origin": "http://localhost"}
        answer = self._client.open(path, method=method, headers=headers, **more)
        sent = answer.data
        is_packed = answer.headers.get("Content-Encoding") == "gzip"
        text = (gzip.decompress(sent) if is_packed else sent).decode()
        # An address that nobody answers is the page itself; a panel that fails says so.
        is_ours = answer.status_code == 200 and answer.mimetype == "application/json"
        if not is_ours or "could not be drawn" in text:
            sys.exit(f"{path} {more} answered {answer.status_code}: {text[:500]}")
        return len(sent)


def _pages(client: _Client, looks: int) -> list[str]:
    """Return a line a page: how long the callback took that draws it from nothing."""
    asked = f"p95 ≤ {MOST_MS:.0f} ms"
    return [
        _timed(name, lambda p=path, s=search: client.draw(p, s), looks, asked)
        for name, path, search in _PAGES
    ]


def _fetched(client: _Client, looks: int) -> list[str]:
    """Return a line for each address that a page fetches the rest of itself from."""
    desk = {"window": "0" * 32, "n": 2, "have": []}
    return [
        _timed("the table's rows", lambda: client.ask("GET", "/health/classes.json"), looks),
        _timed("inbox, next two", lambda: client.ask("POST", "/inbox/api/next", json=desk), looks),
        _timed("inbox, all classes", lambda: client.ask("GET", "/inbox/api/labels"), looks),
    ]


def _first_looks(client: _Client, crowd: Crowd) -> list[str]:
    """Return a line of looks at classes that nobody has looked at since the last exam."""
    others = iter(range(1, crowd.pictured))
    client.draw(_WORST, "?days=90")

    def look() -> int:
        return client.draw(f"/class/class_{40 * next(others):05d}", "?days=90")

    asked = f"p95 ≤ {MOST_MS:.0f} ms"
    return [_timed("class, first look, 90 days", look, crowd.pictured - 2, asked)]


def _after_exams(client: _Client, engine: Engine) -> list[str]:
    """Return lines of the looks that find nothing kept, because a day has just been judged."""

    def judged() -> None:
        with database.transaction(engine) as connection:
            connection.execute(sa.text("UPDATE health_days SET judged_at = judged_at"))

    lines: list[str] = []
    for name, days in (("30 days", 30), ("365 days", 365)):

        def look(search: str = f"?days={days}") -> int:
            return client.draw("/", search)

        line = _timed(f"overview after an exam, {name}", look, _FIRST_LOOKS, before=judged)
        lines.append(line)
    rows = _timed(
        "the table's rows after an exam",
        lambda: client.ask("GET", "/health/classes.json"),
        _FIRST_LOOKS,
        before=judged,
    )
    return [*lines, rows]


def _preview(client: _Client, looks: int) -> list[str]:
    """Return how long it takes to try rules on the stored days."""
    values = {
        "rules-preview.n_clicks": 1,
        "rules-budget.value": 0.5,
        "rules-floor.value": 0.8,
        "rules-left-out.value": [],
        "rules-rest.value": "{}",
        "rules-follows.data": 1,
    }
    asked = "the page says that it computes"
    name = "preview of rules over 90 days"
    return [_timed(name, lambda: client.call("rules-said", _PREVIEW_INPUT, values), looks, asked)]


def _timed(
    name: str,
    ask: Callable[[], int],
    looks: int,
    asked: str = "",
    *,
    before: Callable[[], None] | None = None,
) -> str:
    """Return a line of so many looks, after one that does not count.

    Args:
        name: What is looked at.
        ask: Looks, and returns the bytes of the answer.
        looks: How often.
        asked: What is asked for.
        before: Done before each look, and not timed.
    """
    ask()  # What is kept from one look to the next is there for all but the first.
    taken: list[float] = []
    sent = 0
    for _ in range(looks):
        if before:
            before()
        begun = time.perf_counter()
        sent = ask()
        taken.append(1000 * (time.perf_counter() - begun))
    line = _line(name, taken, "ms", sent, asked)
    sys.stderr.write(line + "\n")
    return line


def _first_view(engine: Engine, crowd: Crowd, home: Path) -> list[str]:
    """Return the lines of first views: an empty cache, and all that the page needs."""
    lines: list[str] = []
    with showing(engine, home, now=crowd.now) as board, browser() as chromium:
        for name, path in (("first view, overview", "/"), ("first view, class", _WORST)):
            seconds: list[float] = []
            sent = 0
            for _ in range(_FIRST_VIEWS):
                context = chromium.new_context(viewport={"width": 1440, "height": 900})
                page = context.new_page()
                wire = context.new_cdp_session(page)
                wire.send("Network.enable")
                received: list[int] = []
                wire.on(
                    "Network.loadingFinished",
                    lambda each, kept=received: kept.append(each["encodedDataLength"]),
                )
                begun = time.perf_counter()
                page.goto(board.url + path)
                wait_until_drawn(page)
                if path == "/":
                    page.wait_for_selector("#classes .ag-row")
                seconds.append(time.perf_counter() - begun)
                sent = sum(received)
                context.close()
            asked = f"≤ {MOST_BYTES / 1e6:.0f} MB, ≤ {MOST_S:.0f} s"
            lines.append(_line(name, seconds, "s", sent, asked))
    return lines


def _line(name: str, values: Sequence[float], unit: str, sent: int, asked: str) -> str:
    middle, high = np.quantile(values, [0.5, 0.95])
    digits = 0 if unit == "ms" else 1
    return (
        f"| {name} | {middle:,.{digits}f} {unit} | {high:,.{digits}f} {unit} | "
        f"{sent / 1e6:.2f} MB | {asked} |"
    )


if __name__ == "__main__":
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n")
    main()
