"""`weakspot bench`: how many images a second this machine can answer, without HTTP around it."""

import platform
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from core.bundle import engines, files, variants
from service.model.batcher import available_cores
from weakspot import bundle_choice, front
from weakspot.engine_speed import (
    BATCH_SIZES,
    GPU_BATCH_SIZES,
    Failure,
    Plan,
    Speed,
    measure_decoding,
    measure_engines,
)


def bench(
    version: Annotated[str | None, typer.Option(help="Version; else the champion.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle's folder instead.")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long each speed is timed.")] = 1.0,
    engine: Annotated[str, typer.Option(help="Only this engine.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Time each engine by batch size and threads, and the decoding of photographs."""
    folder = bundle_choice.find(version, bundle)
    place = bundle_choice.known_device(device)
    one = bundle_choice.known_engine(engine)
    quantised = variants.kept(files.read_manifest(folder), variants.INT8)
    names = (one,) if one else engines.candidates(place, quantised=quantised)
    cores = _thread_counts(available_cores())
    callers = _thread_counts(engines.suited(one, place, cores=available_cores()).callers)
    sizes = GPU_BATCH_SIZES if engines.will_use_gpu(one, place) else BATCH_SIZES
    plan = Plan(place, names, callers, sizes, seconds)
    found: list[Speed] = []
    failures: list[Failure] = []
    total = len(names) * len(callers) * len(sizes)
    with front.progress(as_json) as on_progress:
        for each in measure_engines(folder, plan):
            if isinstance(each, Failure):
                failures.append(each)
            else:
                found.append(each)
            on_progress("timing", len(found), total)
    decoding = list(measure_decoding(folder, cores, seconds))
    machine = {"processor": _processor(), "cores": available_cores()}
    front.emit(
        {
            "version": files.read_manifest(folder).version,
            "machine": machine,
            "engines": found,
            "decoding": decoding,
            "not_here": failures,
        },
        as_json=as_json,
        text=_text(found, decoding, failures, f"{machine['processor']}, {machine['cores']} cores"),
    )


def _thread_counts(cores: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... and the number of cores."""
    powers = [1 << i for i in range(cores.bit_length()) if 1 << i < cores]
    return (*powers, cores)


def _text(
    found: list[Speed], decoding: list[Speed], failures: list[Failure], title: str
) -> RenderableType:
    table = Table("images/s", "threads", title=title)
    sizes = list(dict.fromkeys(each.batch_size for each in found))
    for size in sizes:
        table.add_column(f"batch {size}", justify="right")
    for name, threads in dict.fromkeys((each.engine, each.threads) for each in found):
        rates = {
            each.batch_size: each.images_per_s
            for each in found
            if (each.engine, each.threads) == (name, threads)
        }
        cells = (f"{rates[size]:.1f}" if size in rates else "" for size in sizes)
        table.add_row(name, str(threads), *cells)
    for each in decoding:
        table.add_row(each.engine, str(each.threads), f"{each.images_per_s:.1f}")
    return Group(table, *(f"{each.engine}: {front.visible(each.reason)}" for each in failures))


def _processor() -> str:
    """Return the processor's name, as the kernel knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
