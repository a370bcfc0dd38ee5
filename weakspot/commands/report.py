"""`weakspot report`: the week on one page, to be mailed."""

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UsageError
from core.store.database import transaction
from weakspot import front


def report(
    out: Annotated[
        Path,
        typer.Option("--out", help="File to write: report.html, or report.pdf.", dir_okay=False),
    ],
    last: Annotated[
        str | None,
        typer.Argument(metavar="[DATE]", help="Last day of the week (YYYY-MM-DD); else yesterday."),
    ] = None,
    week: Annotated[
        bool, typer.Option("--week", help="Over seven days; the only stretch there is.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write the week on one page, to be mailed: what is weak, what happened, what was labelled."""
    from dashboard.report import document, facts, pdf

    del week
    kind = out.suffix.lower()
    if kind not in {".html", ".htm", ".pdf"}:
        raise UsageError(f"--out {out}: write to a file that ends in .html or .pdf")
    now = front.clock().now()
    day = _day(last) or now.date() - timedelta(days=1)
    with front.open_store() as engine, transaction(engine) as connection:
        found = facts.gather(connection, day, now=now)
    written = document.to_html(found)
    data = pdf.to_pdf(written) if kind == ".pdf" else written.encode()
    _put(out, data)
    front.emit(
        {
            "out": str(out),
            "bytes": len(data),
            "first": found.range.first.isoformat(),
            "last": found.range.last.isoformat(),
        },
        as_json=as_json,
        text=f"{out}: {found.range.first} to {found.range.last}, {len(data) / 1000:.0f} kB",
    )


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no day; write it as 2026-03-08") from error


def _put(out: Path, data: bytes) -> None:
    """Write the file whole or not at all.

    Raises:
        UsageError: It cannot be written there.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"--out {out} cannot be written: {error.strerror}") from error
