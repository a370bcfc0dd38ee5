"""The mirror against a real MLflow server, which holds what a person would see there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from core.bundle import files
from core.errors import TrackingError
from core.store import registry
from core.store.database import transaction
from tests import mlflow_server
from tests.pool import admit, register
from tests.tiny import forge, tiny_bundle

if lacking := mlflow_server.missing():
    pytest.skip(
        f"{lacking} is not installed: pip install -e .[mlflow,dev]", allow_module_level=True
    )

from trainer.tracking.mlflow_mirror import LOCK, Look, Mirror, mirroring

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PASSES = [
    {"number": 1, "train_loss": 0.9, "val_loss": 0.8, "val_accuracy": 0.5, "learning_rate": 1e-3},
    {"number": 2, "train_loss": 0.6, "val_loss": 0.5, "val_accuracy": 0.75, "learning_rate": 1e-4},
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that this module's tests share."""
    with mlflow_server.serving(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's bundles lie."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def mirrored(module_engine: Engine, uri: str, bundles: Path) -> Look:
    """The first look: v1 is the champion, v2 is not."""
    folder = tiny_bundle(bundles, version="v1")
    forge(folder, {}, training={"passes": PASSES})
    admit(module_engine, folder, promoted_at=NOW)
    register(module_engine, bundles, name="v2", promoted_at=None)
    return Mirror(module_engine, uri).look()


@pytest.fixture
def client(uri: str, mirrored: Look) -> Any:
    """MLflow's own client."""
    from mlflow.tracking import MlflowClient

    assert mirrored
    return MlflowClient(uri)


def _run(client: Any, version: str) -> Any:
    experiment = client.get_experiment_by_name("weakspot").experiment_id
    wanted = f"tags.`weakspot.version` = '{version}'"
    (run,) = client.search_runs([experiment], wanted)
    return run


def _champion(client: Any) -> str:
    found = client.get_model_version_by_alias("classifier", "champion")
    return found.tags["weakspot.version"]


class TestMirror:
    """What MLflow shows after a look."""

    def test_has_a_run_for_each_version(self, mirrored: Look, client: Any):
        """Trained by whomever: the registry is what is mirrored."""
        assert mirrored.mirrored == ("v1", "v2")
        assert [_run(client, name).info.status for name in ("v1", "v2")] == ["FINISHED"] * 2

    def test_prints_nothing(
        self, module_engine: Engine, uri: str, client: Any, capsys: pytest.CaptureFixture[str]
    ):
        """A verb's JSON stands alone on stdout."""
        client.update_run(_run(client, "v1").info.run_id, status="RUNNING")

        assert Mirror(module_engine, uri).look().mirrored == ("v1",)
        assert capsys.readouterr().out == ""

    def test_has_the_figures_of_each_pass(self, client: Any):
        """The curves that people look at MLflow for."""
        history = client.get_metric_history(_run(client, "v1").info.run_id, "val_accuracy")

        assert [(each.step, each.value) for each in history] == [(1, 0.5), (2, 0.75)]

    def test_holds_the_bundle_as_a_model_version(
        self, module_engine: Engine, client: Any, tmp_path: Path
    ):
        """Whoever deploys from MLflow gets the bytes that were examined, through the server."""
        found = client.get_model_version_by_alias("classifier", "champion")

        fetched = client.download_artifacts(found.run_id, "bundle", str(tmp_path))

        with transaction(module_engine) as connection:
            version = registry.get(connection, "v1")
        assert found.source.startswith("mlflow-artifacts:/")
        assert files.digest(Path(fetched)) == version.digest
        assert files.verify(Path(fetched)).version == "v1"

    def test_the_alias_follows_promotion_and_rollback(
        self, module_engine: Engine, uri: str, client: Any
    ):
        """Whoever moved it, and by whatever program."""
        before = _champion(client)
        mirror = Mirror(module_engine, uri)

        with transaction(module_engine) as connection:
            registry.promote(connection, "v2", now=NOW, by="x", reason="x")
        moved = mirror.look()
        promoted = _champion(client)
        with transaction(module_engine) as connection:
            registry.roll_back(connection, now=NOW, by="x", reason="x")
        mirror.look()

        assert (before, promoted, _champion(client)) == ("v1", "v2", "v1")
        assert moved == Look((), "v2", ())

    def test_a_second_look_has_nothing_to_tell(self, module_engine: Engine, uri: str, client: Any):
        """Also that of a program which has never looked before: nothing is there twice."""
        assert Mirror(module_engine, uri).look() == Look()
        assert len(client.search_model_versions("name='classifier'")) == 2

    def test_a_look_that_was_broken_off_is_made_up_for(
        self, module_engine: Engine, uri: str, client: Any
    ):
        """A run that was begun and not ended is filled in, not begun again."""
        run = _run(client, "v2").info.run_id
        client.update_run(run, status="RUNNING")

        look = Mirror(module_engine, uri).look()

        assert look.mirrored == ("v2",)
        assert _run(client, "v2").info.run_id == run
        assert _run(client, "v2").info.status == "FINISHED"

    def test_a_version_without_its_bundle_keeps_no_other_out(
        self, module_engine: Engine, uri: str, bundles: Path, client: Any
    ):
        """Somebody may have removed an old one to gain room."""
        with transaction(module_engine) as connection:
            gone = replace(
                registry.get(connection, "v2"), version="v3", number=3, uri=str(bundles / "v3"),
                digest="3" * 64,
            )  # fmt: skip
            registry.register(connection, gone)
        register(module_engine, bundles, name="v4", promoted_at=None)

        look = Mirror(module_engine, uri).look()

        assert (look.mirrored, look.skipped) == (("v4",), ("v3",))

    def test_two_programs_do_not_look_at_once(self, module_engine: Engine, uri: str, client: Any):
        """Two workers would make every run twice."""
        assert client
        with module_engine.connect() as held:
            held.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})

            assert Mirror(module_engine, uri).look() == Look(busy=True)


class TestAway:
    """MLflow is a convenience."""

    def test_a_look_says_that_it_is_away(self, module_engine: Engine, mirrored: Look):
        """By our own error, which the worker waits out."""
        assert mirrored
        with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 did not take it"):
            Mirror(module_engine, "http://127.0.0.1:9").look()

    def test_a_password_in_the_address_is_not_told(self, module_engine: Engine, mirrored: Look):
        """Logs are read by many."""
        assert mirrored
        with pytest.raises(TrackingError) as told:
            Mirror(module_engine, "http://me:secret@127.0.0.1:9").look()

        assert "secret" not in str(told.value)

    def test_the_thread_outlives_it_and_holds_nothing_up(
        self, module_engine: Engine, caplog: pytest.LogCaptureFixture
    ):
        """A worker trains on, says once that the mirror is away, and ends when it is told to."""
        told = threading.Event()

        with mirroring(module_engine, "http://127.0.0.1:9", every_s=0.05):
            told.wait(1.0)
            alive = [each for each in threading.enumerate() if each.name == "mlflow"]

        assert alive
        assert len([each for each in caplog.records if "did not take it" in each.message]) <= 1

    def test_without_an_address_nothing_is_started(self, module_engine: Engine):
        """Nothing calls out unasked."""
        with mirroring(module_engine, ""):
            assert not [each for each in threading.enumerate() if each.name == "mlflow"]


def test_a_challenger_is_tagged_as_its_exams_go_on(
    module_engine: Engine, uri: str, bundles: Path, client: Any
):
    """It is mirrored before and during its exam as well, which is not where it ends."""
    admit(module_engine, tiny_bundle(bundles, version="v5", seed=5), promoted_at=None)
    mirror, seen = Mirror(module_engine, uri), []

    for job, status, gate in _EXAMS:
        values = {"id": job, "now": NOW, "status": status, "result": gate}
        with transaction(module_engine) as connection:
            connection.execute(sa.text("UPDATE versions SET parent = 'v1' WHERE version = 'v5'"))
            connection.execute(_JOB, values)
        mirror.look()
        tags = _run(client, "v5").data.tags
        seen.append((tags.get("weakspot.status"), tags.get("weakspot.gate")))

    assert seen == [
        ("running", None),
        ("more images", "more images"),
        ("promoted", "promote"),
    ]
    assert not mirror.look().mirrored


_EXAMS = (
    (901, "running", "{}"),
    (901, "more images", '{"gate": {"decision": "more images"}}'),
    (902, "promoted", '{"gate": {"decision": "promote"}}'),
)
_JOB = sa.text("""
    INSERT INTO jobs (id, kind, labels, reason, requested_by, requested_at, status, fence,
                      attempts, progress, challenger, result)
    VALUES (:id, 'retrain', '["Cat"]', 'weak', 'me', :now, :status, 1, 1, '{}', 'v5',
            CAST(:result AS jsonb))
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, result = excluded.result
""")
