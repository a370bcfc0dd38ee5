"""A bundle's folder: written whole or not at all, and believed only by its digests.

    v3/
      manifest.json          what it is, and the SHA-256 of every file below
      model.onnx             the graph, everything after the resize, in one file
      sentinels.safetensors  `images` uint8 (n, H, W, 3), real and already resized, and
                             `logits` float32 (n, K): what the model must say of them
      profile.safetensors    the reference profile (core.bundle.profile)
      originals.safetensors  a few encoded pictures and what they decode to (optional)
      weights.safetensors    torch weights, from which the next retraining starts (optional)
      config.json            the architecture's own settings, beside the weights (optional)
      augmented.png          images as they were decoded and as they were learnt from (optional)
      MODEL_CARD.md          what a person should know of it, as the training knew it (optional)
      run.yaml               the run that made it, for: weakspot train --config (optional)
      model.fp16.onnx        the graph in half precision, for a GPU; made of the other when it
                             is not there (optional)
      model.int8.onnx        the graph in integers of 8 bits, for a CPU (optional)

A file that the manifest does not name, or that has other bytes than it says, makes the bundle
unusable. Nothing in a bundle is a pickle, and a link in it is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from core.bundle import variants
from core.bundle.manifest import MANIFEST, Manifest, is_plain_name
from core.bundle.onnx_file import check_self_contained
from core.errors import BundleError

MODEL = "model.onnx"
SENTINELS = "sentinels.safetensors"
PROFILE = "profile.safetensors"
ORIGINALS = "originals.safetensors"
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
CARD = "MODEL_CARD.md"
HALF = variants.FILES["fp16"]
QUANTISED = variants.FILES["int8"]

REQUIRED = (MODEL, SENTINELS, PROFILE)
GRAPHS = (MODEL, HALF, QUANTISED)

_CHUNK_BYTES = 1 << 20


def write(parent: Path, manifest: Manifest, members: Mapping[str, bytes | Path]) -> Path:
    """Write the bundle `parent/<version>`; it appears whole, on disk, or not at all.

    What a killed writer left half-made is removed by the next one.

    Args:
        parent: Folder of all bundles; made when missing.
        manifest: The version's facts; its `files` are computed here.
        members: Content of each file, or the path to copy it from.

    Returns:
        The new folder.

    Raises:
        BundleError: There is such a version already, a file that every bundle needs is not
            among the members, the model is not self-contained, or the disk refuses.
    """
    target = parent / manifest.version
    _check_members(members, manifest.version)
    if target.exists():
        raise BundleError(f"{target} exists already; a version is never overwritten")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(parent)
        with _temporary_folder(parent, manifest.version) as folder:
            digests = {name: _put(folder / name, members[name]) for name in sorted(members)}
            complete = replace(manifest, files=digests)
            _put(folder / MANIFEST, complete.to_json().encode())
            verify(folder)
            _sync_folder(folder)
            folder.rename(target)
        _sync_folder(parent)
    except OSError as error:
        raise BundleError(f"bundle {target} could not be written: {error}") from error
    return target


def read_manifest(folder: Path) -> Manifest:
    """Return what the bundle says about itself; its files are not looked at.

    Raises:
        BundleError: There is no manifest, or it is wrong.
    """
    return Manifest.from_json(_read(folder / MANIFEST))


def verify(folder: Path) -> Manifest:
    """Return the manifest after every file of the bundle was found as it says.

    Raises:
        BundleError: A file is missing, altered, a link, or not in the manifest, or the model
            is not self-contained; the message names the file.
    """
    manifest = read_manifest(folder)
    lacking = [name for name in REQUIRED if name not in manifest.files]
    if lacking:
        raise BundleError(f"{folder}: the manifest does not name {lacking}")
    _check_listing(folder, manifest)
    for name in sorted(manifest.files):
        if name not in GRAPHS:  # read and checked below
            _check_digest(folder / name, _digest_of(folder / name), manifest.files[name])
    for name in GRAPHS:
        if name in manifest.files:
            check_self_contained(read_member(folder, manifest, name), f"{folder / name}")
    return manifest


def read_member(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Return the bytes of one file of the bundle, exactly those that the manifest means.

    Raises:
        BundleError: The manifest does not name it, or it is missing or altered.
    """
    if name not in manifest.files:
        raise BundleError(f"bundle {manifest.version} has no {name}")
    data = _read(folder / name)
    _check_digest(folder / name, hashlib.sha256(data).hexdigest(), manifest.files[name])
    return data


def digest(folder: Path) -> str:
    """Return the SHA-256 of the manifest, which stands for the whole bundle.

    Raises:
        BundleError: There is no manifest.
    """
    return hashlib.sha256(_read(folder / MANIFEST)).hexdigest()


def _check_members(members: Mapping[str, bytes | Path], version: str) -> None:
    lacking = [name for name in REQUIRED if name not in members]
    if lacking:
        raise BundleError(f"bundle {version} needs {lacking} too")
    odd = [name for name in members if name == MANIFEST or not is_plain_name(name)]
    if odd:
        raise BundleError(f"bundle {version}: {odd} cannot be names of its files")


def _check_listing(folder: Path, manifest: Manifest) -> None:
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise BundleError(f"{folder} cannot be listed: {error.strerror}") from error
    expected = {MANIFEST, *manifest.files}
    missing, extra = sorted(expected - found.keys()), sorted(found.keys() - expected)
    if missing:
        raise BundleError(f"{folder} lacks {missing}, which its manifest names")
    if extra:
        raise BundleError(f"{folder} holds {extra}, which its manifest does not name; remove them")
    odd = sorted(name for name, is_file in found.items() if not is_file)
    if odd:
        raise BundleError(f"{folder}: {odd} must be plain files, not links or folders")


def _check_digest(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise BundleError(
            f"{path} was altered: its SHA-256 is {found} and the manifest says {expected}; "
            "restore the bundle from a backup or train again"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def _put(path: Path, content: bytes | Path) -> str:
    """Write one file through to the disk and return the digest of what was written."""
    sha256 = hashlib.sha256()
    with path.open("xb") as file:
        for chunk in _chunks(content):
            sha256.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return sha256.hexdigest()


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _temporary_folder(parent: Path, version: str) -> Generator[Path]:
    """Give a folder that is gone afterwards, unless it was renamed.

    It is locked meanwhile. A lock dies with its process, however that ends, so a folder
    without one is a leftover.
    """
    folder = parent / f".{version}.tmp-{uuid.uuid4().hex}"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks: its leftovers stay
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _remove_leftovers(parent: Path) -> None:
    for folder in parent.glob(".*.tmp-*"):
        # Somebody else's lock, or a file system without locks: then it is left alone.
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)
