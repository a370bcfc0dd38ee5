"""`python -m tests.bench.monitor`: a day of ten million predictions, rolled up and checked.

The rows are made by Postgres itself, in an embedded server of this run alone, with the widths
that real ones have. Beside ours, Evidently and NannyML check the same day's columns as frames,
as far as memory and time allow. `--quick` is a smoke run of a minute, without peers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import Engine, make_url

from core.bundle import files, profile
from core.bundle.profile import COLUMNS, ReferenceProfile
from core.clock import day_bounds
from core.store import database, drift, embedded, halfvec, rollups
from core.store.database import transaction
from core.store.registry import Version
from monitor.drift import drift as monitor_drift
from monitor.drift import samples
from tests.bench.monitor_usage import Peak
from tests.tiny import tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "Evidently": ("evidently", Path(sys.executable)),
    "NannyML": ("nannyml", ROOT / ".bench/nannyml/bin/python"),
}
DAY = date(2026, 3, 29)
EMBEDDINGS = 20_000  # distinct ones among the day's rows
SIZES = ((4 / 3, 12.2), (3 / 2, 24.0), (3 / 4, 8.3), (1.0, 2.1))  # aspect, megapixels

_TABLE = """
CREATE UNLOGGED TABLE predictions_{day:%Y%m%d} (LIKE predictions INCLUDING DEFAULTS)
    WITH (autovacuum_enabled = off)
"""

_FILL = """
INSERT INTO predictions_{day:%Y%m%d}
SELECT uuidv7(at - clock_timestamp()), at, 'v1', label, confidence, top,
       confidence - 0.1 * random(), 0.5 * random() - ln(confidence),
       jsonb_build_object('brightness', round((0.5 + 0.1 * random_normal())::numeric, 4),
                          'contrast', round((0.2 + 0.05 * random_normal())::numeric, 4),
                          'saturation', round((0.3 + 0.1 * random_normal())::numeric, 4),
                          'sharpness', round((0.3 + 0.1 * random_normal())::numeric, 4),
                          'aspect', aspects[size], 'megapixels', megapixels[size]),
       5 + random(), repeat(md5(i::text), 2), embedding
  FROM (SELECT i, %(start)s::timestamptz + make_interval(secs => 86399.0 * i / %(rows)s) AS at,
               'class_' || floor(%(classes)s * power(random(), 1.5)) AS label,
               1 - 0.3 * power(random(), 3) AS confidence, 1 + floor(4 * random())::int AS size,
               %(top)s::jsonb AS top, %(aspects)s::float8[] AS aspects,
               %(megapixels)s::float8[] AS megapixels, i %% %(embeddings)s AS which
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i) AS made
  JOIN made_embeddings USING (which)
"""


def main() -> None:
    """Run the benchmark, print it, and write it down where asked."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="weakspot-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # Postgres runs as another user where we are root
        version = _version(home, asked.classes)
        with embedded.connect(home / "postgres") as server:
            database.upgrade(server.url)
            engine = database.create_engine(server.url)
            filled = _fill_all(engine, asked)
            _look_at_past_days(engine, version, home, asked)
            results = _ours(engine, version, home) | {"filled_s": filled}
            if asked.peers:
                results["peers"] = _peers(engine, version, home, asked)
            engine.dispose()
    results |= {"rows": asked.rows, "classes": asked.classes, "weekdays": asked.weekdays}
    results |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "cores": os.cpu_count()}
    if asked.results:
        asked.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
    sys.stdout.write(json.dumps(results, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--classes", type=int, default=2_500)
    parser.add_argument("--weekdays", type=int, default=0, help="rows of each of 4 past weeks")
    parser.add_argument("--peers", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--peer-bytes", type=int, default=12_000_000_000)
    parser.add_argument("--peer-s", type=float, default=600)
    parser.add_argument("--results", type=Path, help="JSON file for everything measured")
    parser.add_argument("--quick", action="store_true", help="a smoke run, without peers")
    asked = parser.parse_args()
    if asked.quick:
        asked.rows, asked.classes, asked.weekdays, asked.peers = 50_000, 100, 10_000, []
    return asked


def _version(home: Path, classes: int) -> Version:
    """Write a bundle whose profile is drawn as the day's rows are."""
    rng = np.random.default_rng(1)
    n = profile.MAX_ROWS
    sizes = np.array(SIZES)[rng.integers(0, len(SIZES), n)]
    confidence = 1 - 0.3 * rng.random(n) ** 3
    columns = {
        "brightness": rng.normal(0.5, 0.1, n),
        "contrast": rng.normal(0.2, 0.05, n),
        "saturation": rng.normal(0.3, 0.1, n),
        "sharpness": rng.normal(0.3, 0.1, n),
        "aspect": sizes[:, 0],
        "megapixels": sizes[:, 1],
        "confidence": confidence,
        "margin": confidence - 0.1 * rng.random(n),
        "entropy": 0.5 * rng.random(n) - np.log(confidence),
    }
    predicted = (classes * rng.random(n) ** 1.5).astype(np.int64)
    found = ReferenceProfile(columns, predicted, _embeddings(rng, n))
    labels = tuple(f"class_{number}" for number in range(classes))
    tiny = tiny_bundle(home / "tiny")
    manifest = files.read_manifest(tiny)
    members: dict[str, bytes | Path] = {name: tiny / name for name in manifest.files}
    members[files.PROFILE] = profile.save(found)
    counted = {label: {"n": 0, "correct": 0, "confused": {}} for label in labels}
    manifest = replace(manifest, labels=labels, reference=counted)
    folder = files.write(home / "bundles", manifest, members)
    return Version(
        version="v1",
        number=1,
        name="classifier",
        uri=str(folder),
        digest="",
        labels=list(labels),
        parent=None,
        snapshot="",
        snapshot_at=day_bounds(DAY)[0],
        metrics={},
        reference={},
        config={},
        code_version="0",
        created_at=day_bounds(DAY)[0],
    )


def _embeddings(rng: np.random.Generator, n: int) -> np.ndarray:
    rows = rng.normal(size=(n, 256)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _fill_all(engine: Engine, asked: argparse.Namespace) -> float:
    begun = time.monotonic()
    with _raw(engine) as connection:
        connection.execute("CREATE UNLOGGED TABLE made_embeddings (which int, embedding halfvec)")
        rows = _embeddings(np.random.default_rng(2), EMBEDDINGS)
        statement = "COPY made_embeddings FROM STDIN (FORMAT binary)"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(["int4", "bytea"])
            for number, row in enumerate(rows):
                copy.write_row((number, halfvec.to_binary(row)))
    days = [(DAY, asked.rows)]
    days += [(DAY - timedelta(weeks=week), asked.weekdays) for week in range(1, 5)]
    for day, n in days:
        if n:
            _fill(engine, day, n, asked.classes)
    for day, n in days[1:]:
        if n:
            with transaction(engine) as connection:
                rollups.roll_up(connection, day)
    return time.monotonic() - begun


def _fill(engine: Engine, day: date, n: int, classes: int) -> None:
    """Make a day's rows, side by side, and attach them: the indexes are built at once then."""
    with _raw(engine) as connection:
        connection.execute(_TABLE.format(day=day))
    halves = [(1, n // 2), (n // 2 + 1, n)]
    with ThreadPoolExecutor(len(halves)) as pool:
        list(pool.map(lambda half: _insert(engine, day, n, classes, *half), halves))
    start, end = day_bounds(day)
    with _raw(engine) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute(
            f"ALTER TABLE predictions ATTACH PARTITION predictions_{day:%Y%m%d} "
            f"FOR VALUES FROM ('{start:%Y-%m-%d}') TO ('{end:%Y-%m-%d}')"
        )
        connection.execute(f"ANALYZE predictions_{day:%Y%m%d}")


def _insert(engine: Engine, day: date, n: int, classes: int, first: int, last: int) -> None:
    top = [{"label": f"class_{i}", "probability": 0.123456} for i in range(5)]
    values = {
        "start": day_bounds(day)[0],
        "rows": n,
        "classes": classes,
        "top": json.dumps(top),
        "aspects": [aspect for aspect, _ in SIZES],
        "megapixels": [size for _, size in SIZES],
        "embeddings": EMBEDDINGS,
        "first": first,
        "last": last,
    }
    with _raw(engine) as connection:
        connection.execute(_FILL.format(day=day), values)


@contextmanager
def _raw(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    url = make_url(engine.url).set(drivername="postgresql")
    plain = url.render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def _look_at_past_days(
    engine: Engine, version: Version, home: Path, asked: argparse.Namespace
) -> None:
    """Check the past weekdays as the daily run did then, which keeps what today needs of them."""
    for week in range(4 if asked.weekdays else 0, 0, -1):
        day = DAY - timedelta(weeks=week)
        terms = monitor_drift.Terms(10_000, home / "reports", 0, day_bounds(day)[1])
        monitor_drift.check(engine, day, version, terms)


def _ours(engine: Engine, version: Version, home: Path) -> dict[str, Any]:
    """Roll the day up, check it and store the verdicts, as the daily run does."""
    with Peak() as peak:
        begun = time.monotonic()
        with transaction(engine) as connection:
            n = rollups.roll_up(connection, DAY)
        rolled_up = time.monotonic()
        now = day_bounds(DAY)[1] + timedelta(hours=2)
        terms = monitor_drift.Terms(10_000, home / "reports", 30, now)
        checks = monitor_drift.check(engine, DAY, version, terms)
        with transaction(engine) as connection:
            drift.write(connection, DAY, "v1", checks)
        done = time.monotonic()
    with transaction(engine) as connection:
        samples.of_day(connection, DAY, version, rows=2_500)
    drawn_again = time.monotonic()
    overall = [each for each in checks if each.label is None]
    return {
        "predictions": n,
        "roll_up_s": round(rolled_up - begun, 1),
        "check_s": round(done - rolled_up, 1),
        "one_draw_s": round(drawn_again - done, 1),
        "total_s": round(done - begun, 1),
        "processor_s": round(peak.processor_s, 1),
        "peak_bytes": peak.parts,
        "reference": overall[0].reference,
        "sampled": overall[0].n,
        "complaints": sorted({each.detail for each in overall if "Evidently" in each.detail}),
        "drifted": [each.column for each in overall if each.verdict == "drift"],
        "classes_checked": len({each.label for each in checks} - {None}),
        "classes_drifted": len(monitor_drift.drifted_classes(checks)),
    }


def _peers(
    engine: Engine, version: Version, home: Path, asked: argparse.Namespace
) -> list[dict[str, Any]]:
    """Let the peers check the first so many rows of the day, each until it fails once."""
    found: list[dict[str, Any]] = []
    frames = home / "frames"
    frames.mkdir()
    read = profile.read(Path(version.uri), files.read_manifest(Path(version.uri)))
    np.savez(frames / "reference.npz", **read.columns, label=read.predicted)
    failed: set[str] = set()
    for n in (size for size in asked.peers if size <= asked.rows):
        np.savez(frames / "day.npz", **_export(engine, n))
        for name, (word, python) in PEERS.items():
            if name not in failed:
                found.append({"peer": name, "rows": n} | _ask_peer(word, python, frames, asked))
                failed |= {name} if "failed" in found[-1] else set()
                sys.stderr.write(f"{found[-1]}\n")
    return found


def _export(engine: Engine, n: int) -> dict[str, np.ndarray]:
    numbers = [f"(descriptors->>'{name}')" for name in COLUMNS[:6]]
    wanted = ", ".join([*numbers, *COLUMNS[6:], "substr(label, 7)"])
    rows = f"SELECT {wanted} FROM predictions WHERE at >= '{DAY}' LIMIT {n}"  # noqa: S608
    table = np.empty((n, len(COLUMNS) + 1), dtype=np.float32)
    done, rest = 0, b""
    with (
        _raw(engine) as connection,
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({rows}) TO STDOUT") as copy,
    ):
        for block in copy:
            whole, _, rest = (rest + bytes(block)).rpartition(b"\n")
            if whole:
                part = np.array(whole.replace(b"\n", b"\t").split(b"\t"), dtype=np.float32)
                part = part.reshape(-1, table.shape[1])
                table[done : done + len(part)] = part
                done += len(part)
    columns = {name: table[:done, place] for place, name in enumerate(COLUMNS)}
    return columns | {"label": table[:done, -1].astype(np.int16)}


def _ask_peer(word: str, python: Path, frames: Path, asked: argparse.Namespace) -> dict[str, Any]:
    script = ROOT / "tests/bench/monitor_peers.py"
    command = [str(python), str(script), word, str(frames), str(asked.peer_bytes)]
    environment = {"PATH": os.environ["PATH"], "DO_NOT_TRACK": "1", "HOME": str(frames)}
    environment |= {"NML_DISABLE_USAGE_LOGGING": "1", "OPENBLAS_NUM_THREADS": "2"}
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, timeout=asked.peer_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {asked.peer_s:.0f} s"}
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        return {"failed": said[-1][:200] if said else f"exit {ended.returncode}"}
    return json.loads(ended.stdout.decode().strip().splitlines()[-1])


if __name__ == "__main__":
    main()
