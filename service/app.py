"""Puts the service together, and runs it until it is told to stop."""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from core.bundle.trial import Task
from core.clock import Clock, open_clock
from core.errors import SchemaError, StoreError
from core.settings import HomeSettings, ServiceSettings
from core.store.database import open_database
from service import auth, docs_page, oip, problems
from service.allocator import keep_small_blocks
from service.batcher import Batcher, available_cores
from service.bodies import BodyBudget
from service.http_protocol import Bounds
from service.idempotency import Idempotency
from service.keyring import Keyring, keys_are_needed, require_some_key
from service.log_entry import Entry
from service.log_store import LogStore
from service.model_slot import ModelSlot, Serving
from service.prediction_log import PredictionLog
from service.predictor import Limits, Predictor
from service.reloader import Loading, Reloader
from service.replayer import Replayer
from service.rooms import Rooms
from service.routes import predict_router, router
from service.server import Server, bind, make_room_for, stopping_on_signals, url_of
from service.spool import Spool
from service.telemetry import Envelope, Metrics
from service.upkeep import Upkeep

_log = logging.getLogger(__name__)

_MAX_BODY_BYTES = 65_536  # of every route that takes no images
_DATABASE_PATIENCE_S = 120.0
_DATABASE_PAUSE_S = 2.0


class _Service(FastAPI):
    """A FastAPI application with our gate and envelope around it, error handling included."""

    def build_middleware_stack(self) -> ASGIApp:
        rooms: Rooms = self.state.rooms
        return Envelope(auth.Gate(super().build_middleware_stack(), rooms.keyring), rooms.metrics)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            rooms: Rooms = self.state.rooms
            auth.describe(self, super().openapi(), keys_needed=rooms.keyring is not None)
        return super().openapi()


def create_app(
    settings: ServiceSettings,
    *,
    engine: Engine,
    clock: Clock,
    instance: str | None = None,
    home: Path | None = None,
) -> FastAPI:
    """Return the service as an ASGI application; its lifespan starts and ends its threads.

    Args:
        settings: The knobs.
        engine: The database, migrated.
        clock: Gives predictions their time.
        instance: Name of this service where it acknowledges loads; by default host and process.
        home: Folder whose disk must have room for the service to be ready.
    """
    name = instance or f"{socket.gethostname()}-{os.getpid()}"
    rooms = _furnish(settings, engine, clock, instance=name, home=home)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await run_in_threadpool(rooms.open)
        try:
            yield
        finally:
            await run_in_threadpool(rooms.close)

    app = _Service(
        title="Weakspot",
        description="Answers predictions, and keeps each one.",
        version="0.1.0",
        # The document and its page are routes like all others, so that they need a key, too.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(auth.authorise)],
        lifespan=lifespan,
        max_body_size=_MAX_BODY_BYTES,
        responses=problems.responses(500),
    )
    app.state.rooms = rooms
    app.include_router(
        predict_router(
            max_image_bytes=settings.max_image_bytes, max_request_bytes=settings.max_request_bytes
        )
    )
    app.include_router(router)
    app.include_router(oip.router)
    app.include_router(oip.infer_router(max_request_bytes=settings.max_request_bytes))
    problems.install(app)
    docs_page.install(app)
    return app


def run(
    home: HomeSettings,
    settings: ServiceSettings,
    *,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was accepted and return.

    Args:
        home: Where things are.
        settings: The service's knobs.
        on_listening: Told the address as soon as requests are answered.

    Raises:
        UsageError: The address cannot be listened on, or callers need keys and there are none.
        SchemaError: The database needs `weakspot db upgrade` first.
        StoreError: The embedded database does not start, or the owner's stays away.
    """
    needs_keys = keys_are_needed(settings.host, settings.require_keys)
    clock = open_clock(home.clock_file)
    keep_small_blocks()
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopping_on_signals(stop))
        listener = stack.enter_context(bind(settings.host, settings.port))
        engine = _enter_database(stack, home, stop)
        if engine is None:
            return
        if needs_keys:
            require_some_key(engine, host=settings.host, now=clock.now())
        app = create_app(settings, engine=engine, clock=clock, home=home.home)

        def announce() -> None:
            address = url_of(listener)
            _log.info("listening on %s", address)
            if on_listening:
                on_listening(address)

        bounds = Bounds(max_connections=make_room_for(settings.max_connections))
        Server(app, stop=stop, drain_s=settings.drain_s, on_started=announce, bounds=bounds).run(
            [listener]
        )


def _enter_database(
    stack: contextlib.ExitStack, home: HomeSettings, stop: threading.Event
) -> Engine | None:
    """Open the database, waiting for the owner's to come up; None when told to stop meanwhile."""
    give_up = time.monotonic() + _DATABASE_PATIENCE_S
    while not stop.is_set():
        try:
            database = open_database(home.database_url, home.postgres, on_progress=_log.info)
            return stack.enter_context(database)
        except SchemaError:
            raise
        except StoreError as error:
            # The embedded one is started by us: what is wrong with it, waiting does not mend.
            if home.database_url is None or time.monotonic() > give_up:
                raise
            _log.warning("waiting for the database: %s", error)
        stop.wait(_DATABASE_PAUSE_S)
    return None


def _furnish(
    settings: ServiceSettings, engine: Engine, clock: Clock, *, instance: str, home: Path | None
) -> Rooms:
    cores = settings.threads or available_cores()
    metrics, slot = Metrics(), ModelSlot()
    limits = Limits(
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        max_waiting=settings.max_queue,
        max_decoding=cores,
        timeout_s=settings.timeout_s,
    )
    batcher = Batcher(
        threads=cores,
        max_batch_size=settings.max_batch_size,
        max_queue=settings.max_queue,
        on_batch=metrics.batch_size.observe,
    )
    store = LogStore(engine)
    spool = _spool(settings, home)
    idempotency = Idempotency(store, patience_s=settings.timeout_s)
    log = PredictionLog(
        store,
        spool,
        max_waiting=2 * settings.max_queue,
        on_spooling=idempotency.pin,
        on_spooled=metrics.spooled.inc,
    )
    replayer = Replayer(store, spool, on_replayed=_unpin(idempotency))
    predictor = Predictor(
        slot=slot, batcher=batcher, log=log, limits=limits, clock=clock, metrics=metrics
    )
    bodies = BodyBudget(settings.max_inflight_bytes)
    metrics.watch("weakspot_bodies_bytes", "Bytes of requests held in memory.", bodies.__len__)
    metrics.watch("weakspot_queue_length", "Images waiting for a model call.", batcher.__len__)
    metrics.watch("weakspot_log_queue_length", "Predictions waiting to be written.", log.__len__)
    metrics.watch("weakspot_spool_predictions", "Predictions in the spool.", lambda: log.spooled)
    metrics.watch("weakspot_spool_bytes", "Size of the spool.", lambda: spool.size if spool else 0)
    metrics.watch(
        "weakspot_postgres_away", "1 while predictions go to the spool.", lambda: bool(store.away)
    )
    metrics.watch("weakspot_images_inside", "Images being answered.", predictor.__len__)
    task = Task(
        device=settings.device,
        callers=cores,
        max_batch_size=settings.max_batch_size,
        seconds=settings.trial_s,
        engine=None if settings.engine == "auto" else settings.engine,
    )
    loading = Loading(instance, task, settings.reload_s)
    return Rooms(
        engine=engine,
        clock=clock,
        limits=limits,
        bodies=bodies,
        max_images=settings.max_images,
        folders=(home,) if home else (),
        slot=slot,
        batcher=batcher,
        store=store,
        spool=spool,
        replayer=replayer,
        log=log,
        idempotency=idempotency,
        keyring=_keyring(settings, engine, clock),
        predictor=predictor,
        reloader=Reloader(engine, slot, loading=loading, clock=clock, on_load=_tell(metrics)),
        upkeep=Upkeep(engine, clock=clock, retention_days=settings.retention_days),
        metrics=metrics,
    )


def _keyring(settings: ServiceSettings, engine: Engine, clock: Clock) -> Keyring | None:
    if not keys_are_needed(settings.host, settings.require_keys):
        return None
    return Keyring(engine, clock=clock, reload_s=settings.reload_s)


def _spool(settings: ServiceSettings, home: Path | None) -> Spool | None:
    if home is None or not settings.spool_bytes:
        return None
    return Spool(home / "spool", max_bytes=settings.spool_bytes)


def _unpin(idempotency: Idempotency) -> Callable[[Sequence[Entry]], None]:
    def on_replayed(entries: Sequence[Entry]) -> None:
        idempotency.pin((entry.kept for entry in entries if entry.kept), False)

    return on_replayed


def _tell(metrics: Metrics) -> Callable[[Serving | None], None]:
    def on_load(serving: Serving | None) -> None:
        metrics.loaded(ok=serving is not None)
        if serving:
            metrics.serving(serving.name, serving.runner.version, serving.trial)

    return on_load
