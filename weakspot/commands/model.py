"""`weakspot model`: the registered versions, and which of them serves."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.bundle import files
from core.errors import BundleError, UsageError
from core.store import (
    challengers,
    images,
    job_rows,
    probations,
    promotions,
    registry,
    sentinel_checks,
)
from core.store.database import transaction
from weakspot import front, training_text
from weakspot.commands import challenger_text, probation_text

model_app = typer.Typer(help="The registered versions, and which of them serves.")

# Predictions that `show --json` lists, of those on which a challenger differs.
_DIFFERING = 500
# Attempts to load a version that are shown to people, the last ones.
_SHOWN_LOADS = 5

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Over = Annotated[
    str | None, typer.Option(help="The champion that is to go; refused when another one serves.")
]


@model_app.command("list")
def list_versions(as_json: Json = False) -> None:
    """List every version, the newest first."""
    with front.open_store() as engine, transaction(engine) as connection:
        champion = registry.champion(connection)
        rows = [
            _summary(
                version, is_champion=champion is not None and champion.version == version.version
            )
            for version in registry.versions(connection)
        ]
    lines = [
        f"{'*' if row['champion'] else ' '} {row['version']:6} {row['created_at'][:16]}  "
        f"test {_percent(row['top1'])}  parent {row['parent'] or '-'}"
        for row in rows
    ]
    text = "\n".join(lines) or "no version is registered yet; run: weakspot train"
    front.emit({"versions": rows}, as_json=as_json, text=text)


@model_app.command()
def show(version: str, as_json: Json = False) -> None:
    """Show one version: lineage, metrics, who has loaded it, how it answers beside the champion."""
    with front.open_store() as engine, transaction(engine) as connection:
        found = registry.get(connection, version)
        champion = registry.champion(connection)
        loads = registry.loads(connection, version)
        watched = probations.of_version(connection, version)
        scored = challengers.beside(connection, version)
        differing = challengers.differing(connection, version, limit=_DIFFERING)
    summary = _summary(found, is_champion=champion is not None and champion.version == version)
    details: dict[str, Any] = {
        **summary,
        "name": found.name,
        "uri": found.uri,
        "digest": found.digest,
        "labels": found.labels,
        "snapshot": found.snapshot,
        "snapshot_at": found.snapshot_at.isoformat(),
        "metrics": found.metrics,
        "config": found.config,
        "code_version": found.code_version,
        "loads": [
            {
                "instance": load.instance,
                "at": load.at.isoformat(),
                "ok": load.ok,
                "detail": load.detail,
            }
            for load in loads
        ],
        "probations": [front.jsonable(each) for each in watched],
        "shadow": [front.jsonable(each) | {"share": each.share} for each in scored],
        "differing": [front.jsonable(each) for each in differing],
    }
    recalls = found.metrics.get("test", {}).get("per_class", {})
    text = "\n".join(
        [
            f"{found.name} {version}{' (champion)' if summary['champion'] else ''}",
            f"  bundle    {found.uri}",
            f"  digest    {found.digest}",
            f"  parent    {found.parent or '-'}",
            f"  code      {found.code_version}",
            f"  snapshot  {found.snapshot[:12]} of {found.snapshot_at:%Y-%m-%d %H:%M} UTC",
            f"  test      top-1 {_percent(summary['top1'])}",
            *[f"    {label:20} {_percent(recall)}" for label, recall in recalls.items()],
            *training_text.configuration(found.config),
            *probation_text.lines(watched),
            *[_attempt(load) for load in loads[-_SHOWN_LOADS:]],
            *challenger_text.lines(scored, differing),
        ]
    )
    front.emit(details, as_json=as_json, text=text)


@model_app.command()
def card(version: str, as_json: Json = False) -> None:
    """Print a version's model card: its data, figures and limits, and the gate's verdict."""
    from trainer.bundling import model_card

    with front.open_store() as engine, transaction(engine) as connection:
        found = registry.get(connection, version)
        job = job_rows.of_challenger(connection, version)
        moves = [move for move in registry.history(connection) if move.version == version]
    folder = Path(found.uri)
    written = files.read_member(folder, files.read_manifest(folder), files.CARD).decode()
    since = model_card.afterwards(job.result if job else None, moves)
    front.emit(
        {"version": version, "card": written, "since": since},
        as_json=as_json,
        text=f"{written}\n{since}",
    )


@model_app.command()
def promote(
    version: str,
    reason: Annotated[
        str | None, typer.Option(help="Why; kept with the move, and needed with --force.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even though the gate has not passed it.")
    ] = False,
    over: Over = None,
    as_json: Json = False,
) -> None:
    """Make a version the champion; the services load it within seconds.

    It must have passed the gate against the present champion, or be forced with a reason.
    """
    now = front.clock().now()
    with front.open_store() as engine:
        with transaction(engine) as connection:
            bundle = Path(registry.get(connection, version).uri)
        _verify(bundle)
        with transaction(engine) as connection:
            before = promotions.promote(
                connection, version, now=now, by=front.user(), reason=reason, force=force, over=over
            )
    front.emit(
        {"champion": version, "before": before},
        as_json=as_json,
        text=f"{version} is the champion now (before: {before or 'none'})",
    )


@model_app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; kept with the move.")] = "by hand",
    over: Over = None,
    as_json: Json = False,
) -> None:
    """Make the champion's predecessor the champion again; never one that was rolled back."""
    now = front.clock().now()
    with front.open_store() as engine, transaction(engine) as connection:
        before, after = registry.roll_back(
            connection, now=now, by=front.user(), reason=reason, over=over
        )
    front.emit(
        {"champion": after, "before": before},
        as_json=as_json,
        text=f"rolled back from {before} to {after}",
    )


@model_app.command()
def verify(
    version: Annotated[str, typer.Argument(help="The version; the champion when left out.")] = "",
    as_json: Json = False,
) -> None:
    """Check a bundle: digests, answers on its own images, and each variant against float32.

    Variants are compared on the validation images that the version was measured on, where they
    are still in the pool, and else on the bundle's own.
    """
    from trainer.bundling import variants

    with front.open_store() as engine, transaction(engine) as connection:
        found = registry.get(connection, version) if version else registry.champion(connection)
        if found is None:
            raise BundleError("there is no champion yet; run: weakspot train")
        samples = images.samples(
            connection, split="val", labels=found.labels, added_by=found.snapshot_at, trusted=True
        )
    folder = Path(found.uri)
    facts = _verify(folder)
    with front.progress(as_json) as on_progress:
        again = variants.recheck(folder, samples, on_progress) if samples else {}
    if any(not each.n for each in again.values()) or not samples:
        again = variants.recheck_on_own(folder)
    told = files.read_manifest(folder).variants
    sound = all(each.kept for each in again.values())
    lines = [f"{found.version} is whole, and answers as it did when it was exported"]
    now = {str(name): each for name, each in again.items()}
    lines += [_told(name, verdict, now.get(name)) for name, verdict in told.items()]
    front.emit(
        {
            "version": found.version,
            "ok": sound,
            **facts,
            "variants": {name: each.to_dict() for name, each in again.items()},
            "manifest": told,
        },
        as_json=as_json,
        text="\n".join(lines),
    )
    if not sound:
        raise typer.Exit(front.FAILED)


@model_app.command()
def export(
    version: Annotated[str, typer.Argument(help="The version; the champion when left out.")] = "",
    to: Annotated[Path, typer.Option(help="The folder to make.")] = Path("model"),
    also: Annotated[
        str, typer.Option(help="torchscript, safetensors, or both with a comma between.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Hand a version's model out: ONNX, and TorchScript or weights beside it, each checked."""
    from trainer.networks import handout

    forms = handout.known_forms(also)
    with front.open_store() as engine, transaction(engine) as connection:
        found = registry.get(connection, version) if version else registry.champion(connection)
    if found is None:
        raise BundleError("there is no champion yet; run: weakspot train")
    differences = handout.hand_out(Path(found.uri), to.absolute(), forms)
    names = sorted(each.name for each in to.iterdir())
    checked = [f"  {form:12} off by {off:.1e} at most" for form, off in differences.items()]
    front.emit(
        {
            "version": found.version,
            "folder": to.absolute(),
            "files": names,
            "largest_difference": differences,
        },
        as_json=as_json,
        text="\n".join([f"{found.version} is in {to}: {', '.join(names)}", *checked]),
    )


def _attempt(load: registry.Load) -> str:
    """Return one line on one attempt of a service to load the version."""
    what = f"loaded, {load.detail}" if load.ok else f"REFUSED: {load.detail}"
    return f"  {load.at:%Y-%m-%d %H:%M} {front.visible(load.instance)} {front.visible(what)}"


def _told(name: str, made: dict[str, Any], again: Any | None) -> str:
    """Return one line on a variant: what was found when it was made, and what was found now."""
    if not made["kept"]:
        return f"  {name}: not in the bundle: {made['reason']}"
    if again is None:
        return f"  {name}: its file is gone"
    now = "holds" if again.kept else "DOES NOT HOLD"
    score = "" if again.top1 is None else f", top-1 {_percent(again.top1).strip()}"
    before = "" if again.fp32_top1 is None else f" (float32 {_percent(again.fp32_top1).strip()})"
    return f"  {name}: {now} on {again.n} images{score}{before}: {again.reason}"


def _verify(folder: Path) -> dict[str, Any]:
    from core.bundle.runner import Runner

    runner = Runner.open(folder, device="cpu")
    return {"digest": runner.digest, "labels": list(runner.labels)}


@model_app.command()
def mirror(as_json: Json = False) -> None:
    """Bring MLflow up to date with the registry, as a worker does every 20 seconds."""
    from trainer.tracking.mlflow_mirror import Mirror

    uri = front.settings().mlflow_uri
    if not uri:
        raise UsageError("there is no MLflow to mirror to; set WEAKSPOT_MLFLOW_URI")
    with front.open_store() as engine:
        look = Mirror(engine, uri).look()
    told = [
        f"mirrored: {', '.join(look.mirrored) or 'nothing new'}",
        f"champion: {look.champion or 'as it was'}",
        *(f"skipped:  {version}, whose bundle cannot be read" for version in look.skipped),
    ]
    text = "a worker is at it already" if look.busy else "\n".join(told)
    front.emit(look, as_json=as_json, text=text)


@model_app.command()
def sentinels(as_json: Json = False) -> None:
    """List what the frozen images were answered, the newest day first."""
    with front.open_store() as engine, transaction(engine) as connection:
        rows = [front.jsonable(check) for check in sentinel_checks.latest(connection)]
    lines = [
        f"{row['day']}  {row['version']:6} {row['asked_by']:18} {row['verdict']:10} {row['detail']}"
        for row in rows
    ]
    text = "\n".join(lines) or "no version has been asked about its frozen images yet"
    front.emit({"checks": rows}, as_json=as_json, text=text)


@model_app.command()
def accept(version: str, as_json: Json = False) -> None:
    """Accept what a version answers now: the change of the runtime was looked at, and is harmless.

    From now on, these answers are what it has to give on that machine: to the monitor, and in
    each service that found others.
    """
    from monitor.diagnosis import sentinel_watch

    now = front.clock().now()
    with front.open_store() as engine, transaction(engine) as connection:
        check = sentinel_checks.accept(connection, version, by=front.user(), now=now)
        sentinel_watch.tell(connection, version, now=now)
    front.emit(
        front.jsonable(check),
        as_json=as_json,
        text=f"{version}: the answers of {check.day} are accepted on {check.place}",
    )


def _summary(version: registry.Version, *, is_champion: bool) -> dict[str, Any]:
    return {
        "version": version.version,
        "champion": is_champion,
        "created_at": version.created_at.isoformat(),
        "parent": version.parent,
        "top1": version.metrics.get("test", {}).get("top1"),
    }


def _percent(share: float | None) -> str:
    return "    -" if share is None else f"{100 * share:5.1f} %"
