"""The digest of what a bundle holds, whichever version it is and whenever it was made.

The digest of the manifest (core.bundle.files.digest) stands for one bundle and no other. Here the
number of the version and the moment are left out, and with them the files that speak of these to
people: two runs that learnt the same have the same content.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from core.bundle.files import read_manifest

# Written for people, with the version's name and date in them.
_TOLD = frozenset({"MODEL_CARD.md"})
_OF_THE_VERSION = ("version", "created_at")


def content_digest(folder: Path) -> str:
    """Return the SHA-256 over the manifest without version, moment and files for people.

    Raises:
        BundleError: There is no manifest.
    """
    facts = json.loads(read_manifest(folder).to_json())
    for name in _OF_THE_VERSION:
        del facts[name]
    facts["files"] = {name: sha for name, sha in facts["files"].items() if name not in _TOLD}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
