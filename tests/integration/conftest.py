"""What several of these tests run against."""

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import Engine

from tests.pool import register
from tests.serving import serving


@pytest.fixture(scope="module")
def service(
    request: pytest.FixtureRequest, module_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service with the tiny bundle as champion; the log has other tests' rows too.

    A module that wants other settings than `tests.serving` has them names them in KNOBS.
    """
    home = tmp_path_factory.mktemp("home")
    register(module_engine, home / "bundles")
    with serving(module_engine, home, **getattr(request.module, "KNOBS", {})) as client:
        yield client
