"""A runner over labelled images: the one way a version's answers are measured.

The daily validation, the gate, a training run's own figures and a backfill all look here, through
the same decode, recipe and graph that serve. Nothing is judged: an Evaluation is what was said of
each image, and statistics are made of it elsewhere.

Images are read and decoded in threads beside the model, two batches ahead at most, so a million of
them need no more memory than a few hundred; only what the model said of them is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from core.bundle import outputs
from core.bundle.outputs import Outputs
from core.bundle.runner import Runner
from core.errors import CatalogError, InvalidImageError, NotFoundError, UsageError
from core.images import descriptors, source
from core.images.decode import decode
from core.images.picture import as_pillow
from core.images.preprocess import Recipe, preprocess
from core.store.images import Sample

UNKNOWN = -1  # the index of a label that the model does not know

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a version said of N labelled images over K labels, in the order they were given.

    Attributes:
        samples: Those that could be read, N of them.
        labels: Index of the true label, int64 (N,); UNKNOWN when the model has no such label.
        predicted: Index of the predicted label, int64 (N,).
        probabilities: float32 (N, K).
        embedding: float32 (N, 256).
        descriptors: For each of DESCRIPTORS float64 (N,), of the whole decoded picture; None
            unless asked for.
        unreadable: The others, each with what was wrong with it.
        logits: After the temperature, float32 (N, K); None where nobody kept them.
    """

    samples: list[Sample]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    descriptors: dict[str, NDArray[np.float64]] | None
    unreadable: list[tuple[Sample, str]]
    logits: NDArray[np.float32] | None = None

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which images were named rightly, (N,); one whose label is unknown never is."""
        return self.predicted == self.labels

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The top-1 probability, (N,)."""
        return outputs.confidence(self.probabilities)

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of the probabilities in nats, (N,)."""
        return outputs.entropy(self.probabilities)

    @property
    def margin(self) -> NDArray[np.float64]:
        """By how much the first label leads over the second, (N,)."""
        return outputs.margin(self.probabilities)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One picture as the model takes it, or what was wrong with it."""

    sample: Sample
    image: NDArray[np.uint8] | None
    described: dict[str, float]
    complaint: str = ""


def evaluate(
    runner: Runner,
    samples: Sequence[Sample],
    *,
    batch_size: int = 32,
    threads: int = 2,
    on_progress: Progress | None = None,
    describe: bool = False,
) -> Evaluation:
    """Return what `runner` says of labelled images.

    An image that is gone, broken or refused is set aside in `unreadable`, whatever their number:
    how many are too many is the caller's to say.

    Args:
        runner: The version to ask.
        samples: The images; any number, also none.
        batch_size: Images per model call.
        threads: Images read and decoded at a time.
        on_progress: Told after each batch ("evaluating", images done, images in all).
        describe: Whether to compute the descriptors too.

    Raises:
        CatalogError: An address asks for a backend that is not installed.
        BundleError: The model failed on a batch.
        UsageError: `batch_size` or `threads` is below 1.
    """
    if min(batch_size, threads) < 1:
        raise UsageError(f"batch_size {batch_size} and threads {threads} must be 1 or more")
    for uri in {source.protocol(sample.uri): sample.uri for sample in samples}.values():
        source.require_backend(uri)

    def prepare(sample: Sample) -> _Prepared:
        return _prepare(sample, runner.recipe, with_descriptors=describe)

    answers: list[Outputs] = []
    seen: list[_Prepared] = []
    with closing(_ahead(prepare, samples, threads=threads, ahead=2 * batch_size)) as prepared:
        while batch := list(islice(prepared, batch_size)):
            images = [each.image for each in batch if each.image is not None]
            if images:
                answers.append(runner.run(np.stack(images)))
            # The pixels are done with; what remains of an image is a few hundred numbers.
            seen += [replace(each, image=None) for each in batch]
            if on_progress is not None:
                on_progress("evaluating", len(seen), len(samples))
    return _assemble(runner, seen, answers, with_descriptors=describe)


def _prepare(sample: Sample, recipe: Recipe, *, with_descriptors: bool) -> _Prepared:
    """Read, decode and resize one image; an image at fault is a complaint, not an error."""
    try:
        picture = as_pillow(decode(source.read_bytes(sample.uri)))
    except (CatalogError, InvalidImageError, NotFoundError) as error:
        return _Prepared(sample, None, {}, str(error) or type(error).__name__)
    described = descriptors.describe(picture) if with_descriptors else {}
    return _Prepared(sample, preprocess(picture, recipe), described)


def _ahead(
    prepare: Callable[[Sample], _Prepared], samples: Iterable[Sample], *, threads: int, ahead: int
) -> Generator[_Prepared]:
    """Yield the prepared images in order, with at most `ahead` of them under way."""
    waiting: deque[Future[_Prepared]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for sample in samples:
            waiting.append(pool.submit(prepare, sample))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _assemble(
    runner: Runner, seen: list[_Prepared], answers: list[Outputs], *, with_descriptors: bool
) -> Evaluation:
    readable = [each for each in seen if not each.complaint]
    index = {label: i for i, label in enumerate(runner.labels)}
    columns = {
        name: np.array([each.described[name] for each in readable], dtype=np.float64)
        for name in descriptors.DESCRIPTORS
        if with_descriptors
    }
    # No image at all still gives arrays of the right widths.
    answers = [outputs.nothing(len(runner.labels)), *answers]
    probabilities = np.concatenate([each.probabilities for each in answers])
    return Evaluation(
        samples=[each.sample for each in readable],
        labels=np.array([index.get(each.sample.label, UNKNOWN) for each in readable], np.int64),
        predicted=probabilities.argmax(axis=1).astype(np.int64),
        probabilities=probabilities,
        embedding=np.concatenate([each.embedding for each in answers]),
        descriptors=columns if with_descriptors else None,
        unreadable=[(each.sample, each.complaint) for each in seen if each.complaint],
        logits=np.concatenate([each.logits for each in answers]),
    )
