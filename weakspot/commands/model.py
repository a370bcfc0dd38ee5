"""`weakspot model`: the registered versions, and which of them serves."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import BundleError
from core.store import registry, sentinel_checks
from core.store.database import transaction
from weakspot import front

model_app = typer.Typer(help="The registered versions, and which of them serves.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


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
    """Show one version: lineage, metrics, who has loaded it."""
    with front.open_store() as engine, transaction(engine) as connection:
        found = registry.get(connection, version)
        champion = registry.champion(connection)
        loads = registry.loads(connection, version)
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
        ]
    )
    front.emit(details, as_json=as_json, text=text)


@model_app.command()
def promote(
    version: str,
    reason: Annotated[str, typer.Option(help="Why; kept with the move.")] = "by hand",
    as_json: Json = False,
) -> None:
    """Make a version the champion; the services load it within seconds."""
    now = front.clock().now()
    with front.open_store() as engine:
        with transaction(engine) as connection:
            bundle = Path(registry.get(connection, version).uri)
        _verify(bundle)
        with transaction(engine) as connection:
            before = registry.promote(connection, version, now=now, by=front.user(), reason=reason)
    front.emit(
        {"champion": version, "before": before},
        as_json=as_json,
        text=f"{version} is the champion now (before: {before or 'none'})",
    )


@model_app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; kept with the move.")] = "by hand",
    as_json: Json = False,
) -> None:
    """Make the champion's predecessor the champion again."""
    now = front.clock().now()
    with front.open_store() as engine, transaction(engine) as connection:
        before, after = registry.roll_back(connection, now=now, by=front.user(), reason=reason)
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
    """Check a bundle: every digest, and its answers on its own reference images."""
    with front.open_store() as engine, transaction(engine) as connection:
        found = registry.get(connection, version) if version else registry.champion(connection)
    if found is None:
        raise BundleError("there is no champion yet; run: weakspot train")
    facts = _verify(Path(found.uri))
    front.emit(
        {"version": found.version, "ok": True, **facts},
        as_json=as_json,
        text=f"{found.version} is whole, and answers as it did when it was exported",
    )


def _verify(folder: Path) -> dict[str, Any]:
    from core.bundle.runner import Runner

    runner = Runner.open(folder, device="cpu")
    return {"digest": runner.digest, "labels": list(runner.labels)}


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
