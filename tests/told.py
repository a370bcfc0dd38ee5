"""What the dashboard makes of a database: facts, pages, files, and answers of its server.

told = Told(engine, tmp_path, night_after(1))
told.page("/")
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy import Connection, Engine

from core.clock import FixedClock, day_bounds
from core.store import notices
from core.store.database import transaction
from dashboard.app import create_app, draw
from dashboard.door.caller import OWNER
from dashboard.page import House
from dashboard.pages.health import gather
from dashboard.pages.health.facts import OneClass, Overview
from tests.pool import day

NOON = day_bounds(day(1))[0] + timedelta(hours=12)


@dataclass
class Told:
    """A story that was told, and how to ask the dashboard about it."""

    engine: Engine
    home: Path
    now: FixedClock

    @property
    def house(self) -> House:
        """What the dashboard is told of it."""
        return House(self.engine, self.now, self.home)

    def overview(self, days: int = 30) -> Overview:
        """Gather the overview."""
        with transaction(self.engine) as connection:
            return gather.overview(connection, days=days, now=self.now.now())

    def one_class(self, label: str, days: int = 30) -> OneClass | None:
        """Gather the page of a class."""
        with transaction(self.engine) as connection:
            return gather.one_class(connection, label, days=days, now=self.now.now())

    def page(self, path: str, search: str = "") -> str:
        """Draw a page, and return it as the JSON that is sent."""
        drawn = draw(self.house, path, search, caller=OWNER, now=self.now.now())
        return json.dumps(drawn.content, cls=PlotlyJSONEncoder, ensure_ascii=False)

    def client(self) -> FlaskClient:
        """Return a client of the dashboard's server."""
        return create_app(self.house).server.test_client()

    def rows(self, address: str) -> list[dict[str, str]]:
        """Return the rows of a file that the dashboard hands out."""
        answer = self.client().get(address)
        assert (answer.status_code, answer.mimetype) == (200, "text/csv"), answer.text
        return list(csv.DictReader(io.StringIO(answer.text)))


def notice(connection: Connection, cause: str) -> None:
    """Raise an alert about no class."""
    notices.raise_once(connection, "pooled", cause, title=f"about {cause}", body="", now=NOON)


def same(
    shown: Sequence[dict[str, Any]], rows: Sequence[dict[str, str]], names: dict[str, str]
) -> None:
    """Check that fields of the JSON are cells of the file, in the same order.

    Args:
        shown: What the service answered.
        rows: The file.
        names: Of each field, the column it stands in.
    """
    assert len(shown) == len(rows) > 0
    for each, row in zip(shown, rows, strict=True):
        assert {name: _read(row[column], each[name]) for name, column in names.items()} == {
            name: each[name] for name in names
        }


def _read(cell: str, like: Any) -> Any:
    """Return a cell as the type of what it is to equal; files round to six digits."""
    if cell == "":
        return None
    if isinstance(like, bool):
        return cell == "true"
    if isinstance(like, int):
        return int(cell)
    if isinstance(like, float):
        return pytest.approx(float(cell), abs=1e-6)
    return cell
