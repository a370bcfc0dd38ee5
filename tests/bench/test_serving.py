"""`make bench`: a smoke run of the serving benchmark, so that it runs when it is needed."""

import json
import subprocess
import sys

from tests.bench.serving.peers import ROOT


def test_the_benchmark_measures_both_servers_and_the_parts():
    """A load generator that measures nothing would make every server look alike."""
    command = [sys.executable, "-m", "tests.bench.serving", "--quick", "--json"]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    results = json.loads(ended.stdout)

    (turn,) = results["rounds"]
    assert set(turn["servers"]) == {"ours", "plain"}
    assert all(load["p50_ms"] > 0 for loads in turn["servers"].values() for load in loads.values())
    assert turn["ceiling"]["http_ms"] < 50
    assert results["answered"] == results["logged"] > 0
