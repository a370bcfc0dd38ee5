"""Nobody waits for libraries that what they typed does not use."""

from __future__ import annotations

import subprocess
import sys

from typer.main import get_command

HEAVY = {
    "alembic",
    "dash",
    "fastapi",
    "numpy",
    "onnxruntime",
    "pandas",
    "plotly",
    "scipy",
    "sqlalchemy",
    "torch",
    "transformers",
}
LIST = """
import sys
from weakspot.cli import app
app(["--help"], standalone_mode=False)
print("imported:", *sys.modules)
"""


class TestStart:
    """What is imported before a verb is typed."""

    def test_help_imports_no_heavy_library(self):
        """A list of verbs that takes seconds is asked for once."""
        told = subprocess.run(
            [sys.executable, "-c", LIST], check=True, capture_output=True, text=True
        ).stdout

        listed, _, modules = told.rpartition("imported:")
        assert "House-keeping" in listed
        assert HEAVY & set(modules.split()) == set()

    def test_help_says_of_each_verb_what_the_verb_says(self):
        """The list is a table, and a table could be left behind."""
        from weakspot.cli import app

        group = get_command(app)

        lines = {name: verb.line for name, verb in group.verbs.items()}
        assert lines == {name: each.help.split("\n\n")[0] for name, each in group.commands.items()}
