"""What a browser is told to fetch before it knows what the page shows."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from core.clock import SystemClock
from core.store.database import create_engine
from dashboard.app import create_app
from dashboard.page import House


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A dashboard whose database nobody asks."""
    nowhere = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    return create_app(House(nowhere, SystemClock(), tmp_path)).server.test_client()


def early(client: FlaskClient, path: str) -> list[str]:
    """Return what the index of an address names to be fetched early."""
    links = re.findall(r"<link rel=.preload.[^>]*>", client.get(path).text)
    return [re.sub(r'.* href="([^"]*)".*', r"\1", link) for link in links]


class TestIndex:
    """The index of an address."""

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/", ["async-graph", "plotly", "async-community"]),
            ("/class/Cat", ["async-graph", "plotly"]),
            ("/drift", ["async-graph", "plotly"]),
            ("/system", ["async-graph", "plotly"]),
            ("/inbox", []),
            ("/nowhere", []),
        ],
    )
    def test_names_what_its_page_always_draws_with(
        self, client: FlaskClient, path: str, expected: list[str]
    ):
        """Nobody who labels images waits for a library of charts."""
        files = [each.rsplit("/", 1)[1].split(".")[0] for each in early(client, path)]

        assert files == expected

    def test_names_files_that_are_there(self, client: FlaskClient):
        """Dash names them by its own rules, and another release may change these."""
        for address in early(client, "/"):
            answer = client.get(address)

            assert (answer.status_code, answer.mimetype) == (200, "text/javascript"), address

    def test_lets_browsers_keep_plotly(self, client: FlaskClient):
        """It is half of all that is fetched; its address names its version."""
        (address,) = (each for each in early(client, "/") if "plotly" in each)

        assert client.get(address).cache_control.max_age == 31_536_000
