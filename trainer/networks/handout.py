"""A version's model for use outside Weakspot: ONNX, and TorchScript or safetensors beside it.

What is handed out is checked like the export was: TorchScript is saved, read back and run on the
bundle's own images alone, by threes and all together; the weights are loaded back into the
architecture they came from. The folder appears whole or not at all.
"""

from __future__ import annotations

import io
import json
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
from core.errors import BundleError, ParityError, TrainingError, UsageError
from trainer.networks import export
from trainer.networks.architectures import load_bundle
from trainer.networks.export import ALLOWED_DIFFERENCE, ServedGraph

Form = Literal["torchscript", "safetensors"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

TORCHSCRIPT: Final = "model.torchscript.pt"
FACTS: Final = "model.json"


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
    members[FACTS] = _facts(manifest)
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
    _write(to, members)
    return differences


def _facts(manifest: Manifest) -> bytes:
    """Return what somebody needs to know who runs the graph without Weakspot."""
    facts: dict[str, Any] = {
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
    }
    return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()


def _torchscript(graph: ServedGraph, images: torch.Tensor) -> tuple[bytes, float]:
    """Return the graph as TorchScript, and how far what was read back is off."""
    file = io.BytesIO()
    try:
        graph.requires_grad_(False)  # what is handed out answers, and does not learn
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(graph, (images[:2],), check_trace=False)
            torch.jit.save(traced, file)
            read_back = torch.jit.load(io.BytesIO(file.getvalue()))
    except Exception as error:  # the tracer's errors have no common base
        raise TrainingError(f"torch cannot put this network into TorchScript: {error}") from error
    return file.getvalue(), _parity(graph, read_back, images)


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
