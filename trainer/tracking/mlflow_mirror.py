"""The registry mirrored into MLflow: a run for each version, the bundle, and who is champion.

Postgres stays the truth; MLflow is brought up to date with it, a look at a time, by whoever has
time for it (a thread of the worker, `weakspot model mirror`). So a promotion shows there whoever
made it, and an MLflow that was away, or is new, gets all it has missed. Nothing waits for MLflow:
what cannot be told is told at a later look.

A version is known in MLflow by its bundle's digest, in a tag of its run: several installations may
mirror into one server. A look that was broken off leaves a run that is not FINISHED, which the
next one fills in again. Runs that failed made no version, and are not mirrored.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from core.bundle import files
from core.errors import BundleError, StoreAwayError, StoreError, TrackingError, UsageError
from core.store import job_rows, registry
from core.store.database import transaction
from core.store.job_rows import Job
from core.store.registry import Move, Version
from trainer.tracking import mlflow_entries

if TYPE_CHECKING:
    from sqlalchemy import Engine

logger = logging.getLogger(__name__)

EXPERIMENT = "weakspot"
BUNDLE = "bundle"  # folder of the bundle among a run's artifacts

_DIGEST = "weakspot.digest"
_FINAL = {"promoted", "refused", "trained"}  # of a job: nothing follows
_USER_INFO = re.compile(r"//[^/@\s]*@")  # of an address: a password is not for the log
LOCK = 0x77656D6C  # of all advisory locks of this database, ours
_EVERY_S = 20.0
_JOIN_S = 3.0
# MLflow would report its use to its makers, try a server for many minutes, log its own way, and
# print addresses where a verb prints its JSON.
_MANNERS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What one look has brought up to date.

    Attributes:
        mirrored: Versions that are in MLflow now and were not, or not wholly.
        champion: The version that `champion` was moved to; None where it stood right.
        skipped: Versions that cannot be mirrored, such as those whose bundle is gone.
        busy: Another program is looking, so that nothing was done.
    """

    mirrored: tuple[str, ...] = ()
    champion: str | None = None
    skipped: tuple[str, ...] = ()
    busy: bool = False


class Mirror:
    """Brings one MLflow server up to date with one registry."""

    def __init__(self, engine: Engine, uri: str) -> None:
        """Get ready; the server itself is not asked for anything yet.

        Raises:
            UsageError: mlflow-skinny is not installed.
        """
        for name, value in _MANNERS.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise UsageError(
                "the MLflow mirror needs one package more: pip install 'weakspot[mlflow]', or "
                "unset WEAKSPOT_MLFLOW_URI"
            ) from error
        self._engine = engine
        self._uri = uri
        self._client: Any = MlflowClient(uri)
        self._done: set[str] = set()
        self._told: dict[str, dict[str, str]] = {}
        self._skipped: set[str] = set()

    def look(self) -> Look:
        """Tell MLflow what it does not know yet.

        Raises:
            TrackingError: MLflow is away, or refuses.
            StoreError: Postgres is away.
        """
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        with self._alone() as alone:
            if not alone:
                return Look(busy=True)
            with transaction(self._engine) as connection:
                versions = registry.versions(connection)[::-1]
                moves = registry.history(connection)
            try:
                return self._tell(versions, moves)
            except (MlflowException, RequestException) as error:
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                told = f"MLflow at {self._uri} did not take it: {said}"
                raise TrackingError(_USER_INFO.sub("//", told)) from error

    def _tell(self, versions: Sequence[Version], moves: Sequence[Move]) -> Look:
        mirrored: list[str] = []
        waiting = [each for each in versions if each.version not in self._done | self._skipped]
        experiment = self._experiment() if waiting else ""
        for version in waiting:
            try:
                if self._mirror(experiment, version):
                    mirrored.append(version.version)
            except BundleError as error:
                self._skipped.add(version.version)
                logger.warning("%s is not mirrored: %s", version.version, error)
        moved = self._follow(versions, moves)
        return Look(tuple(mirrored), moved, tuple(sorted(self._skipped)))

    def _mirror(self, experiment: str, version: Version) -> bool:
        """Bring one version up to date; say whether there was anything to tell."""
        with transaction(self._engine) as connection:
            job = job_rows.of_challenger(connection, version.version)
        wanted = mlflow_entries.tags(version, job)
        news = self._told.get(version.version) != wanted and self._bring(experiment, version, job)
        # A challenger is registered before its exam, and may sit it more than once; a job that
        # failed or was cancelled may be tried again.
        if version.parent is None if job is None else job.status in _FINAL:
            self._done.add(version.version)
            self._told.pop(version.version, None)
        else:
            self._told[version.version] = wanted
        return news

    def _bring(self, experiment: str, version: Version, job: Job | None) -> bool:
        run = self._run_of(experiment, version)
        if run is None or run.info.status != "FINISHED":
            self._write(experiment, version, job, run)
            return True
        # What is tagged may be of the exam before, or have been written during this one.
        if mlflow_entries.tags(version, job).items() <= run.data.tags.items():
            return False
        self._tag(run.info.run_id, version, job)
        return True

    def _write(self, experiment: str, version: Version, job: Job | None, run: Any) -> None:
        """Write a version's run and its model version, whatever of them is there already."""
        folder = Path(version.uri)
        manifest = files.read_manifest(folder)
        at_ms = int(version.created_at.timestamp() * 1000)
        if run is None:
            run = self._client.create_run(
                experiment,
                start_time=at_ms,
                run_name=version.version,
                tags={_DIGEST: version.digest},
            )
        run_id = run.info.run_id
        entries = mlflow_entries.of_version(version, manifest, at_ms)
        for batch in entries.batches():
            self._client.log_batch(run_id, **batch)
        self._tag(run_id, version, job)
        self._client.log_artifacts(run_id, str(folder), BUNDLE)
        self._model_version(version, run)
        # Last of all: a run that is not FINISHED is written anew by the next look.
        self._client.set_terminated(run_id, status="FINISHED", end_time=at_ms)

    def _model_version(self, version: Version, run: Any) -> None:
        name = mlflow_entries.model_name(version.name)
        self._make_model(name)
        if version.digest in self._numbers(name):
            return
        self._client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{BUNDLE}",
            run_id=run.info.run_id,
            tags={_DIGEST: version.digest, "weakspot.version": version.version},
            await_creation_for=0,
        )

    def _follow(self, versions: Sequence[Version], moves: Sequence[Move]) -> str | None:
        """Let MLflow's alias point where ours does; return the version if it was moved."""
        if not moves:
            return None
        serving = next(each for each in versions if each.version == moves[-1].version)
        if serving.version in self._skipped:
            return None
        name = mlflow_entries.model_name(serving.name)
        number = self._numbers(name).get(serving.digest)
        if number is None:
            return None
        aliases = self._client.get_registered_model(name).aliases
        if str(aliases.get(registry.CHAMPION)) == number:
            return None
        self._client.set_registered_model_alias(name, registry.CHAMPION, number)
        return serving.version

    def _make_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _numbers(self, name: str) -> dict[str, str]:
        """Return MLflow's number of each bundle of a model, by digest."""
        numbers: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_model_versions(f"name='{name}'", page_token=token)
            numbers |= {each.tags.get(_DIGEST, ""): str(each.version) for each in page}
            token = page.token
            if not token:
                return numbers

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(EXPERIMENT)
        except MlflowException:
            # Another installation was faster, or somebody has put it into the bin.
            found = self._client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
            return found.experiment_id

    def _run_of(self, experiment: str, version: Version) -> Any:
        wanted = f"tags.`{_DIGEST}` = '{version.digest}'"
        return next(iter(self._client.search_runs([experiment], wanted, max_results=1)), None)

    def _tag(self, run_id: str, version: Version, job: Job | None) -> None:
        for name, value in mlflow_entries.tags(version, job).items():
            self._client.set_tag(run_id, name, value)

    @contextmanager
    def _alone(self) -> Generator[bool]:
        """Say whether no other program of this database is looking."""
        try:
            with self._engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            ) as connection:
                ours = connection.execute(
                    sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}
                ).scalar_one()
                try:
                    yield bool(ours)
                finally:
                    if ours:
                        connection.execute(
                            sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK}
                        )
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise StoreAwayError("the database went away during a look at MLflow") from error


@contextmanager
def mirroring(engine: Engine, uri: str, *, every_s: float = _EVERY_S) -> Generator[None]:
    """Mirror from a thread of its own while the block runs; without a `uri`, do nothing.

    Raises:
        UsageError: mlflow-skinny is not installed.
    """
    if not uri:
        yield
        return
    mirror, stop = Mirror(engine, uri), threading.Event()
    thread = threading.Thread(
        target=keep_looking, args=(mirror, stop, every_s), name="mlflow", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        # A look that hangs in the network is not waited for: the next program does it again.
        thread.join(_JOIN_S)


def keep_looking(mirror: Mirror, stop: threading.Event, every_s: float) -> None:
    """Look again and again until told to stop; an MLflow that is away is named once."""
    away = False
    while not stop.is_set():
        try:
            look = mirror.look()
            if away:
                logger.info("the MLflow mirror is up to date again")
            away = False
            if look.mirrored or look.champion:
                logger.info("MLflow mirror: %s", _in_words(look))
        except (TrackingError, StoreError) as error:
            if not away:
                logger.warning("%s; it is tried again every %g s", error, every_s)
            away = True
        except Exception:  # The mirror is a convenience: no fault in it may end the worker.
            logger.exception("the MLflow mirror met something unforeseen")
        stop.wait(every_s)


def _in_words(look: Look) -> str:
    told = [f"mirrored {', '.join(look.mirrored)}"] if look.mirrored else []
    moved: Mapping[str, str] = {"champion": look.champion} if look.champion else {}
    return "; ".join([*told, *(f"{alias} is {version}" for alias, version in moved.items())])
