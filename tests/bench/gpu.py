"""`python -m tests.bench.gpu --bundle DIR`: what a GPU computes, and what a service makes of it.

It needs a bundle and nothing else: no network, no pictures, no peers. The raw rate is that of the
sessions alone, by batch size, over the bundle's own real images, with the largest deviation of a
logit beside it; fp16 also without CUDA graphs and with other options of the provider, to see what
each is worth. The service is measured whole, over loopback, log on, with and without processes in
front (`--workers`); its load comes from several processes on the same cores. What cannot be
measured is said with its reason. `--device cpu` proves that the script runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from core.bundle import cuda, files, sentinels
from core.bundle.bound_session import BoundSession, Place
from core.bundle.half_precision import to_half
from core.bundle.sentinels import Sentinels
from core.bundle.sessions import Threads
from core.errors import WeakspotError
from weakspot.engine_speed import photograph, runs_per_s

MARKS = ("<!-- gpu: written by tests.bench.gpu -->", "<!-- gpu: end -->")
MLPERF = 88_526  # images/s of one H100, ResNet50, INT8, offline
_OUTPUTS = ("probabilities", "logits", "embedding")
_PHOTOS = 32
_CPU = Place("cpu", ("CPUExecutionProvider",))


@dataclass(frozen=True)
class Variant:
    """A way to compute the graph."""

    name: str
    half: bool
    place: Callable[[], Place]


def main() -> None:
    """Measure, print the page, and write it down where asked."""
    asked = _arguments()
    if asked.device == "cuda":
        _require_gpu()
    results = {
        "about": _about(asked),
        "raw": list(_measure_raw(asked)),
        "service": _measure_services(asked) if asked.workers else [],
    }
    text = page(results)
    if asked.write:
        from tests.bench.serving import report

        report.write(asked.write, text, MARKS)
    if asked.results:
        asked.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
    sys.stdout.write(json.dumps(results) + "\n" if asked.json else text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each rate")
    parser.add_argument(
        "--workers", type=int, nargs="*", default=[0, 4, 8], help="none: no service"
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--generators", type=int, default=max(1, (os.cpu_count() or 1) // 4))
    parser.add_argument("--write", type=Path, help="Markdown file to put the section into")
    parser.add_argument("--results", type=Path, help="JSON file for everything measured")
    parser.add_argument("--json", action="store_true", help="everything measured on stdout")
    return parser.parse_args()


def _about(asked: argparse.Namespace) -> dict[str, Any]:
    manifest = files.read_manifest(asked.bundle)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": asked.device,
        "gpu": _gpu() if asked.device == "cuda" else None,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "onnxruntime": onnxruntime.__version__,
        "architecture": Path(manifest.architecture).name,
        "input": f"{manifest.recipe.height} x {manifest.recipe.width}",
        "seconds": asked.seconds,
        "generators": asked.generators,
    }


def _require_gpu() -> None:
    """End with the reason where there is no GPU to measure."""
    try:
        cuda.load_libraries(onnxruntime)
        cuda.explain(onnxruntime)
    except WeakspotError as error:
        raise SystemExit(str(error)) from error


def _gpu() -> str:
    """Return the GPU's name, memory and driver."""
    words = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown ({error})"
    name, memory, driver = (each.strip() for each in said.splitlines()[0].split(","))
    return f"{name}, {memory}, driver {driver}"


def _variants(device: str) -> list[Variant]:
    if device == "cpu":
        return [
            Variant("fp32, bound memory, CPU", False, lambda: _CPU),
            Variant("fp16, bound memory, CPU", True, lambda: _CPU),
        ]

    def on_gpu(name: str, half: bool, **options: Any) -> Variant:
        return Variant(name, half, partial(cuda.place, half=half, **{"records": True, **options}))

    return [
        on_gpu("fp32", half=False),
        on_gpu("fp16", half=True),
        on_gpu("fp16, no CUDA graphs", half=True, records=False),
        on_gpu("fp16, channels outermost", half=True, changed={"prefer_nhwc": "0"}),
        on_gpu("fp16, bias fused", half=True, changed={"fuse_conv_bias": "1"}),
    ]


def _measure_raw(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield one row for each variant and number of callers: rates, or why there are none."""
    manifest = files.verify(asked.bundle)
    model = files.read_member(asked.bundle, manifest, files.MODEL)
    real = sentinels.read(asked.bundle, manifest)
    for variant in _variants(asked.device):
        for callers in asked.callers:
            row = {"name": variant.name, "callers": callers}
            try:
                graph = to_half(model, asked.bundle / files.MODEL) if variant.half else model
                begun = time.monotonic()
                shares = Threads(1, callers, tuple(asked.batches))
                session = BoundSession(onnxruntime, graph, variant.place(), shares)
                row["open_s"] = time.monotonic() - begun
                yield row | _rates(session, real, callers, asked)
            except Exception as error:  # the runtimes' errors have no common base
                yield row | {"error": str(error).splitlines()[0][:300]}
            _say(f"{variant.name}, {callers} callers: done")


def _rates(
    session: BoundSession, real: Sentinels, callers: int, asked: argparse.Namespace
) -> dict[str, Any]:
    rates: dict[str, float] = {}
    deviation, right = 0.0, True
    for size in asked.batches:
        rows = np.arange(size) % len(real.images)
        batch = np.ascontiguousarray(real.images[rows])
        _, logits, _ = session.run(_OUTPUTS, {"image": batch})
        deviation = max(deviation, float(np.abs(logits - real.logits[rows]).max()))
        right &= bool((logits.argmax(axis=1) == real.logits[rows].argmax(axis=1)).all())
        ask = partial(session.run, _OUTPUTS, {"image": batch})
        rates[str(size)] = size * runs_per_s(ask, callers, asked.seconds)
    return {"images_per_s": rates, "deviation": deviation, "top1_equal": right}


def _measure_services(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row for each number of workers and of connections."""
    try:
        from tests.bench.serving import peers
    except ImportError as error:
        return [{"workers": None, "error": f"not installed: {error}"}]
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="weakspot-gpu-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres runs as another user where we are root
        photos = _photographs(asked.bundle, folder / "photos")
        for workers in asked.workers:
            home = folder / f"home-{workers}"
            home.mkdir(mode=0o755)
            try:
                peers.prepare_home(home, asked.bundle)
                found += _measure_service(asked, home, photos, workers)
            except (WeakspotError, RuntimeError, OSError, subprocess.SubprocessError) as error:
                found.append({"workers": workers, "error": str(error).splitlines()[0][:300]})
            _say(f"service with {workers} workers: done")
    return found


def _measure_service(
    asked: argparse.Namespace, home: Path, photos: Path, workers: int
) -> Iterator[dict[str, Any]]:
    from tests.bench.serving import peers

    extra = {"WEAKSPOT_SERVICE_DEVICE": asked.device, "WEAKSPOT_SERVICE_MAX_QUEUE": "2048"}
    options = ["--workers", str(workers)] if workers else []
    begun = time.monotonic()
    with peers.ours(home, asked.bundle, options, extra) as running:
        target = ["--port", str(running.port), "--path", running.path, "--photos", str(photos)]
        _load([*target, "--connections", "1", "--warm", "0", "--seconds", "0.1"], 1)
        first_s = time.monotonic() - begun - 0.1
        engine = peers.engine_of(running)
        for connections in asked.connections:
            generators = min(asked.generators, connections)
            words = [*target, "--connections", str(connections // generators)]
            found = _load([*words, "--warm", "1", "--seconds", str(asked.seconds)], generators)
            yield {
                "workers": workers,
                "engine": engine,
                "first_answer_s": first_s,
                "connections": connections // generators * generators,
                "generators": generators,
                "images_per_s": sum(each["images_per_s"] for each in found),
                "p50_ms": statistics.median(each["p50_ms"] or float("nan") for each in found),
                "p99_ms": max(each["p99_ms"] or float("nan") for each in found),
                "errors": sum(each["errors"] for each in found),
            }


def _load(words: list[str], generators: int) -> list[dict[str, Any]]:
    """Let so many load generators work at once; return what each found."""
    command = [sys.executable, "-m", "tests.bench.serving.load", *words]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(generators)]
    said = [each.communicate()[0] for each in running]
    return [json.loads(each) for each in said]


def _photographs(bundle: Path, folder: Path) -> Path:
    """Make photographs of about 90 KB of the bundle's own images."""
    folder.mkdir()
    images = sentinels.read(bundle, files.verify(bundle)).images
    for number in range(_PHOTOS):
        (folder / f"{number:03}.jpg").write_bytes(photograph(images[number % len(images)]))
    return folder


def page(results: dict[str, Any]) -> str:
    """Return the section as Markdown."""
    about = results["about"]
    where = about["gpu"] or "**the CPU: this shows that the script runs, and nothing of a GPU**"
    return "\n".join(
        [
            "## On a GPU",
            "",
            f"{about['date']}, by `python -m tests.bench.gpu`: {where}; {about['cores']} CPU cores "
            f"({about['processor']}); onnxruntime {about['onnxruntime']}. Model: "
            f"{about['architecture']}, {about['input']}; {about['seconds']:g} s a figure.",
            "",
            *_raw_table(results["raw"], on_gpu=about["device"] == "cuda"),
            "",
            *_service_table(results["service"], about["generators"]),
            "",
        ]
    )


def _raw_table(rows: list[dict[str, Any]], *, on_gpu: bool) -> list[str]:
    measured = [row for row in rows if "error" not in row]
    sizes = list(measured[0]["images_per_s"]) if measured else []
    lines = [
        f"| engine, images/s | callers | {' | '.join(f'batch {size}' for size in sizes)} "
        "| logits within | top-1 | opened in |",
        f"|---|---|{'---|' * len(sizes)}---|---|---|",
    ]
    for row in measured:
        rates = " | ".join(f"{row['images_per_s'][size]:,.0f}" for size in sizes)
        same = "all equal" if row["top1_equal"] else "**not all equal**"
        lines.append(
            f"| {row['name']} | {row['callers']} | {rates} | {row['deviation']:.1g} | {same} "
            f"| {row['open_s']:.1f} s |"
        )
    if not measured:
        lines = ["No raw rate was measured."]
    elif on_gpu:
        best = max(max(row["images_per_s"].values()) for row in measured)
        lines += [
            "",
            "Pictures come from the host's memory and the answers go back there. The most found, "
            f"{best:,.0f} images/s, is {best / MLPERF:.1%} of MLPerf's {MLPERF:,} for one H100 "
            "(ResNet50, offline, INT8).",
        ]
    failed = [row for row in rows if "error" in row]
    return lines + [f"\n{row['name']}, {row['callers']} callers: {row['error']}" for row in failed]


def _service_table(rows: list[dict[str, Any]], generators: int) -> list[str]:
    if not rows:
        return ["The service was not measured."]
    lines = [
        "| service | engine | connections | images/s | p50 ms | p99 ms | errors | first answer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = f"`--workers {row['workers']}`" if row["workers"] else "one process"
        if "error" in row:
            lines.append(f"| {name} | not measured: {row['error']} | | | | | | |")
            continue
        lines.append(
            f"| {name} | {row['engine']} | {row['connections']} | {row['images_per_s']:,.0f} "
            f"| {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {row['errors']} "
            f"| {row['first_answer_s']:.1f} s |"
        )
    return [
        *lines,
        "",
        f"Photographs of about 90 KB over loopback, log on, from up to {generators} load "
        "generators on the same cores. The first answer is timed from the start of the command, "
        "database and choice of the engine included.",
    ]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
