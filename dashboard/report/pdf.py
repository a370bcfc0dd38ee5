"""The weekly report as a PDF, printed by a browser of this machine that is no part of ours.

The browser works without a network, without scripts, in a folder of its own, and for a minute at
most. Where there is none, the HTML can be printed from any.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from core.errors import UsageError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_PATIENCE_S = 90
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-pdf-header-footer",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # Whatever it may want, it reaches nobody.
)


def to_pdf(document: str, browser: str | None = None) -> bytes:
    """Return an HTML document as PDF.

    Args:
        document: The HTML.
        browser: A Chromium by its path; None looks for one.

    Raises:
        UsageError: There is no Chromium or Chrome, or it printed nothing.
    """
    found = browser or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UsageError(
            "a PDF is printed by Chromium or Chrome, and neither is installed here "
            "(Debian: apt-get install chromium); --out report.html needs neither"
        )
    with tempfile.TemporaryDirectory(prefix="weakspot-report-") as name:
        folder = Path(name)
        page, printed = folder / "report.html", folder / "report.pdf"
        page.write_text(document, encoding="utf-8")
        _print(found, page, printed, folder)
        return printed.read_bytes()


def _print(browser: str, page: Path, printed: Path, folder: Path) -> None:
    # As root Chromium refuses its sandbox; what it prints is our own, and has no script.
    unboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [browser, *_FLAGS, *unboxed, f"--user-data-dir={folder / 'profile'}"]
    command += [f"--print-to-pdf={printed}", page.as_uri()]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8"}
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"{browser} did not print the report: {error}; --out report.html needs no browser"
        ) from error
    if not printed.exists() or not printed.stat().st_size:
        said = ended.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise UsageError(
            f"{browser} printed nothing (exit {ended.returncode}: {said[-1]})"
            "; --out report.html needs no browser"
        )
