"""What a challenger in the shadow costs those who ask the champion: two services in one run.

Run it with: python -m tests.bench.shadow [--rounds 6] [--requests 100]

Both serve the same version, a graph of some twenty milliseconds, in a process of their own. One has
no shadow, the other lets a challenger answer everything (a share of 1, ten times the default). They
are asked in turns, so that whatever else the machine does meets both alike. The challenger takes
the lowest priority there is, so a machine that is busy with other things flatters it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sqlalchemy import Engine

from core.bundle import files
from core.store import challengers, database, jobs
from core.store.database import transaction
from tests.faults import own_postgres, program
from tests.pool import admit
from tests.serving import jpeg_of
from tests.tiny import REGIONS, forge, tiny_bundle, tiny_model

CALLERS = (1, 2, 8)
_WIDTH, _LAYERS = 1024, 40
_KNOBS = {"engine": "onnxruntime-fp32", "trial_s": 0.1}
_REST_S = 1.5  # in which the challenger comes to the end of its buffer


def slow_bundle(parent: Path, version: str, *, seed: int) -> Path:
    """Write a tiny bundle whose graph takes its time, and whose answers are as they were."""
    model = tiny_model(seed=seed)
    rng = np.random.default_rng(0)
    shapes = {"wide": (REGIONS * REGIONS * 3, _WIDTH), "again": (_WIDTH, _WIDTH)}
    for name, shape in shapes.items():
        weights = rng.normal(0, _WIDTH**-0.5, shape).astype("f4")
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    layers = [helper.make_node("MatMul", ["features", "wide"], ["h0"])]
    for i in range(_LAYERS):
        layers.append(helper.make_node("MatMul", [f"h{i}", "again"], [f"m{i}"]))
        layers.append(helper.make_node("Tanh", [f"m{i}"], [f"h{i + 1}"]))
    layers.append(helper.make_node("ReduceMean", [f"h{_LAYERS}"], ["mean"], axes=[1], keepdims=1))
    layers.append(helper.make_node("Mul", ["mean", "nothing"], ["zero"]))
    layers.append(helper.make_node("Add", ["hues", "zero"], ["slowed"]))
    _insert(model, layers, after="hues", instead="slowed")
    folder = tiny_bundle(parent, version=version, seed=seed)
    return forge(folder, {files.MODEL: model.SerializeToString()})


def _insert(model: onnx.ModelProto, layers: list[onnx.NodeProto], *, after: str, instead: str):
    nodes = list(model.graph.node)
    place = next(i for i, node in enumerate(nodes) if after in node.output) + 1
    for node in nodes[place:]:
        node.input[:] = [instead if name == after else name for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], *layers, *nodes[place:]])


def ask(address: str, *, callers: int, requests: int) -> tuple[NDArray[np.float64], float]:
    """Return the seconds of each request, and requests a second of all callers together."""

    def caller(_: int) -> list[float]:
        taken: list[float] = []
        with httpx.Client(base_url=address, timeout=60) as client:
            for i in range(-(-requests // callers)):
                body = jpeg_of("Dog", seed=i)
                begun = time.perf_counter()
                client.post("/v1/predict", content=body).raise_for_status()
                taken.append(time.perf_counter() - begun)
        return taken

    begun = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        taken = np.concatenate([np.array(each) for each in pool.map(caller, range(callers))])
    return taken, len(taken) / (time.perf_counter() - begun)


def _world(engine: Engine, home: Path) -> None:
    """Let v1 serve, and v2 wait for gate images."""
    now = datetime.now(UTC)
    admit(engine, slow_bundle(home / "bundles", "v1", seed=0), promoted_at=now)
    admit(engine, slow_bundle(home / "bundles", "v2", seed=1), promoted_at=None)
    with transaction(engine) as connection:
        asked = {"labels": ["Dog"], "reason": "bench", "requested_by": "bench", "now": now}
        jobs.enqueue(connection, **asked)
        job = jobs.claim_oldest(connection, worker="w", now=now, lease_s=60, max_attempts=3)
        assert job is not None
        ending = {"status": "more images", "result": {"champion": "v1"}, "challenger": "v2"}
        jobs.finish(connection, job, now=now, **ending)


def _row(callers: int, turns: list[tuple[NDArray[np.float64], float]], scored: int) -> str:
    without, beside = (np.concatenate([taken for taken, _ in turns[i::2]]) for i in (0, 1))
    pace = [float(np.median([speed for _, speed in turns[i::2]])) for i in (0, 1)]
    p50, p99 = (np.quantile(beside, q) / np.quantile(without, q) for q in (0.5, 0.99))
    taken_ms = 1000 * np.median(without)
    return (
        f"| {callers} | {taken_ms:.1f} ms | {p50:.2f} | {p99:.2f} | {pace[1] / pace[0]:.2f} | "
        f"{scored} of {len(beside)} |"
    )


def measure(home: Path, url: str, *, rounds: int, requests: int) -> list[str]:
    """Return the table, line by line."""
    engine = database.create_engine(url)
    _world(engine, home)
    lines = ["| callers | median without | p50 | p99 | requests/s | scored |", "|" + "---|" * 6]
    with (
        program(url, home / "a", shadow_share=0, **_KNOBS) as (_, plain),
        program(url, home / "b", shadow_share=1, **_KNOBS) as (_, shadowed),
    ):
        time.sleep(3 * _REST_S)  # the challenger is loaded
        for callers in CALLERS:
            before = _scored(engine)
            turns: list[tuple[NDArray[np.float64], float]] = []
            for _ in range(rounds):
                for address in (plain, shadowed):
                    turns.append(ask(address, callers=callers, requests=requests))
                    time.sleep(_REST_S)
            lines.append(_row(callers, turns, _scored(engine) - before))
    engine.dispose()
    return lines


def _scored(engine: Engine) -> int:
    with transaction(engine) as connection:
        return challengers.count(connection, "v2", "v1")


def main() -> None:
    """Print the table: shadowed divided by plain, but for the first and last columns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=100)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp())
    try:
        with own_postgres() as (server, _):
            database.upgrade(server.url)
            found = measure(home, server.url, rounds=given.rounds, requests=given.requests)
        sys.stdout.write("\n".join(found) + "\n")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
