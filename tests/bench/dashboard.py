"""`python -m tests.bench.dashboard`: the dashboard over 2,500 classes, a year and 100 million rows.

Rollups, counts and states are made by Postgres, in an embedded server of this run alone; see
tests.bench.crowd_rows. Measured are the answers of the callback that draws every page (drawn,
serialised and compressed, as the browser asks for it), and the first view in Chromium: what was
transferred, and how long until every chart and the table stood. `--docs` writes the table into
docs/dashboard.md, `--quick` is a smoke run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from flask.testing import FlaskClient
from sqlalchemy import Engine

from core.clock import FixedClock
from core.store import database, embedded
from dashboard.app import create_app
from dashboard.page import House
from tests.bench.crowd_rows import Crowd, fill
from tests.bench.photographs import write_table
from tests.browser.screenshots import browser, wait_until_drawn
from tests.showing import showing

MARK = "dashboard-benchmark"
MOST_MS, MOST_BYTES, MOST_S = 300.0, 3_000_000, 3.0

_DOCS = Path(__file__).resolve().parents[2] / "docs/dashboard.md"
_WORST = "/class/class_00000"
_PAGES = (
    ("overview, 30 days", "/", ""),
    ("overview, 90 days", "/", "?days=90"),
    ("overview, 365 days", "/", "?days=365"),
    ("class, 30 days", _WORST, ""),
    ("class, 90 days", _WORST, "?days=90"),
    ("class, 365 days", _WORST, "?days=365"),
)


def main() -> None:
    """Run the benchmark, print its table, and write it down where asked."""
    asked = _arguments()
    crowd = Crowd(days=21, classes=200, predictions=200_000, hours=2) if asked.quick else Crowd()
    with tempfile.TemporaryDirectory(prefix="weakspot-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # Postgres runs as another user where we are root
        with embedded.connect(home / "postgres") as server:
            database.upgrade(server.url)
            engine = database.create_engine(server.url)
            begun = time.perf_counter()
            fill(engine, crowd)
            sys.stderr.write(f"filled in {time.perf_counter() - begun:.0f} s\n")
            lines = [
                *_callbacks(engine, crowd, home, asked.looks),
                *_first_view(engine, crowd, home),
            ]
            engine.dispose()
    table = ["| | median | p95 | sent | asked for |", "|---|---|---|---|---|", *lines]
    sys.stdout.write("\n".join(table) + "\n")
    if asked.docs:
        write_table(_DOCS, MARK, table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", type=int, default=40, help="looks at each page")
    parser.add_argument("--docs", action="store_true", help="write the table into the docs")
    parser.add_argument("--quick", action="store_true", help="a smoke run of small tables")
    return parser.parse_args()


def _callbacks(engine: Engine, crowd: Crowd, home: Path, looks: int) -> list[str]:
    """Return a line a page: how long the callback took that draws it from nothing."""
    house = House(engine, FixedClock(crowd.now), home)
    client = create_app(house).server.test_client()
    lines: list[str] = []
    for name, path, search in _PAGES:
        seconds, sent = _timed(lambda p=path, s=search: _ask(client, p, s), looks)
        asked = f"p95 ≤ {MOST_MS:.0f} ms"
        lines.append(_line(name, [1000 * each for each in seconds], "ms", sent, asked))
    return lines


def _timed(ask: Callable[[], int], looks: int) -> tuple[list[float], int]:
    ask()  # What is kept from one look to the next is there for all but the first.
    taken: list[float] = []
    sent = 0
    for _ in range(looks):
        begun = time.perf_counter()
        sent = ask()
        taken.append(time.perf_counter() - begun)
    return taken, sent


def _ask(client: FlaskClient, path: str, search: str) -> int:
    """Ask as a browser does that has shown nothing yet, and return the bytes of the answer."""
    outputs = ["page.children", "shown.data", "title.data", "heard.children"]
    values: dict[str, Any] = {
        "address.pathname": path,
        "address.search": search,
        "tick.n_intervals": 1,
        "acted.data": None,
    }
    body = {
        "output": f"..{'...'.join(outputs)}..",
        "outputs": [_named(each) for each in outputs],
        "inputs": [_named(each) | {"value": value} for each, value in values.items()],
        "state": [{"id": "shown", "property": "data", "value": None}],
        "changedPropIds": ["address.pathname"],
    }
    answer = client.post("/_dash-update-component", json=body, headers={"Accept-Encoding": "gzip"})
    if answer.status_code != 200:
        sys.exit(f"{path}{search} answered {answer.status_code}: {answer.text[:300]}")
    return len(answer.data)


def _named(each: str) -> dict[str, Any]:
    name, prop = each.split(".")
    return {"id": name, "property": prop}


def _first_view(engine: Engine, crowd: Crowd, home: Path) -> list[str]:
    """Return the lines of first views: an empty cache, and all that the page needs."""
    lines: list[str] = []
    with showing(engine, home, now=crowd.now) as board, browser() as chromium:
        for name, path in (("first view, overview", "/"), ("first view, class", _WORST)):
            seconds: list[float] = []
            sent = 0
            for _ in range(5):
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
