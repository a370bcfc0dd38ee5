"""`python -m tests.bench.gpu`: a smoke run on the CPU, so that it runs when there is a GPU."""

import json
import subprocess
import sys

from tests.bench.serving.peers import ROOT
from tests.tiny_conv import conv_bundle


def test_the_benchmark_measures_both_precisions_and_the_service(tmp_path):
    """The hour on a GPU is not the time to mend a script."""
    words = ["--bundle", str(conv_bundle(tmp_path)), "--device", "cpu", "--batches", "1", "4"]
    words += ["--seconds", "0.2", "--workers", "0", "--connections", "2", "--generators", "2"]
    page = tmp_path / "page.md"
    page.write_text("# Before\n", encoding="utf-8")
    command = [sys.executable, "-m", "tests.bench.gpu", *words, "--json", "--write", str(page)]

    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    results = json.loads(ended.stdout)

    assert len(results["raw"]) == 4
    assert all(rate > 0 for row in results["raw"] for rate in row["images_per_s"].values())
    (service,) = results["service"]
    assert service["images_per_s"] > 0
    assert service["errors"] == 0
    assert page.read_text(encoding="utf-8").startswith("# Before\n\n<!-- gpu:")
