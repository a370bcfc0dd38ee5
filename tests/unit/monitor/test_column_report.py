"""Evidently in its child: what it is given, and what it says beside our own tests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.stats import twosample
from core.stats.shares import shares_two_sample
from monitor.drift import column_report
from monitor.drift.column_report import MOST_ROWS, Limits
from monitor.drift.samples import Sample

NAMES = ("brightness", "sharpness", "aspect")

# Stands where Python stands: writes down what the child was started with, and keeps what it was
# given; then it ends as a guest that fell over.
_WITNESS = """#!/bin/sh
env > {kept}/environment
cp "$4"/*.npz "$4"/task.json {kept}
exit 3
"""

_ASK_EVIDENTLY = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

def said(reference, current, numbers, words):
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    report = Report([DataDriftPreset(num_method="ks", cat_method="chisquare")])
    sides = [Dataset.from_pandas(pd.DataFrame(each), definition) for each in (current, reference)]
    found = report.run(*sides).dict()["metrics"]
    return {each["config"]["column"]: each["value"] for each in found if "column" in each["config"]}

answer = {}
with np.load(sys.argv[1]) as stored:
    for kind in ("few", "many"):
        sides = [
            {name.split("/")[2]: stored[name] for name in stored.files
             if name.startswith(f"{kind}/{side}")} for side in ("reference", "current")
        ]
        sides = [{k: (v.astype(str) if k == "label" else v) for k, v in s.items()} for s in sides]
        numbers = [name for name in sides[0] if name != "label"]
        answer[kind] = said(*sides, numbers, ["label"])
answer = {k: {c: float(p) for c, p in v.items()} for k, v in answer.items()}
from evidently.telemetry import event_logger
answer["sends"] = event_logger.is_enabled()
del os.environ["DO_NOT_TRACK"]
answer["would send"] = event_logger.enabled()
sys.stdout.write(json.dumps(answer))
"""


def _sample(n: int, seed: int = 1, shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(shift, 1, n) for name in NAMES}
    predicted = rng.integers(0, 5, n)
    embedding = np.zeros((0, 256), dtype=np.float32)
    return Sample(found, predicted, embedding, np.bincount(predicted, minlength=5))


class TestChild:
    """What the guest is given."""

    @pytest.fixture
    def kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder with what the child saw, after it was asked about two samples too large."""
        kept = tmp_path / "kept"
        kept.mkdir()
        witness = tmp_path / "witness"
        witness.write_text(_WITNESS.format(kept=kept))
        witness.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(witness))
        monkeypatch.delenv("DO_NOT_TRACK", raising=False)
        monkeypatch.setenv("WEAKSPOT_DATABASE_URL", "postgresql://secret")
        sides = _sample(MOST_ROWS + 1), _sample(MOST_ROWS + 7, 2)
        labels = [f"class {number}" for number in range(5)]
        report = tmp_path / "report.html"

        answer = column_report.ask(*sides, labels, report, columns=NAMES, limits=Limits(60))

        assert answer.complaint.startswith("Evidently ended by exit 3")
        return kept

    def test_is_told_not_to_phone_home(self, kept: Path):
        """Evidently reports its use unless DO_NOT_TRACK is set; this image data is not ours."""
        assert "DO_NOT_TRACK=1" in (kept / "environment").read_text().splitlines()

    def test_is_not_given_our_secrets(self, kept: Path):
        """It needs a path and a language, and no way into the database."""
        assert "secret" not in (kept / "environment").read_text()

    @pytest.mark.parametrize("side", ["reference", "current"])
    def test_sees_ten_thousand_rows_of_each_side_at_most(self, kept: Path, side: str):
        """The bound is on either side: both together may be twenty thousand."""
        assert MOST_ROWS == 10_000
        with np.load(kept / f"{side}.npz") as shown:
            assert {len(shown[name]) for name in shown.files} == {MOST_ROWS}


@pytest.fixture(scope="module")
def frames() -> dict[str, tuple[Sample, Sample]]:
    """Five hundred rows against nine hundred, and against four hundred thousand."""
    return {
        "few": (_sample(900), _sample(500, 2, shift=0.1)),
        "many": (_sample(400_000), _sample(500, 2, shift=0.1)),
    }


@pytest.fixture(scope="module")
def theirs(
    frames: dict[str, tuple[Sample, Sample]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What Evidently says of them, asked once, in a process of its own."""
    path = tmp_path_factory.mktemp("frames") / "frames.npz"
    stored = {
        f"{kind}/{side}/{name}": values
        for kind, pair in frames.items()
        for side, sample in zip(("reference", "current"), pair, strict=True)
        for name, values in (sample.columns | {"label": sample.predicted}).items()
    }
    np.savez(path, allow_pickle=False, **stored)
    command = [sys.executable, "-c", _ASK_EVIDENTLY, str(path)]
    environment = os.environ | {"DO_NOT_TRACK": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=300)
    return json.loads(ended.stdout.decode().splitlines()[-1])


class TestEvidently:
    """The installed one, asked directly: our p-values and its own on the same frames."""

    def test_reads_the_variable_that_the_child_is_given(self, theirs):
        """A release that renames it would phone home again."""
        assert (theirs["sends"], theirs["would send"]) == (False, True)

    def test_p_values_of_numbers_are_ours(self, frames, theirs):
        """Kolmogorov-Smirnov, exact on both sides up to a thousand rows."""
        before, now = frames["few"]
        ours = {
            name: twosample.kolmogorov_smirnov(before.columns[name], now.columns[name]).p_value
            for name in NAMES
        }

        assert {name: theirs["few"][name] for name in NAMES} == pytest.approx(ours, rel=1e-9)

    def test_p_values_of_labels_are_ours_where_the_reference_leaves_no_doubt(self, frames, theirs):
        """Pearson's chi-squared, with a reference so large that its own chance does not count."""
        before, now = frames["many"]

        ours = twosample.chi_squared(before.counts, now.counts).p_value

        assert theirs["many"]["label"] == pytest.approx(ours, rel=0.01)

    def test_p_values_of_labels_take_a_profile_for_the_truth_and_are_too_small(
        self, frames, theirs
    ):
        """Why the mix of labels is ours: 900 rows have a chance of their own."""
        before, now = frames["few"]
        ours = shares_two_sample(before.counts, now.counts, np.random.default_rng(1)).p_value

        pearson = twosample.chi_squared(before.counts, now.counts).p_value

        assert theirs["few"]["label"] < 0.8 * min(ours, pearson)
