"""A service that answers by a graph in integers: chosen, watched, and refused when altered."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.bundle import files
from core.store import registry, sentinel_checks
from core.store.database import transaction
from tests.faults import eventually, promote, version_of
from tests.pool import admit
from tests.serving import _KNOBS, jpeg_of, serving
from tests.tiny_conv import conv_bundle

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class TestIntegers:
    """`onnxruntime-int8` in the service."""

    def test_answer_and_are_found_sound_every_day(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """What their rounding moves is no fault of the runtime, and raises no alert."""
        admit(engine, conv_bundle(tmp_path / "bundles", with_int8=True), promoted_at=NOW)

        monkeypatch.setitem(_KNOBS, "engine", "onnxruntime-int8")

        with serving(engine, tmp_path) as service:
            answer = service.post("/v1/predict", content=jpeg_of("Dog"))
            told = service.get("/v1/model").json()
            eventually(lambda: _checks(engine))

        (check,) = _checks(engine)
        assert answer.status_code == 200
        assert told["engine"] == "onnxruntime-int8"
        assert (check.engine, check.verdict) == ("onnxruntime-int8", "first here")
        assert 0.001 < (check.largest or 0) < 0.65

    def test_that_were_altered_leave_the_old_version_serving(self, engine: Engine, tmp_path: Path):
        """F16: one byte of a variant is one byte of the bundle, whichever graph would serve."""
        admit(engine, conv_bundle(tmp_path / "bundles"), promoted_at=NOW)
        folder = conv_bundle(tmp_path / "bundles", version="v2", with_int8=True)
        admit(engine, folder, promoted_at=None)
        data = bytearray((folder / files.QUANTISED).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / files.QUANTISED).write_bytes(data)

        with serving(engine, tmp_path) as service:
            promote(engine, "v2")
            eventually(lambda: _loads(engine, "v2"))

            assert service.get("/readyz").status_code == 200
            assert version_of(service) == "v1"
            assert "model.int8.onnx was altered" in _loads(engine, "v2")[0].detail


def _checks(engine: Engine) -> list[sentinel_checks.Check]:
    with transaction(engine) as connection:
        return sentinel_checks.latest(connection)


def _loads(engine: Engine, version: str) -> list[registry.Load]:
    with transaction(engine) as connection:
        return registry.loads(connection, version)
