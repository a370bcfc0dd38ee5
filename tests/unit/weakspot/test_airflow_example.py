"""docs/examples/airflow_dag.py does what docs/scheduling.md says, also where Airflow is not."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from weakspot.cli import app
from weakspot.commands.monitor import HELD

FILE = Path(__file__).resolve().parents[3] / "docs/examples/airflow_dag.py"
TREE = ast.parse(FILE.read_text(encoding="utf-8"))


def _calls(name: str) -> list[dict[str, Any]]:
    """Return the keyword arguments of all calls of one name, where they are plain values."""
    found = []
    for node in ast.walk(TREE):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            plain = [each for each in node.keywords if isinstance(each.value, ast.Constant)]
            found.append({str(each.arg): each.value.value for each in plain})  # type: ignore[attr-defined]
    return found


class TestAirflowExample:
    """The DAG as it stands in the docs."""

    def test_leaves_catching_up_to_weakspot(self):
        """Airflow's own catch-up would start a run for every hour that was missed."""
        (dag,) = _calls("DAG")

        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)

    def test_types_only_what_the_command_understands(self):
        """An option that is gone would fail at five past every hour."""
        commands = get_command(app).commands
        for task in _calls("BashOperator"):
            program, verb, *options = task["bash_command"].split()
            known = {name for each in commands[verb].params for name in each.opts}

            assert (program, set(options) - known) == ("weakspot", set())

    def test_skips_on_the_exit_code_of_a_day_that_is_held(self):
        """The number is the command's."""
        (held,) = [
            node.value.value
            for node in ast.walk(TREE)
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and [each.id for each in node.targets if isinstance(each, ast.Name)] == ["HELD"]
        ]

        assert held == HELD

    @pytest.mark.skipif(importlib.util.find_spec("airflow") is None, reason="needs Airflow")
    def test_is_a_dag_to_airflow(self):
        """Where Airflow is installed, it is imported as Airflow would."""
        specification = importlib.util.spec_from_file_location("airflow_dag", FILE)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)

        assert [task.task_id for task in module.dag.topological_sort()] == [
            "examine_what_is_due",
            "say_how_every_class_is",
        ]
