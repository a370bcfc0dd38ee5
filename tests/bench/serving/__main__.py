"""`python -m tests.bench.serving`: our service against others, same model, pictures and machine.

The servers stand ready side by side and take turns within each round, only one of them busy; so
whatever else the machine does meets all of them. `--quick` is a smoke run of a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from core.bundle import files
from service.model.batcher import available_cores
from tests.bench.serving import peers, report
from tests.bench.serving.peers import ROOT, Running
from tests.bench.serving.usage import usage_of
from tests.images import photo
from tests.tiny import tiny_bundle
from weakspot.engine_speed import photograph

BENCH = ROOT / ".bench"
PICTURES = ROOT.parent / "shared/data/animals"
BACKBONE = ROOT.parent / "shared/weights/resnet-50"
PHOTOS = 64
PHOTO_SIDE, PHOTO_QUALITY = 800, 91  # about 90 KB a picture
OPEN_SHARE = 0.7  # of the server's own peak


def main() -> None:
    """Run the benchmark, print it, and write it down where asked."""
    asked = _arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weakspot-bench-")))
        folder.chmod(0o755)  # Postgres runs as another user where we are root
        photos = _photographs(folder / "photos")
        bundle = _bundle(asked, folder)
        results = _run(asked, folder, bundle, photos)
    results["goals"] = report.goals(results)
    text = report.page(results)
    if asked.write:
        report.write(asked.write, text)
    if asked.results:
        asked.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
    sys.stdout.write(json.dumps(results) + "\n" if asked.json else text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="a ResNet50 bundle; else one is trained")
    parser.add_argument("--write", type=Path, help="Markdown file to put the report into")
    parser.add_argument("--results", type=Path, help="JSON file for everything measured")
    parser.add_argument("--json", action="store_true", help="everything measured on stdout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--warm", type=float, default=1.0, help="before each load")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--peers", nargs="*", default=list(peers.ENVIRONMENTS))
    parser.add_argument("--quick", action="store_true", help="a smoke run, no environments made")
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.seconds, asked.warm = 1, 1.0, 0.5
        asked.connections, asked.peers = [1, 8], ["plain"]
    return asked


def _run(asked: argparse.Namespace, folder: Path, bundle: Path, photos: Path) -> dict[str, Any]:
    cores = available_cores()
    home = folder / "home"
    home.mkdir(mode=0o755)
    peers.prepare_home(home, bundle)
    with ExitStack() as stack:
        servers = {"ours": stack.enter_context(peers.ours(home, bundle))}
        engine = peers.engine_of(servers["ours"])
        servers |= _start_peers(asked, stack, bundle, cores, engine)
        http = stack.enter_context(peers.http_alone(bundle))
        rounds = [
            _round(asked, number, servers, http, _Parts(bundle, engine, photos, cores))
            for number in range(asked.rounds)
        ]
    answered = sum(
        load["all_answers"] for each in rounds for load in each["servers"]["ours"].values()
    )
    manifest = files.read_manifest(bundle)
    sizes = [path.stat().st_size for path in photos.iterdir()]
    about = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": "python -m tests.bench.serving " + shlex.join(_public(sys.argv[1:])),
        "architecture": Path(manifest.architecture).name,
        "input": f"{manifest.recipe.height} x {manifest.recipe.width}",
        "engine": engine,
        "photos": len(sizes),
        "photo_kb": sum(sizes) / len(sizes) / 1000,
        "seconds": asked.seconds,
    }
    return {
        "about": about,
        "machine": report.machine(),
        "cores": cores,
        "names": {key: running.name for key, running in servers.items()},
        "environments": {name: peers.ENVIRONMENTS[name] for name in asked.peers},
        "loads": [*(f"closed {n}" for n in asked.connections), "open"],
        "most": f"closed {max(asked.connections)}",
        "rounds": rounds,
        "answered": answered,
        "logged": peers.count_logged(home),
    }


def _start_peers(
    asked: argparse.Namespace, stack: ExitStack, bundle: Path, cores: int, engine: str
) -> dict[str, Running]:
    if not asked.quick:
        peers.install(BENCH, asked.peers)
    pythons = {name: BENCH / name / "bin/python" for name in peers.ENVIRONMENTS}
    if asked.quick:
        pythons = dict.fromkeys(pythons, Path(sys.executable))
    # The workers compute as we do; where we are on onnxruntime, in float32.
    precision = engine.rpartition("-")[2].replace("fp32", "f32")
    started = {
        "plain": lambda: peers.plain(pythons["plain"], bundle),
        "litserve": lambda: peers.litserve(pythons["litserve"], bundle, cores),
        "workers": lambda: peers.workers(pythons["workers"], bundle, cores, precision),
    }
    return {name: stack.enter_context(started[name]()) for name in asked.peers}


class _Parts:
    """Measures the parts of an answer, each alone."""

    def __init__(self, bundle: Path, engine: str, photos: Path, cores: int) -> None:
        self.photos, self._cores = photos, cores
        self._words = ["--bundle", str(bundle), "--engine", engine, "--photos", str(photos)]

    def measure(self, seconds: float, http: dict[str, Any], client_ms: float) -> dict[str, float]:
        """Return each part's rate and cost, and the ceiling that they make together."""
        words = [sys.executable, "-m", "tests.bench.serving.ceiling", *self._words]
        found = _json_of([*words, "--seconds", str(seconds)])
        model, decode = (1000 * self._cores / found[part] for part in ("model", "decode"))
        cost = model + decode + http["server_ms"]
        return {
            "model": found["model"],
            "decode": found["decode"],
            "model_ms": model,
            "decode_ms": decode,
            "http_ms": http["server_ms"],
            "images_per_s": 1000 * self._cores / cost,
            "with_client": 1000 * self._cores / (cost + client_ms),
        }


def _round(
    asked: argparse.Namespace,
    number: int,
    servers: dict[str, Running],
    http: Running,
    parts: _Parts,
) -> dict[str, Any]:
    names = list(servers)
    turned = names[number % len(names) :] + names[: number % len(names)]
    found: dict[str, dict[str, Any]] = {}
    for name in turned:
        loads: dict[str, Any] = {}
        for connections in asked.connections:
            words = ["--connections", str(connections)]
            loads[f"closed {connections}"] = _load(asked, servers[name], parts.photos, words)
        peak = loads[f"closed {max(asked.connections)}"]["images_per_s"]
        rate = max(1.0, OPEN_SHARE * peak)
        words = ["--rate", f"{rate:.2f}", "--seed", str(number)]
        loads["open"] = _load(asked, servers[name], parts.photos, words) | {"rate": rate}
        found[name] = loads
        sys.stderr.write(f"round {number + 1}, {servers[name].name}: {peak:.1f} images/s\n")
    most = max(asked.connections)
    alone = _load(asked, http, parts.photos, ["--connections", str(most)])
    client_ms = found["ours"][f"closed {most}"]["client_ms"]
    ceiling = parts.measure(min(asked.seconds, 3.0), alone, client_ms)
    sys.stderr.write(f"round {number + 1}, ceiling: {ceiling['images_per_s']:.1f} images/s\n")
    return {"servers": found, "ceiling": ceiling}


def _load(
    asked: argparse.Namespace, server: Running, photos: Path, words: list[str]
) -> dict[str, Any]:
    """Put one load on one server; figures of the load generator and of the server."""
    command = [sys.executable, "-m", "tests.bench.serving.load", "--photos", str(photos)]
    command += ["--port", str(server.port), "--path", server.path, "--body", server.body]
    command += ["--warm", str(asked.warm), "--seconds", str(asked.seconds), *words]
    before = usage_of(server.pid)
    found = _json_of(command)
    after = usage_of(server.pid)
    if not found["all_answers"]:
        raise RuntimeError(f"{server.name} gave no answer at all: statuses {found['statuses']}")
    answers = found["all_answers"]
    cpu = after.cpu_s - before.cpu_s
    return (
        found
        | asdict(after)
        | {
            "cores_used": cpu / (asked.warm + asked.seconds),
            "server_ms": 1000 * cpu / answers,
            "client_ms": 1000 * found["client_cpu_s"] / answers,
        }
    )


def _json_of(command: list[str]) -> dict[str, Any]:
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(ended.stdout))


def _photographs(folder: Path) -> Path:
    """Fill a folder with photographs of about 90 KB: real ones where there are some, else drawn.

    The real ones are smaller than what a camera sends, so they are enlarged to its size.
    """
    folder.mkdir()
    listed = sorted((PICTURES / "test").rglob("*.jpg")) if PICTURES.is_dir() else []
    chosen = listed[:: max(1, len(listed) // PHOTOS)][:PHOTOS]
    for number, path in enumerate(chosen):
        with Image.open(path) as picture:
            enlarged = ImageOps.contain(picture.convert("RGB"), (PHOTO_SIDE, PHOTO_SIDE))
        enlarged.save(folder / f"{number:03}.jpg", quality=PHOTO_QUALITY)
    for number in range(0 if chosen else PHOTOS):
        drawn = photograph(photo(480, 360, seed=number))
        (folder / f"{number:03}.jpg").write_bytes(drawn)
    return folder


def _bundle(asked: argparse.Namespace, folder: Path) -> Path:
    """Return the bundle to serve: given, tiny for a smoke run, or trained once and kept."""
    if asked.bundle:
        return asked.bundle.resolve()
    if asked.quick:
        return tiny_bundle(folder / "tiny", size=32)
    home = BENCH / "home"
    made = sorted((home / "bundles").glob("v*"))
    if made:
        return made[-1]
    if not BACKBONE.is_dir() or not PICTURES.is_dir():
        raise SystemExit("give a ResNet50 bundle: --bundle var/bundles/v1")
    words = [sys.executable, "-m", "weakspot"]
    environment = {"env": {**os.environ, "WEAKSPOT_HOME": str(home)}}
    subprocess.run([*words, "data", "import", PICTURES], check=True, stdout=2, **environment)
    training = ["train", "--backbone", BACKBONE, "--freeze", "backbone"]
    training += ["--limit-per-class", "60"]
    subprocess.run([*words, *training], check=True, stdout=2, **environment)
    return max((home / "bundles").glob("v*"))


def _public(words: list[str]) -> list[str]:
    """Shorten paths of this machine to what anybody would type."""
    return [Path(word).name if word.startswith("/") else word for word in words]


if __name__ == "__main__":
    main()
