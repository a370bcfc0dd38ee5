"""`make check` runs every test there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


class TestCheck:
    """The tests are shared out among runs of pytest."""

    def test_leaves_no_folder_of_tests_out(self):
        """A new one would be green for ever."""
        calls = re.findall(r"call pytest,([^)]*)\)", (ROOT / "Makefile").read_text())
        named = {path for call in calls for path in call.split()}
        there = {
            f"tests/{path.relative_to(ROOT / 'tests').parts[0]}"
            for path in (ROOT / "tests").rglob("test_*.py")
        }

        assert named == (there - {"tests/bench"}) | {"core"}
