"""What the settings make of each part of the service: numbers in, parts out.

One process has the engine room and everything else; a front has everything else and a line to the
engine process, which has the engine room. What is bounded for the whole service is shared out.
"""

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Engine

from core.bundle import engines
from core.bundle.trial import Task
from core.clock import Clock
from core.images.archive import Archive
from core.settings import HomeSettings, ServiceSettings
from service.door.bodies import BodyBudget
from service.door.keyring import Keyring, keys_are_needed
from service.log.idempotency import Idempotency
from service.log.keeping import Bounds, Keeper
from service.log.log_entry import Entry
from service.log.log_store import LogStore
from service.log.prediction_log import PredictionLog
from service.log.replayer import Replayer
from service.log.spool import Spool
from service.model.batcher import Batcher, available_cores
from service.model.model_slot import ModelSlot, Serving
from service.model.predictor import Limits, Predictor
from service.model.reloader import Loading, Reloader
from service.rooms import Rooms
from service.self_check import SelfCheck
from service.shadow.shadow import LOSSES, Habits, Shadow, Told
from service.telemetry import Metrics
from service.upkeep import Upkeep
from service.workers.engine_link import EngineLink
from service.workers.engine_process import Plan
from service.workers.engine_room import EngineRoom
from service.workers.metrics_sum import Figures, numbers_of

_SLOTS_TO_SPARE = 16  # for images that nobody waits for any more


def plan(home: HomeSettings, settings: ServiceSettings, engine: Engine) -> Plan:
    """Return how a service with workers runs, its bounds shared out among the fronts.

    Args:
        home: Where things are.
        settings: The service's knobs.
        engine: The database, which the fronts open as well.
    """
    workers = settings.workers

    def share(whole: int) -> int:
        return -(-whole // workers)

    of_each = {
        "max_queue": share(settings.max_queue),
        "max_inflight_bytes": share(settings.max_inflight_bytes),
        "max_connections": share(settings.max_connections),
        "threads": share(available_cores()),  # in a front, those that decode
    }
    url = engine.url.render_as_string(hide_password=False)
    setup = {
        "service": settings.model_copy(update=of_each).model_dump(mode="json"),
        "home": home.model_copy(update={"database_url": url}).model_dump(mode="json"),
    }
    slots = of_each["max_queue"] + _SLOTS_TO_SPARE
    return Plan(workers, slots, setup, settings.drain_s)


def engine_room(
    settings: ServiceSettings,
    engine: Engine,
    clock: Clock,
    *,
    metrics: Metrics,
    instance: str | None = None,
    slot: ModelSlot | None = None,
) -> EngineRoom:
    """Return where the model is.

    Args:
        settings: The service's knobs.
        engine: Where the champion is named.
        clock: Gives loads their time.
        metrics: Told of calls and loads.
        instance: Name of this service where it acknowledges loads; by default host and process.
        slot: To be filled; a new one when None.
    """
    pinned = None if settings.engine == "auto" else settings.engine
    suited = engines.suited(pinned, settings.device, cores=available_cores())
    slot = slot or ModelSlot()
    task = Task(
        device=settings.device,
        callers=settings.threads or suited.callers,
        max_batch_size=settings.max_batch_size or suited.batch,
        seconds=settings.trial_s,
        engine=pinned,
    )
    name = instance or f"{socket.gethostname()}-{os.getpid()}"
    loading = Loading(name, task, settings.reload_s)
    batcher = Batcher(
        threads=task.callers,
        max_batch_size=task.max_batch_size,
        max_queue=settings.max_queue,
        on_batch=metrics.batch_size.observe,
        max_wait_ms=settings.max_wait_ms,
    )
    upkeep = Upkeep(
        engine,
        clock=clock,
        retention_days=settings.retention_days,
        monitor_hour_utc=settings.monitor_hour_utc,
    )
    self_check = SelfCheck(engine, slot, batcher, clock=clock, host=socket.gethostname())
    _watch_room(metrics, batcher, upkeep, self_check)
    return EngineRoom(
        slot=slot,
        batcher=batcher,
        reloader=Reloader(engine, slot, loading=loading, clock=clock, on_load=_tell(metrics)),
        upkeep=upkeep,
        self_check=self_check,
    )


def furnish(
    settings: ServiceSettings,
    engine: Engine,
    clock: Clock,
    *,
    metrics: Metrics,
    home: Path | None,
    model: EngineRoom | EngineLink,
) -> Rooms:
    """Return all parts of a process that answers requests.

    Args:
        settings: The service's knobs; in a front, its share.
        engine: The database.
        clock: Gives predictions their time.
        metrics: This process' own numbers.
        home: Folder of the spool.
        model: Where the model is, or the way there.
    """
    room = model if isinstance(model, EngineRoom) else None
    link = model if isinstance(model, EngineLink) else None
    limits = Limits(
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        max_pixels=2 * settings.max_image_pixels // max(1, settings.workers),
        max_waiting=settings.max_queue,
        max_decoding=settings.threads or available_cores(),
        timeout_s=settings.timeout_s,
    )
    store = LogStore(engine)
    spool = _spool(settings, home)
    idempotency = Idempotency(store, patience_s=settings.timeout_s, others=link)
    log = PredictionLog(
        store,
        spool,
        max_waiting=2 * settings.max_queue,
        on_spooling=idempotency.pin,
        on_spooled=metrics.spooled.inc,
    )
    replayer = Replayer(store, spool, on_replayed=_unpin(idempotency))
    predictor = Predictor(
        slot=model.slot,
        batcher=model.batcher,
        log=log,
        limits=limits,
        clock=clock,
        metrics=metrics,
    )
    shadow = _shadow(settings, engine, metrics, model)
    if shadow:
        predictor.on_answered = shadow.offer
    keeper = _keeper(settings, engine, clock, home)
    if keeper and settings.keep_share:
        predictor.on_sent = keeper.offer
    bodies = BodyBudget(settings.max_inflight_bytes)
    metrics.watch("weakspot_bodies_bytes", "Bytes of requests held in memory.", bodies.__len__)
    metrics.watch("weakspot_images_inside", "Images being answered.", predictor.__len__)
    _watch_log(metrics, log, store, spool)
    if link:
        link.on_kept = idempotency.hear
        # What several fronts may know of one segment is counted once, by the engine process.
        link.figures = lambda: Figures(numbers_of(metrics.registry), spool.counts if spool else {})
    else:
        metrics.watch(
            "weakspot_spool_predictions", "Predictions in the spool.", lambda: log.spooled
        )
    return Rooms(
        engine=engine,
        clock=clock,
        limits=limits,
        bodies=bodies,
        max_images=settings.max_images,
        folders=(home,) if home else (),
        slot=model.slot,
        batcher=model.batcher,
        store=store,
        spool=spool,
        replayer=replayer,
        log=log,
        idempotency=idempotency,
        keyring=_keyring(settings, engine, clock),
        predictor=predictor,
        reloader=room.reloader if room else None,
        upkeep=room.upkeep if room else None,
        self_check=room.self_check if room else None,
        shadow=shadow,
        keeper=keeper,
        metrics=metrics,
        link=link,
    )


def _shadow(
    settings: ServiceSettings, engine: Engine, metrics: Metrics, model: EngineRoom | EngineLink
) -> Shadow | None:
    """Return what scores a challenger beside the champion; of several fronts the first does.

    It stands for the others, so it takes their share as well, as far as it has the pictures.
    """
    first = isinstance(model, EngineRoom) or model.place.index == 0
    if not settings.shadow_share or not first:
        return None
    for why in LOSSES:
        metrics.shadow_dropped(why, 0)
    share = min(1.0, settings.shadow_share * max(1, settings.workers))
    return Shadow(
        engine,
        is_idle=lambda: model.batcher.is_idle,
        habits=Habits(share),
        told=Told(metrics.shadow_scored.inc, metrics.shadow_dropped),
    )


def _keeper(
    settings: ServiceSettings, engine: Engine, clock: Clock, home: Path | None
) -> Keeper | None:
    # Where none are kept any more, those of before still go when it is time.
    if home is None or not (settings.keep_share or (home / "archive").is_dir()):
        return None
    bounds = Bounds(settings.keep_share, settings.keep_bytes, settings.retention_days)
    return Keeper(engine, Archive(home / "archive"), bounds=bounds, clock=clock)


def _watch_room(metrics: Metrics, batcher: Batcher, upkeep: Upkeep, self_check: SelfCheck) -> None:
    """Show what waits for the model, and what the service has noticed of its neighbours."""
    metrics.watch("weakspot_queue_length", "Images waiting for a model call.", batcher.__len__)
    metrics.watch(
        "weakspot_monitor_late_days",
        "Days that were due and that no monitor has examined in time.",
        lambda: len(upkeep.late.late),
    )
    metrics.watch(
        "weakspot_deliveries_waiting",
        "Messages about alerts that wait to be sent, or are on their way.",
        lambda: upkeep.undelivered[0],
    )
    metrics.watch(
        "weakspot_deliveries_dead",
        "Messages about alerts that were given up; weakspot alerts outbox says why.",
        lambda: upkeep.undelivered[1],
    )
    metrics.watch(
        "weakspot_runtime_changed",
        "1 while the frozen images get other answers than when the version was first loaded here.",
        lambda: bool(self_check.last and not self_check.last.is_sound),
    )


def _watch_log(metrics: Metrics, log: PredictionLog, store: LogStore, spool: Spool | None) -> None:
    """Show how much waits to be written, and where it goes."""
    metrics.watch("weakspot_log_queue_length", "Predictions waiting to be written.", log.__len__)
    metrics.watch("weakspot_spool_bytes", "Size of the spool.", lambda: spool.size if spool else 0)
    metrics.watch(
        "weakspot_postgres_away", "1 while predictions go to the spool.", lambda: bool(store.away)
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
