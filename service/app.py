"""Puts the service together, and runs it until it is told to stop."""

import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from core.clock import Clock, open_clock
from core.errors import SchemaError, StoreError
from core.settings import HomeSettings, ServiceSettings
from core.stopping import stopping_on_signals
from core.store.database import open_database
from service import alerts, docs_page, furnishing, jobs, models, problems
from service.allocator import keep_small_blocks
from service.door import auth
from service.door.http_protocol import Bounds
from service.door.keyring import keys_are_needed, require_some_key
from service.model.model_slot import ToldSlot
from service.oip import oip
from service.rooms import Rooms
from service.routes import predict_router, router
from service.server import Server, bind, make_room_for, url_of
from service.shown import (
    class_days,
    class_health,
    drift,
    happenings,
    one_class,
    studies,
    summary,
    system,
)
from service.telemetry import Envelope, Metrics
from service.workers.engine_link import EngineLink
from service.workers.engine_process import EngineProcess

_log = logging.getLogger(__name__)

_MAX_BODY_BYTES = 65_536  # of every route that takes no images
_DATABASE_PATIENCE_S = 120.0
_DATABASE_PAUSE_S = 2.0


class _Service(FastAPI):
    """A FastAPI application with our gate and envelope around it, error handling included."""

    def build_middleware_stack(self) -> ASGIApp:
        rooms: Rooms = self.state.rooms
        gate = auth.Gate(super().build_middleware_stack(), rooms.keyring, rooms.link)
        return Envelope(gate, rooms.metrics)

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
    link: EngineLink | None = None,
) -> FastAPI:
    """Return the service as an ASGI application; its lifespan starts and ends its threads.

    Args:
        settings: The knobs.
        engine: The database, migrated.
        clock: Gives predictions their time.
        instance: Name of this service where it acknowledges loads; by default host and process.
        home: Folder whose disk must have room for the service to be ready.
        link: The way to an engine process; None to have the model in this one.
    """
    metrics = Metrics()
    model = link or furnishing.engine_room(
        settings, engine, clock, metrics=metrics, instance=instance
    )
    rooms = furnishing.furnish(settings, engine, clock, metrics=metrics, home=home, model=model)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        if link:
            await link.attach()
        await run_in_threadpool(rooms.open)
        try:
            yield
        finally:
            await run_in_threadpool(rooms.close)
            if link:
                link.close()

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
    app.include_router(alerts.router)
    for each in (summary, class_health, class_days, one_class, happenings, drift, studies, system):
        app.include_router(each.router)
    app.include_router(jobs.router)
    app.include_router(models.router)
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
        UsageError: The address cannot be listened on, callers need keys and there are none, or
            a front cannot start.
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

        def announce() -> None:
            address = url_of(listener)
            _log.info("listening on %s", address)
            if on_listening:
                on_listening(address)

        if settings.workers:
            metrics = Metrics()
            EngineProcess(
                furnishing.engine_room(settings, engine, clock, metrics=metrics, slot=ToldSlot()),
                furnishing.plan(home, settings, engine),
                listener=listener,
                metrics=metrics,
                stop=stop,
                on_started=announce,
            ).run()
            return
        app = create_app(settings, engine=engine, clock=clock, home=home.home)
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
