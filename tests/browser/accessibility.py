"""Accessibility as axe-core sees it, on a page in a real browser.

assert_accessible(page)

axe-core (MPL-2.0, a tool of these tests alone) comes from npm, once, into the virtual environment.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import Page

VERSION = "4.14.1"
# Of the package's file, as npm's registry names it.
INTEGRITY = (
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NP"
    "jCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
KEPT = Path(sys.prefix) / f"axe-core-{VERSION}" / "axe.min.js"

_FETCH_S = 120
_SERIOUS = ("serious", "critical")
_RUN = """async () => {
    const found = await axe.run(document, {resultTypes: ['violations']});
    return found.violations.map(each => ({
        rule: each.id, impact: each.impact, help: each.help, more: each.helpUrl,
        nodes: each.nodes.map(node => [node.target.join(' '), node.failureSummary]),
    }));
}"""


def axe_source() -> str:
    """Return axe-core; fetched where it is missing, and where it cannot be, the test is skipped."""
    if not KEPT.exists():
        _fetch()
    return KEPT.read_text(encoding="utf-8")


def assert_accessible(page: Page) -> None:
    """Fail when axe finds something serious, naming the rule, the element and what to do."""
    found = [each for each in findings(page) if each["impact"] in _SERIOUS]
    told = [
        f"{each['rule']} ({each['impact']}): {each['help']}\n"
        + "\n".join(f"  {target}\n    {why}" for target, why in each["nodes"][:5])
        for each in found
    ]

    assert not told, f"{page.url}\n" + "\n".join(told)


def findings(page: Page) -> list[dict]:
    """Return all that axe finds."""
    if not page.evaluate("'axe' in window"):
        # Through the debugger, so that the page's policy on scripts stays as it is.
        page.evaluate(axe_source() + "; 0")
    return page.evaluate(_RUN)


def _fetch() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, and axe-core comes from there")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"axe-core@{VERSION}", "--json", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, timeout=_FETCH_S, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm gave no axe-core: {done.stderr.decode(errors='replace')[-300:]}")
        archive = Path(folder) / json.loads(done.stdout)[0]["filename"]
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert f"sha512-{digest}" == INTEGRITY, "this is not the axe-core that was looked at"
        with tarfile.open(archive) as packed:
            member = packed.extractfile("package/axe.min.js")
            assert member is not None
            script = member.read()
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_bytes(script)
