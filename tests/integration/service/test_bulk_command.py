"""`weakspot predict` and `weakspot bench` at the front door."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from tests.images import jpeg
from tests.tiny import LABELS, picture, tiny_bundle

IMAGES = 6_000


@pytest.fixture
def command(tmp_path):
    """Words that begin a command; no database is needed where a bundle is named."""
    bundle = tiny_bundle(tmp_path / "bundles")
    environment = os.environ | {"WEAKSPOT_HOME": str(tmp_path / "home")}

    def start(verb: str, *words: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "weakspot", verb, *words, "--bundle", str(bundle), "--json"]
        return subprocess.Popen(
            [*line, "--engine", "onnxruntime-fp32"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


class TestPredict:
    """`weakspot predict`."""

    def test_goes_on_where_it_was_killed(self, command, tmp_path):
        """Kill -9 leaves whole parts, and the second run asks only about the rest."""
        (tmp_path / "pictures").mkdir()
        data = [jpeg(picture(label)) for label in LABELS]
        for i in range(IMAGES):
            (tmp_path / f"pictures/{i:05}.jpg").write_bytes(data[i % 3])
        out, parts = tmp_path / "out.parquet", tmp_path / "out.parquet.parts"

        first = command("predict", str(tmp_path / "pictures"), "--out", str(out))
        while first.poll() is None and not (parts / "part-000001.parquet").exists():
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        said, complaint = command(
            "predict", str(tmp_path / "pictures"), "--out", str(out)
        ).communicate()

        report = json.loads(said or complaint)
        assert (report["rows"], report["unreadable"]) == (IMAGES, 0)
        assert 1_000 <= report["resumed"] < IMAGES
        labels = pq.read_table(out)["label"].to_pylist()
        assert labels == [LABELS[i % 3] for i in range(IMAGES)]

    def test_refuses_an_unknown_suffix_with_a_sentence(self, command, tmp_path):
        """Exit code 2: another wording helps."""
        process = command("predict", str(tmp_path), "--out", str(tmp_path / "out.xls"))
        said, _ = process.communicate()

        assert process.returncode == 2
        assert "must end with .parquet or .csv" in json.loads(said)["detail"]


class TestBench:
    """`weakspot bench`."""

    def test_times_batches_threads_and_decoding(self, command):
        """What a machine can do is known before it is bought."""
        said, complaint = command("bench", "--seconds", "0.02").communicate()
        report = json.loads(said or complaint)

        assert {each["batch_size"] for each in report["engines"]} == {1, 2, 4, 8, 16, 32}
        assert all(each["images_per_s"] > 0 for each in report["engines"] + report["decoding"])
        assert report["machine"]["cores"] >= 1
