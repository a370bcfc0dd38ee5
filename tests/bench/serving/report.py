"""The benchmark as a page: medians, ratios within the rounds, and the goals beside them."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- serving: written by make bench -->", "<!-- serving: end -->"
_TITLE = "# Benchmarks\n\nEvery number here was measured by the command that stands beside it.\n\n"
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")
_OURS = ("fastapi", "uvicorn", "onnxruntime", "openvino", "pillow", "numpy", "psycopg")


def write(path: Path, page: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put the page between its marks, leaving the rest of the file as it is."""
    begin, end = marks
    text = path.read_text(encoding="utf-8") if path.exists() else f"{_TITLE}{begin}\n{end}\n"
    if begin not in text or end not in text:
        text += f"\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    path.write_text(f"{before}{begin}\n{page}{end}{rest.partition(end)[2]}", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    facts = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = facts.get("flags", "").split()
    return {
        "processor": facts.get("model name", platform.processor()),
        "family": f"{facts.get('cpu family', '?')}/{facts.get('model', '?')}",
        "flags": [flag for flag in _FLAGS if flag in flags],
        "amx": any(flag.startswith("amx") for flag in flags),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _OURS},
    }


def median(values: list[float | None]) -> float:
    """Return the median of the values that are there; NaN of none."""
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else float("nan")


def goals(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was asked of the service, what was found, and whether it is met."""
    rounds, most = results["rounds"], results["most"]

    def ratio(peer: str, load: str, figure: str) -> float | None:
        found = [
            each["servers"]["ours"][load][figure] / each["servers"][peer][load][figure]
            for each in rounds
            if peer in each["servers"] and each["servers"][peer].get(load, {}).get(figure)
        ]
        return statistics.median(found) if found else None

    ceiling = statistics.median(
        each["servers"]["ours"][most]["images_per_s"] / each["ceiling"]["images_per_s"]
        for each in rounds
    )
    memory = max(each["servers"]["ours"][most]["rss_mb"] for each in rounds)
    errors = sum(load["errors"] for each in rounds for load in each["servers"]["ours"].values())
    listed: list[tuple[str, float | None, float, bool]] = [
        (f"throughput against plain, {most}", ratio("plain", most, "images_per_s"), 4.5, True),
        (f"... LitServe, {most}", ratio("litserve", most, "images_per_s"), 4.0, True),
        (f"... the workers, {most}", ratio("workers", most, "images_per_s"), 1.3, True),
        ("p50 against LitServe, closed 1", ratio("litserve", "closed 1", "p50_ms"), 0.5, False),
        (f"share of the ceiling, {most}", ceiling, 0.85, True),
        ("resident memory, MB, Postgres apart", memory, 700, False),
        ("errors", errors, 0, False),
        ("answers not in the log", results["answered"] - results["logged"], 0, False),
    ]
    return [
        {"goal": name, "found": found, "limit": limit, "at_least": least, "met": _met(*rest)}
        for name, found, limit, least in listed
        for rest in [(found, limit, least)]
    ]


def page(results: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    about, facts = results["about"], results["machine"]
    lines = [
        "## Serving",
        "",
        f"{about['date']}, by `{about['command']}`: {facts['processor']} (family/model "
        f"{facts['family']}), {results['cores']} cores, AMX {'yes' if facts['amx'] else 'no'} "
        f"({', '.join(facts['flags'])}), Linux {facts['kernel']}.",
        f"Model: {about['architecture']}, {about['input']}; our engine `{about['engine']}`. "
        f"{about['photos']} photographs of {about['photo_kb']:.0f} KB on average; loopback; the "
        f"servers took turns in {len(results['rounds'])} rounds, {about['seconds']} s a load. "
        "Figures are medians of the rounds; the load generator runs on the same cores.",
        "",
        "| goal | asked | found | |",
        "|---|---|---|---|",
    ]
    for goal in results["goals"]:
        asked = f"{'≥' if goal['at_least'] else '≤'} {goal['limit']:g}"
        found = "not measured" if goal["found"] is None else f"{goal['found']:.3g}"
        met = {True: "met", False: "**not met**", None: ""}[goal["met"]]
        lines.append(f"| {goal['goal']} | {asked} | {found} | {met} |")
    lines += ["", *_servers(results), "", *_ceiling(results), "", *_versions(results), ""]
    return "\n".join(lines)


def _servers(results: dict[str, Any]) -> list[str]:
    lines = [
        "| server | load | images/s | p50 ms | p95 ms | p99 ms | errors | RSS MB | PSS MB "
        "| cores |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, name in results["names"].items():
        for load in results["loads"]:
            found = [each["servers"][key][load] for each in results["rounds"]]
            middle = _middle(found)
            errors = sum(each["errors"] for each in found)
            shown = load + (f" ({middle('rate'):.0f}/s)" if load == "open" else "")
            lines.append(
                f"| {name} | {shown} | {middle('images_per_s'):.1f} | {middle('p50_ms'):.1f} | "
                f"{middle('p95_ms'):.1f} | {middle('p99_ms'):.1f} | {errors} | "
                f"{middle('rss_mb'):.0f} | {middle('pss_mb'):.0f} | {middle('cores_used'):.2f} |"
            )
    postgres = _middle([each["servers"]["ours"][results["most"]] for each in results["rounds"]])
    return [
        *lines,
        "",
        "closed N: N connections, each asks again when it was answered. open: Poisson arrivals at "
        "70 % of the server's own rate at the most connections of that round, timed from arrival. "
        "Weakspot's Postgres takes another "
        f"{postgres('postgres_mb'):.0f} MB (PSS); cores include it.",
    ]


def _ceiling(results: dict[str, Any]) -> list[str]:
    middle = _middle([each["ceiling"] for each in results["rounds"]])
    client = _middle([each["servers"]["ours"][results["most"]] for each in results["rounds"]])
    return [
        f"The ceiling, each part alone in the same rounds: model {middle('model'):.0f} images/s "
        f"({middle('model_ms'):.2f} ms of a core), decode and resize {middle('decode'):.0f} "
        f"({middle('decode_ms'):.2f} ms), HTTP {middle('http_ms'):.2f} ms; "
        f"together {middle('images_per_s'):.0f} images/s, and "
        f"{middle('with_client'):.0f} with the load generator's own "
        f"{client('client_ms'):.2f} ms an image taken off.",
    ]


def _versions(results: dict[str, Any]) -> list[str]:
    own = ", ".join(f"{name} {version}" for name, version in results["machine"]["versions"].items())
    lines = [f"Versions: Python {results['machine']['python']}; ours {own}."]
    for name, wanted in results["environments"].items():
        lines.append(f"{name.capitalize()}: {', '.join(wanted)}.")
    return ["  \n".join(lines)]


def _middle(found: list[dict[str, Any]]) -> Callable[[str], float]:
    return lambda figure: median([each.get(figure) for each in found])


def _met(found: float | None, limit: float, at_least: bool) -> bool | None:
    if found is None:
        return None
    return found >= limit if at_least else found <= limit


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
