"""A version that answers: resized pictures in, probabilities out.

`Runner.open` believes nothing. Digests, the graph's inputs and outputs, and its answers to the
bundle's own sentinel images are checked before the first request, and every refusal says what is
wrong. A runner that opened gives the answers that were measured when the version was trained.

One runner may be used by many threads at once. With `threads=1` each call is computed by the
thread that makes it, so a service needs one runner and as many callers as it has cores.

The graph takes `image`, uint8 (N, H, W, 3), and gives `probabilities`, `logits` and `embedding`
(core.bundle.outputs). What computes it is an engine (core.bundle.engines): onnxruntime in float32
unless another is asked for. What a hostile graph may cost in time and memory is not limited here;
whoever must go on working loads it in a child process first (core.bundle.trial).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.bundle import engines, files, sentinels, variants
from core.bundle.engines import EngineName
from core.bundle.half_precision import to_half
from core.bundle.manifest import Manifest
from core.bundle.outputs import EMBEDDING_SIZE, Outputs, nothing
from core.bundle.sessions import Device, Session, Tensor, Threads
from core.bundle.variants import VariantName
from core.errors import BundleError, UsageError
from core.images.preprocess import Recipe

INPUT = "image"
_ASKED_AGAIN = 4  # sentinels

OUTPUTS = ("probabilities", "logits", "embedding")


@dataclass(frozen=True, slots=True)
class Runner:
    """A verified bundle, loaded.

    Attributes:
        folder: Where the bundle lies.
        manifest: What it says about itself.
        digest: SHA-256 that stands for all of its files.
        engine: What computes it, really.
    """

    folder: Path
    manifest: Manifest
    digest: str
    engine: EngineName
    _session: Session

    @classmethod
    def open(
        cls,
        folder: Path,
        device: Device = "auto",
        threads: int | Threads | None = None,
        *,
        engine: EngineName | None = None,
        tried: bool = False,
    ) -> Runner:
        """Load a bundle after checking everything that can be checked.

        Args:
            folder: The bundle.
            device: `cuda` insists on a GPU; `auto` takes one where there is one and onnxruntime
                knows CUDA, and the CPU otherwise.
            threads: How many compute one call on the CPU, and how many call at once; None for all
                cores of this process, called by one.
            engine: What is to compute it; None for onnxruntime in float32. One of the GPU
                insists on a GPU.
            tried: Whether a trial has asked it all of its sentinels; then a few are asked again.

        Raises:
            BundleError: A file is missing, altered or too many; the model cannot be read, has
                other inputs or outputs, a fixed batch, or another number of classes than labels;
                its answers to the sentinels are not those it was stored with; or the device or
                engine is not there. The message says which.
            UsageError: The engine does not compute on that device.
        """
        manifest = files.verify(folder)
        engine = engine or engines.default_engine(device)
        model, path = _graph(folder, manifest, engine)
        session = engines.open_session(
            model, path, engine=engine, device=device, threads=_shares(threads)
        )
        _check_signature(session, manifest, path)
        runner = cls(folder, manifest, files.digest(folder), engine, session)
        asked = sentinels.read(folder, manifest)
        if tried:
            asked = asked.first(_ASKED_AGAIN)
        sentinels.check(runner.run, asked, manifest, allowed=runner.allowed_difference)
        return runner

    @classmethod
    def open_variant(cls, folder: Path, name: VariantName) -> Runner:
        """Load a variant of a bundle's graph to be judged: how far off its answers are is free.

        Half precision is computed on a GPU where there is one. Elsewhere onnxruntime computes
        each operator in float32 on numbers that were rounded to half.

        Raises:
            BundleError: The bundle has no such file, or it is no graph of a bundle, or answers
                what is no number.
        """
        manifest = files.verify(folder)
        engine = engines.INT8 if name == variants.INT8 else engines.REFERENCE
        if name == variants.FP16 and engines.where("auto") == "cuda":
            engine = engines.CUDA_HALF
        path = folder / variants.FILES[name]
        session = engines.open_session(
            files.read_member(folder, manifest, path.name),
            path,
            engine=engine,
            device="auto",
            threads=_shares(None),
        )
        _check_signature(session, manifest, path)
        runner = cls(folder, manifest, files.digest(folder), engine, session)
        asked = sentinels.read(folder, manifest)
        sentinels.check(runner.run, asked, manifest, allowed=math.inf)
        return runner

    @property
    def allowed_difference(self) -> float:
        """By how much a logit of a sentinel may be off from the one in the bundle.

        A graph in integers was measured over the validation images when it was made; another
        machine may round otherwise, by as much as another coarse engine.
        """
        if engines.is_quantised(self.engine):
            measured = variants.distance(variants.require_kept(self.manifest, variants.INT8))
            return measured + sentinels.ALLOWED_COARSE_DIFFERENCE
        return sentinels.allowed_difference(exact=engines.is_exact(self.engine))

    @property
    def device(self) -> str:
        """Where it really runs: `cpu` or `cuda`."""
        return "cuda" if engines.is_on_gpu(self.engine) else "cpu"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the outputs."""
        return self.manifest.labels

    @property
    def version(self) -> str:
        """The version that answers."""
        return self.manifest.version

    @property
    def recipe(self) -> Recipe:
        """How a picture becomes this model's input."""
        return self.manifest.recipe

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Return the model's answers for N preprocessed images.

        Args:
            images: uint8 (N, H, W, 3) as `preprocess` gives by `self.recipe`; N may be 0.

        Raises:
            UsageError: The images have another type or shape.
            BundleError: The model failed on them, or answered with NaN or infinity.
        """
        expected = (self.recipe.height, self.recipe.width, 3)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise UsageError(
                f"version {self.version} takes uint8 (N, {', '.join(map(str, expected))}), "
                f"not {images.dtype} {images.shape}"
            )
        if not len(images):
            return nothing(len(self.labels))
        feed = {INPUT: np.ascontiguousarray(images)}
        try:
            probabilities, logits, embedding = self._session.run(OUTPUTS, feed)
        except Exception as error:  # the runtimes' errors have no common base
            raise BundleError(
                f"version {self.version} failed on {images.shape}: {error}"
            ) from error
        outputs = Outputs(probabilities, logits, embedding)
        self._check_outputs(outputs, len(images))
        return outputs

    def _check_outputs(self, outputs: Outputs, n: int) -> None:
        """Refuse answers of an unexpected shape, and those that are no numbers."""
        k = len(self.labels)
        expected = {"probabilities": (n, k), "logits": (n, k), "embedding": (n, EMBEDDING_SIZE)}
        for name, shape in expected.items():
            found: NDArray[np.float32] = getattr(outputs, name)
            if found.shape != shape:
                raise BundleError(
                    f"version {self.version} gave {name} of shape {found.shape}, not {shape}"
                )
            if not np.isfinite(found).all():
                raise BundleError(f"version {self.version} gave NaN or infinity in its {name}")


def _shares(threads: int | Threads | None) -> Threads:
    if threads is None:
        return Threads(engines.all_cores())
    return threads if isinstance(threads, Threads) else Threads(threads)


def _graph(folder: Path, manifest: Manifest, engine: EngineName) -> tuple[bytes, Path]:
    """Return the graph that an engine takes, the bundle's own or one made of it, and its file."""
    if engines.is_quantised(engine):
        variants.require_kept(manifest, variants.INT8)
        return files.read_member(folder, manifest, files.QUANTISED), folder / files.QUANTISED
    if not engines.is_half(engine):
        return files.read_member(folder, manifest, files.MODEL), folder / files.MODEL
    variants.require_not_dropped(manifest, variants.FP16)
    if files.HALF in manifest.files:
        return files.read_member(folder, manifest, files.HALF), folder / files.HALF
    path = folder / files.MODEL
    return to_half(files.read_member(folder, manifest, files.MODEL), path), path


def _check_signature(session: Session, manifest: Manifest, path: Path) -> None:
    """Refuse a graph whose inputs or outputs are not those of a bundle."""
    inputs = session.get_inputs()
    if [each.name for each in inputs] != [INPUT]:
        raise BundleError(f"{path} takes {[each.name for each in inputs]}, not one input {INPUT!r}")
    recipe = manifest.recipe
    _check_tensor(inputs[0], "tensor(uint8)", (recipe.height, recipe.width, 3), path)
    outputs = {each.name: each for each in session.get_outputs()}
    lacking = [name for name in OUTPUTS if name not in outputs]
    if lacking:
        raise BundleError(f"{path} gives {sorted(outputs)} and lacks {lacking}")
    k = len(manifest.labels)
    _check_tensor(outputs["probabilities"], "tensor(float)", (k,), path)
    _check_tensor(outputs["logits"], "tensor(float)", (k,), path)
    _check_tensor(outputs["embedding"], "tensor(float)", (EMBEDDING_SIZE,), path)


def _check_tensor(tensor: Tensor, kind: str, after_batch: tuple[int, ...], path: Path) -> None:
    if tensor.type != kind:
        raise BundleError(f"{path}: {tensor.name} is {tensor.type}, not {kind}")
    if len(tensor.shape) != 1 + len(after_batch):
        raise BundleError(
            f"{path}: {tensor.name} has rank {len(tensor.shape)} (shape {tensor.shape}), "
            f"not {1 + len(after_batch)}"
        )
    batch, *rest = tensor.shape
    if isinstance(batch, int):
        raise BundleError(
            f"{path}: {tensor.name} has a fixed batch of {batch}; export it with a dynamic one"
        )
    # A length that the graph leaves open is a name here; the sentinels show what it really is.
    for found, expected in zip(rest, after_batch, strict=True):
        if isinstance(found, int) and found != expected:
            raise BundleError(
                f"{path}: {tensor.name} has shape {tensor.shape} and the manifest's labels and "
                f"recipe ask for {('N', *after_batch)}"
            )
