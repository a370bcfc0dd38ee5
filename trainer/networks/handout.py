"""A version's model for use outside Weakspot: ONNX, and TorchScript or safetensors beside it.

What is handed out is checked like the export was: TorchScript is saved, read back and run on the
bundle's own images alone, by threes and all together; the weights are loaded back into the
architecture they came from. The folder appears whole or not at all, and `model.json` has the
SHA-256 of every other file in it.

It is never part of a bundle: a TorchScript file has a pickle and code in it, and in a bundle there
is neither (core.bundle.files).
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

import torch

from core.bundle import files, sentinels
from core.bundle.manifest import Manifest
from core.bundle.outputs import EMBEDDING_SIZE
from core.errors import BundleError, ParityError, TrainingError, UsageError, WeakspotError
from core.images.preprocess import Recipe
from trainer.networks import export
from trainer.networks.architectures import Network, load_bundle
from trainer.networks.export import ALLOWED_DIFFERENCE, ServedGraph

Form = Literal["torchscript", "safetensors"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

TORCHSCRIPT: Final = "model.torchscript.pt"
FACTS: Final = "model.json"
EXPORTS: Final = "exports"  # a folder beside the bundles, with one for each version

logger = logging.getLogger(__name__)


def known_forms(spec: str) -> tuple[Form, ...]:
    """Return the forms that a list such as `torchscript,safetensors` names.

    Raises:
        UsageError: One of them is unknown.
    """
    words = {word.strip() for word in spec.split(",")} - {""}
    unknown = sorted(words - set(FORMS))
    if unknown:
        raise UsageError(f"--also {unknown[0]} is unknown; write any of {', '.join(FORMS)}")
    return tuple(form for form in FORMS if form in words)


def hand_out(folder: Path, to: Path, also: Sequence[Form]) -> dict[str, float]:
    """Write a version's model into a new folder.

    Args:
        folder: The bundle.
        to: The folder to make; it may be there, empty.
        also: What to write beside the ONNX files.

    Returns:
        For each form the largest difference from the bundle's network, on the bundle's images.

    Raises:
        UsageError: There is something in the folder already.
        BundleError: The bundle is not whole, or has no weights.
        ParityError: What was written gives other answers.
        TrainingError: torch cannot put this network into TorchScript.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is there already and not empty; name a new folder with --to")
    manifest = files.verify(folder)
    members: dict[str, bytes] = {
        name: files.read_member(folder, manifest, name)
        for name in files.GRAPHS
        if name in manifest.files
    }
    differences: dict[str, float] = {}
    if also:
        network = load_bundle(folder, len(manifest.labels))
        graph = export.served_graph(network, manifest.temperature)
        images = sentinels.read(folder, manifest).images
        # The weights beside the graph are its own, or nothing made of them is worth much.
        _, differences["onnx"] = export.check_parity(graph, members[files.MODEL], images)
        watched = torch.from_numpy(images)
        if "torchscript" in also:
            members[TORCHSCRIPT], differences["torchscript"] = _torchscript(graph, watched)
        if "safetensors" in also:
            for name in (files.WEIGHTS, files.CONFIG):
                members[name] = files.read_member(folder, manifest, name)
            differences["safetensors"] = _weights(members, manifest, graph, watched)
    facts = _facts(manifest, members) | {"bundle": files.digest(folder)}
    members[FACTS] = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
    _write(to, members)
    return differences


def beside(bundle: Path, also: Sequence[Form]) -> dict[str, Any]:
    """Hand out what a run asked for, into `exports/<version>` beside the bundle's folder.

    A version that is whole is not given up because another form of it could not be had; what
    failed is told, and `weakspot model export` tries it again.

    Returns:
        `{"folder", "forms", "largest_difference"}`, or `error` in place of the last; nothing where
        nothing was asked for.
    """
    if not also:
        return {}
    to = place(bundle)
    told: dict[str, Any] = {"folder": str(to), "forms": list(also)}
    try:
        return told | {"largest_difference": hand_out(bundle, to, also)}
    except WeakspotError as error:
        what = ", ".join(also)
        logger.error("%s was not handed out as %s: %s", bundle.name, what, error)  # noqa: TRY400 - all said
        return told | {"error": str(error)}


def place(bundle: Path) -> Path:
    """Return where a version is handed out to when its run asks for it."""
    return bundle.parent / EXPORTS / bundle.name


def require_scriptable(network: Network, recipe: Recipe, also: Sequence[Form]) -> None:
    """Put the untrained network into TorchScript where that is wanted, and throw it away.

    Raises:
        TrainingError: torch cannot.
    """
    if "torchscript" in also:
        images = torch.zeros(2, recipe.height, recipe.width, 3, dtype=torch.uint8)
        _traced(export.served_graph(network, 1.0), images)


def _facts(manifest: Manifest, members: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what somebody needs to know who runs the graph without Weakspot."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "architecture": manifest.architecture,
        "labels": manifest.labels,
        "recipe": manifest.recipe.to_dict(),
        "temperature": manifest.temperature,
        "input": {"image": f"uint8 (N, {manifest.recipe.height}, {manifest.recipe.width}, 3), RGB"},
        "outputs": {
            "probabilities": f"float32 (N, {len(manifest.labels)})",
            "logits": f"float32 (N, {len(manifest.labels)})",
            "embedding": f"float32 (N, {EMBEDDING_SIZE})",
        },
        "variants": manifest.variants,
        "files": {name: hashlib.sha256(members[name]).hexdigest() for name in sorted(members)},
    }


def _torchscript(graph: ServedGraph, images: torch.Tensor) -> tuple[bytes, float]:
    """Return the graph as TorchScript, and how far what was read back is off."""
    data, read_back = _traced(graph, images[:2])
    return data, _parity(graph, read_back, images)


def _traced(graph: ServedGraph, images: torch.Tensor) -> tuple[bytes, Any]:
    """Return the graph as TorchScript, and what reading it back gives."""
    file = io.BytesIO()
    try:
        graph.requires_grad_(False)  # what is handed out answers, and does not learn
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(graph, (images,), check_trace=False)
            torch.jit.save(traced, file)
            read_back = torch.jit.load(io.BytesIO(file.getvalue()))
    except Exception as error:  # the tracer's errors have no common base
        raise TrainingError(f"torch cannot put this network into TorchScript: {error}") from error
    return file.getvalue(), read_back


def _weights(
    members: Mapping[str, bytes], manifest: Manifest, graph: ServedGraph, images: torch.Tensor
) -> float:
    """Load the weights back as a stranger would, and return how far off their answers are."""
    with tempfile.TemporaryDirectory() as name:
        for member in (files.WEIGHTS, files.CONFIG):
            (Path(name) / member).write_bytes(members[member])
        network = load_bundle(Path(name), len(manifest.labels))
    return _parity(graph, export.served_graph(network, manifest.temperature), images)


def _parity(graph: ServedGraph, other: Any, images: torch.Tensor) -> float:
    """Return the largest difference of any output, at batch 1, 3 and all.

    Raises:
        ParityError: It is more than 1e-3.
    """
    largest = 0.0
    with torch.inference_mode():
        for size in (1, 3, len(images)):
            expected, found = (each(images[:size]) for each in (graph, other))
            arrays = [[tensor.numpy() for tensor in each] for each in (expected, found)]
            largest = max(largest, export.difference(*arrays))
    if not largest <= ALLOWED_DIFFERENCE:
        raise ParityError(largest, ALLOWED_DIFFERENCE)
    return largest


def _write(to: Path, members: Mapping[str, bytes]) -> None:
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{to.name}.tmp-", dir=to.parent))
        try:
            for name, data in members.items():
                (folder / name).write_bytes(data)
            folder.chmod(0o755)
            # Onto an empty folder too, but never onto one with anything in it.
            folder.rename(to)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise BundleError(f"{to} cannot be written: {error}") from error
