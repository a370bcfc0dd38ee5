"""Which paths the two web programs answer; asked of the programs, not of a list."""

from pathlib import Path

from dash import Dash
from sqlalchemy import Engine, create_engine

from core.clock import SystemClock
from core.settings import ServiceSettings
from dashboard.app import create_app as create_dashboard
from dashboard.page import House
from service.app import create_app as create_service


def service_paths() -> set[str]:
    """Return the paths the service answers."""
    app = create_service(ServiceSettings(), engine=_nowhere(), clock=SystemClock())
    return set(app.openapi()["paths"])


def dashboard_paths() -> set[str]:
    """Return the paths the dashboard's server answers."""
    app: Dash = create_dashboard(House(_nowhere(), SystemClock(), Path()))
    return {rule.rule for rule in app.server.url_map.iter_rules()}


def _nowhere() -> Engine:
    # Engines connect when first used; asking for routes uses none.
    return create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
