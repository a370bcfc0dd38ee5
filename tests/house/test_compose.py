"""docker-compose.yml promises only what exists. No engine runs it here."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from core import settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "db"}


class TestCompose:
    """The containers of one machine."""

    def test_is_accepted_by_compose(self):
        """A file that compose cannot read helps nobody."""
        command = _compose()
        environment = {**os.environ, "POSTGRES_PASSWORD": "x"}

        outcome = subprocess.run(
            [*command, "config", "-q"], cwd=ROOT, env=environment, capture_output=True, check=False
        )

        assert outcome.returncode == 0, outcome.stderr

    def test_has_no_default_password(self):
        """A default password is an open door."""
        text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

        assert set(re.findall(r"\$\{POSTGRES_PASSWORD(.)", text)) == {":"}
        assert "POSTGRES_PASSWORD:-" not in text

    @pytest.mark.parametrize("name", OURS)
    def test_runs_a_verb_that_exists(self, name):
        """Each command is one of the command line's."""
        from weakspot.cli import app

        words = OURS[name]["command"]
        group = get_command(app)

        for word in words:
            group = group.commands[word]

    @pytest.mark.parametrize("name", OURS)
    def test_sets_variables_that_exist(self, name):
        """A misspelt variable is silently ignored."""
        known = {
            f"{cls.model_config['env_prefix']}{field}".upper()
            for cls in vars(settings).values()
            if isinstance(cls, type)
            and cls.__name__.endswith("Settings")
            and cls.__module__ == settings.__name__
            for field in cls.model_fields
        }

        assert set(OURS[name]["environment"]) <= known

    @pytest.mark.parametrize("name", SERVICES)
    def test_opens_ports_on_this_machine_only(self, name):
        """Who wants more puts a proxy with TLS in front."""
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))

    def test_asks_for_health_where_it_is_answered(self):
        """A health path that answers 404 restarts a healthy container for ever."""
        from tests.house.routes import dashboard_paths, service_paths

        assert _health_path("service") in service_paths()
        assert _health_path("dashboard") in dashboard_paths()

    @pytest.mark.parametrize("name", OURS)
    def test_installs_extras_that_exist(self, name):
        """An image without its extra does not start."""
        import tomllib

        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]

        assert set(OURS[name]["build"]["args"]["EXTRAS"].split(",")) <= set(extras)


def _health_path(name: str) -> str:
    text = " ".join(SERVICES[name]["healthcheck"]["test"])
    return re.search(r"http://127\.0\.0\.1:\d+(/[a-z]+)", text).group(1)


def _compose() -> list[str]:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if (
        shutil.which("docker")
        and not subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        return ["docker", "compose"]
    pytest.skip("neither docker compose nor docker-compose is installed")
