"""A pool of drawn pictures in Postgres, and a registered version of the tiny bundle to judge.

version = register(engine, tmp_path / "bundles")          # v1 is the champion from FIRST_DAY on
add_pictures(engine, tmp_path / "pool", FIRST_DAY)        # ten of each label, taken that day
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from core.bundle import files, outputs
from core.bundle.runner import Runner
from core.clock import FixedClock, day_bounds
from core.images.descriptors import describe
from core.images.preprocess import preprocess
from core.store import images, predictions, registry
from core.store.database import transaction
from core.store.images import Image
from core.store.predictions import Prediction, new_id
from core.store.registry import Version
from tests.images import png
from tests.tiny import LABELS, picture, tiny_bundle

FIRST_DAY = date(2026, 3, 1)


def day(number: int) -> date:
    """Return the day of that number; the first is 1."""
    return FIRST_DAY + timedelta(days=number - 1)


def night_after(number: int) -> FixedClock:
    """Return a clock that stands at 02:00 of the day after the day of that number."""
    return FixedClock(day_bounds(day(number))[1] + timedelta(hours=2))


def register(
    engine: Engine,
    bundles: Path,
    *,
    name: str = "v1",
    labels: Sequence[str] = LABELS,
    confuse: tuple[str, str] | None = None,
    reference: dict[str, dict[str, object]] | None = None,
    promoted_at: datetime | None = datetime(2026, 3, 1, tzinfo=UTC),
) -> Version:
    """Write a tiny bundle, register it, and promote it unless `promoted_at` is None."""
    folder = tiny_bundle(bundles, version=name, labels=labels, confuse=confuse, reference=reference)
    return admit(engine, folder, promoted_at=promoted_at)


def admit(engine: Engine, folder: Path, *, promoted_at: datetime | None) -> Version:
    """Register a bundle, and promote it unless `promoted_at` is None."""
    made_at = datetime(2026, 2, 1, tzinfo=UTC)
    manifest = files.read_manifest(folder)
    version = Version(
        version=manifest.version,
        number=int(manifest.version[1:]),
        name=manifest.name,
        uri=str(folder),
        digest=files.digest(folder),
        labels=list(manifest.labels),
        parent=None,
        snapshot=manifest.snapshot,
        snapshot_at=made_at,
        metrics=manifest.metrics,
        reference=manifest.reference,
        config={},
        code_version="0",
        created_at=made_at,
    )
    with transaction(engine) as connection:
        registry.register(connection, version)
        if promoted_at is not None:
            registry.promote(connection, version.version, now=promoted_at, by="test", reason="test")
    return version


def add_pictures(
    engine: Engine,
    folder: Path,
    taken_on: date,
    *,
    per_label: int = 10,
    labels: Sequence[str] = LABELS,
    shown_as: Mapping[str, str] | None = None,
    dimmed: float = 1.0,
    blended: float = 1.0,
) -> list[Path]:
    """Draw pictures, put them into the pool as test images of that day, and return their files.

    Args:
        engine: Where the pool is.
        folder: Where the files are written.
        taken_on: When they were taken.
        per_label: How many of each label.
        labels: All labels, in order.
        shown_as: `{"Spider": "Cat"}`: pictures labelled Spider are painted like a Cat.
        dimmed: What every pixel of those is multiplied by: then they are like nobody.
        blended: How much of those is the other label; the rest is their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    added: list[tuple[Path, Image]] = []
    for label in labels:
        for i in range(per_label):
            painted = (shown_as or {}).get(label, label)
            # The seed is different for each picture, so that no two have the same bytes.
            seed = taken_on.toordinal() * 1000 + list(labels).index(label) * 100 + i
            drawn = picture(painted, labels=labels, seed=seed)
            own = picture(label, labels=labels, seed=seed)
            drawn = (drawn * blended + own * (1 - blended)).astype(np.uint8)
            data = png(drawn if painted == label else (drawn * dimmed).astype(np.uint8))
            path = folder / f"{taken_on}-{label}-{i}.png"
            path.write_bytes(data)
            added.append((path, drawn_image(path, data, label, taken_on, seed)))
    with transaction(engine) as connection:
        images.insert(connection, [image for _, image in added])
    return [path for path, _ in added]


def drawn_image(path: Path, data: bytes, label: str, taken_on: date, seed: int) -> Image:
    """Return the pool's row of a drawn picture that was taken at ten in the morning of a day."""
    captured_at = day_bounds(taken_on)[0] + timedelta(hours=10)
    return Image(
        uri=str(path),
        sha256=hashlib.sha256(data).hexdigest(),
        phash=seed,
        cluster=seed,
        label=label,
        split="test",
        width=32,
        height=32,
        bytes=len(data),
        type="image/png",
        source="drawn",
        session=None,
        captured_at=captured_at,
        added_at=captured_at,
        labelled_by="test",
    )


def add_predictions(
    engine: Engine,
    version: Version,
    asked_on: date,
    n: int,
    *,
    shares: Mapping[str, float] | None = None,
    darker: float = 1.0,
) -> None:
    """Ask the version about n drawn pictures, and keep the answers in the log.

    Args:
        engine: Where the log is.
        version: The version that answers.
        asked_on: On which day; the requests are spread over it.
        n: How many pictures.
        shares: Share of each label among them; equal when None.
        darker: What every pixel is multiplied by.
    """
    runner = Runner.open(Path(version.uri), device="cpu", threads=1)
    rng = np.random.default_rng(asked_on.toordinal())
    p = [(shares or {}).get(label, 0.0 if shares else 1.0) for label in version.labels]
    drawn = [
        (picture(str(label), labels=version.labels, seed=50_000 + i) * darker).astype(np.uint8)
        for i, label in enumerate(rng.choice(version.labels, n, p=np.array(p) / sum(p)))
    ]
    out = runner.run(np.stack([preprocess(image, runner.recipe) for image in drawn]))
    start = day_bounds(asked_on)[0]
    rows: list[Prediction] = []
    for i, image in enumerate(drawn):
        at = start + timedelta(seconds=i * 86_000 / n)
        rows.append(
            Prediction(
                id=new_id(at),
                at=at,
                version=version.version,
                label=version.labels[int(out.probabilities[i].argmax())],
                confidence=float(outputs.confidence(out.probabilities)[i]),
                top=[],
                margin=float(outputs.margin(out.probabilities)[i]),
                entropy=float(outputs.entropy(out.probabilities)[i]),
                descriptors=describe(image),
                latency_ms=5.0,
                image_sha256=hashlib.sha256(image.tobytes()).hexdigest(),
                embedding=out.embedding[i],
            )
        )
    with transaction(engine) as connection:
        predictions.insert_many(connection, rows)
