"""The page /docs needs nothing but this service."""

import re

from fastapi import FastAPI
from fastapi.testclient import TestClient

from service import docs_page


class TestDocsPage:
    """/docs."""

    def test_calls_nobody_else(self):
        """Nothing calls out to the network unasked, a help page least of all."""
        app = FastAPI(docs_url=None, redoc_url=None)
        docs_page.install(app)

        with TestClient(app) as client:
            page = client.get("/docs").text
            addresses = re.findall(r'(?:src|href)="([^"]+)"', page)

            assert addresses
            assert all(client.get(address).status_code == 200 for address in addresses)
            assert "//" not in "".join(addresses)
