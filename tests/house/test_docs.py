"""The docs keep their promises: every setting, verb and room is written down."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from core import settings

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [
    settings.HomeSettings,
    settings.ServiceSettings,
    settings.MonitorSettings,
    settings.AlertSettings,
    settings.TrainerSettings,
    settings.DashboardSettings,
]
VARIABLES = [
    (f"{cls.model_config['env_prefix']}{name}".upper(), field)
    for cls in CLASSES
    for name, field in cls.model_fields.items()
]


@pytest.mark.parametrize(("variable", "field"), VARIABLES, ids=[name for name, _ in VARIABLES])
class TestSettings:
    """Every field of core/settings.py."""

    def test_is_documented_with_its_description(self, variable, field):
        """An operator reads docs/settings.md, not the code."""
        page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")

        assert f"`{variable}`" in page
        assert field.description in page

    def test_is_in_the_example_file(self, variable, field):
        """.env.example is where an installation starts."""
        assert re.search(rf"^#? ?{variable}=", (ROOT / ".env.example").read_text(), re.MULTILINE)


class TestSettingsPage:
    """docs/settings.md as a whole."""

    def test_names_no_setting_that_is_gone(self):
        """A setting that does nothing costs an afternoon."""
        page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")

        assert set(re.findall(r"`(WEAKSPOT_[A-Z_]+)`", page)) == {name for name, _ in VARIABLES}


class TestTour:
    """docs/tour.md leads to every room."""

    def test_names_every_module(self):
        """A newcomer finds the room for a change in two minutes."""
        page = (ROOT / "docs/tour.md").read_text(encoding="utf-8")
        rooms = ("core", "service", "monitor", "trainer", "dashboard", "weakspot")
        modules = [p for room in rooms for p in (ROOT / room).rglob("*.py") if p.stem != "__init__"]

        missing = [str(path.relative_to(ROOT)) for path in modules if f"`{path.name}`" not in page]

        assert missing == []


class TestReadme:
    """README.md says what can be typed."""

    def test_names_only_verbs_that_exist(self):
        """A verb that fails on the first page loses the reader."""
        from weakspot.cli import app

        verbs = set(get_command(app).commands)
        named = set(re.findall(r"weakspot ([a-z]+)", (ROOT / "README.md").read_text()))

        assert named - {"is"} <= verbs


class TestWorkplace:
    """Nothing in the tree speaks of the machine it was written on."""

    def test_no_file_names_a_private_path(self):
        """A path of somebody's machine means nothing to anybody else."""
        texts = [
            path
            for suffix in ("py", "md", "toml", "yml", "sh")
            for path in ROOT.rglob(f"*.{suffix}")
            if not {".venv", ".bench", "var", ".git"} & set(path.parts)
        ]
        needle = "/".join(("", "work", ""))

        guilty = [str(p) for p in texts if needle in p.read_text(encoding="utf-8")]

        assert [path for path in guilty if "test_docs" not in path] == []
