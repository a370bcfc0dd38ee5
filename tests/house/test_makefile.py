"""`make check` runs every test there is, once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
IGNORE = "--ignore="


def _takes(call: str, test: str) -> bool:
    words = call.split()
    left_out = [word.removeprefix(IGNORE) for word in words if word.startswith(IGNORE)]
    return any(_lies_in(test, word) for word in words) and not any(
        _lies_in(test, word) for word in left_out
    )


def _lies_in(test: str, place: str) -> bool:
    return test == place or test.startswith(f"{place}/")


class TestCheck:
    """The tests are shared out among runs of pytest."""

    def test_runs_every_test_once(self):
        """One that no run takes would be green for ever, and two runs of one cost minutes."""
        calls = re.findall(r"call pytest,([^)]*)\)", (ROOT / "Makefile").read_text())
        tests = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
        taken = {test: sum(_takes(call, test) for call in calls) for test in tests}

        assert {test for test, runs in taken.items() if runs != 1} == {
            test for test in tests if test.startswith("tests/bench/")
        }
        assert any("core" in call.split() for call in calls)
