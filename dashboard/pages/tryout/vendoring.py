"""The browser's runtime: where it lies, and how it is fetched anew from npm and checked.

`make vendor` runs this. Nothing else does: the files are part of the repository.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

NAME = "onnxruntime-web"
VERSION = "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"  # of npm's archive

FOLDER = Path(__file__).resolve().parents[2] / "vendor" / NAME

_SCRIPTS = ("dist/ort.wasm.bundle.min.mjs",)
_BINARIES = ("dist/ort-wasm-simd-threaded.wasm",)


def fetch(folder: Path) -> Path:
    """Fetch npm's archive into a folder and return it, after its digest was found right."""
    command = ["npm", "pack", f"{NAME}@{VERSION}", "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    archive = folder / f"{NAME}-{VERSION}.tgz"
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{archive.name} has the SHA-256 {found}, and {SHA256} was expected")
    return archive


def unpack(archive: Path, folder: Path) -> None:
    """Write the two files that are used of an archive, the binary as xz, and what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    with tarfile.open(archive) as content:
        for name in (*_SCRIPTS, *_BINARIES):
            member = content.extractfile(f"package/{name}")
            data = member.read() if member else b""
            digests[Path(name).name] = hashlib.sha256(data).hexdigest()
            if name in _BINARIES:
                (folder / f"{Path(name).name}.xz").write_bytes(lzma.compress(data, preset=9))
            else:
                # The map that its last line names is not part of this.
                (folder / Path(name).name).write_bytes(data)
    said = {"name": NAME, "version": VERSION, "archive": SHA256, "license": "MIT", "files": digests}
    (folder / "VERSION.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        unpack(fetch(Path(name)), FOLDER)
    sys.stderr.write(f"{FOLDER} holds {NAME} {VERSION}\n")
