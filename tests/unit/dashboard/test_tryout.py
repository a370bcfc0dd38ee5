"""A picture is tried out: what it rests on, who may wait, and what the browser gets."""

import hashlib
import json
import lzma
import threading
from pathlib import Path

import numpy as np
import pytest

from core.bundle.runner import Runner
from core.errors import BundleError, OverloadedError
from dashboard.door.caller import Caller
from dashboard.pages.tryout import page, vendoring
from dashboard.pages.tryout.desk import WAITING, Desk
from dashboard.pages.tryout.occlusion import SIDES, finest, look
from tests.board import version
from tests.tiny import picture, tiny_bundle


class TestLook:
    """What an answer rests on."""

    def test_finds_the_part_that_is_like_the_class(self, tmp_path: Path):
        """A green corner in a grey picture is all there is of a dog."""
        runner = Runner.open(tiny_bundle(tmp_path), "cpu", threads=1)
        tensor = np.full((16, 16, 3), 128, np.uint8)
        tensor[:8, :8] = picture("Dog", size=(8, 8), noise=0)

        looked = look(runner, tensor, runner.labels.index("Dog"))

        row, column = np.unravel_index(looked.lost.argmax(), looked.lost.shape)
        assert max(row, column) < looked.lost.shape[0] / 2
        assert looked.lost.max() > 0.02
        assert looked.lost[-1, -1] == pytest.approx(0, abs=1e-6)

    def test_takes_fewer_steps_where_the_model_is_slow(self):
        """A person waits for it."""
        assert finest(0.001, 2.0, shortest=224) == SIDES[0]
        assert finest(0.05, 2.0, shortest=224) == 6
        assert finest(9.0, 2.0, shortest=224) == SIDES[-1]
        assert finest(0.001, 2.0, shortest=3) == 3


class TestDesk:
    """One picture at a time."""

    def test_refuses_whoever_comes_when_enough_wait(self):
        """The rest of the dashboard must go on answering."""
        desk, inside, go = Desk(), threading.Barrier(2), threading.Event()

        def wait() -> None:
            with desk.turn():
                inside.wait()
                go.wait()

        first = threading.Thread(target=wait)
        first.start()
        inside.wait()
        places = [desk._places.acquire(blocking=False) for _ in range(WAITING - 1)]

        with pytest.raises(OverloadedError, match="answered already"), desk.turn():
            pass
        go.set()
        first.join()
        assert all(places)

    def test_says_where_a_bundle_is_missed(self):
        """The dashboard may run on another machine than the service."""
        with pytest.raises(BundleError, match="WEAKSPOT_HOME"):
            Desk().answer(version(), b"anything")


class TestPage:
    """What the page says before anybody asks."""

    def test_says_why_nobody_can_ask(self):
        """No model, no bundle here, no scope: each in its own words."""
        reader = Caller("key:reader", frozenset({"read"}))
        owner = Caller("dashboard", frozenset({"read", "predict", "label"}))

        assert "weakspot train" in str(page.draw(None, owner))
        assert "not on the machine" in str(page.draw(version(), owner))
        assert "lacks the scope predict" in str(page.draw(version(), reader))


class TestRuntime:
    """The browser's runtime is the one npm has."""

    def test_has_the_digests_that_its_version_file_says(self):
        """A file that was altered here would run in everybody's browser."""
        said = json.loads((vendoring.FOLDER / "VERSION.json").read_text(encoding="utf-8"))
        packed = vendoring.FOLDER / "ort-wasm-simd-threaded.wasm.xz"
        plain = vendoring.FOLDER / "ort.wasm.bundle.min.mjs"
        found = {
            packed.stem: hashlib.sha256(lzma.decompress(packed.read_bytes())).hexdigest(),
            plain.name: hashlib.sha256(plain.read_bytes()).hexdigest(),
        }

        assert (said["version"], said["archive"]) == (vendoring.VERSION, vendoring.SHA256)
        assert said["files"] == found
        assert packed.stat().st_size + plain.stat().st_size < 4_000_000
