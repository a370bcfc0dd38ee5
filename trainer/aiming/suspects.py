"""New training images whose label looks wrong: held back until a person has looked.

Two must agree. The champion, which has not learnt from these images, is sure of another class
(confident learning: core.stats.wrong_labels). And the images around it say so: of its nearest
neighbours by embedding, itself left out, more bear the suggested label than its own. The second
opinion is what lets a weak class be learnt at all. The champion is wrong about most of its images,
which is why it is weak; but they are like one another, and bear one label, whereas a cat that was
labelled a dog lies among cats.

However many look wrong, no more than a share of a class is held back, the surest first: where half
a class looks mislabelled, it is not its labels that should be doubted by a program.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.bundle import files, profile
from core.bundle.runner import Runner
from core.evaluation import Evaluation, evaluate
from core.stats.wrong_labels import confident_disagreements
from core.store.label_suspects import Suspect

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from core.store.images import Sample
    from core.store.registry import Version
    from trainer.images.dataset import Progress

NEIGHBOURS = 10


def find(
    champion: Version,
    new: Sequence[Sample],
    right: Collection[int] = (),
    *,
    day: date,
    most: float,
    on_progress: Progress | None = None,
) -> list[Suspect]:
    """Return the new images whose label looks wrong, the surest first.

    Args:
        champion: The version that has not learnt from them.
        new: The new training images of all classes.
        right: Numbers of those whose label a person has said to be right: they are no suspects.
        day: Kept with each suspect.
        most: Largest share of a class's new images to be held back, 0 to 1; with 0 nobody looks.
        on_progress: Told about images.

    Raises:
        BundleError: The champion cannot be loaded.
    """
    if not new or not most:
        return []
    folder = Path(champion.uri)

    def tell(_stage: str, done: int, total: int) -> None:
        if on_progress:
            on_progress("looking for wrong labels", done, total)

    said = evaluate(Runner.open(folder), new, on_progress=tell)
    known = profile.read(folder, files.read_manifest(folder))
    labels = known.predicted if known.labels is None else known.labels
    rows, suggested, margin = doubtful(said, known.embedding, labels)
    suspects = [
        Suspect(
            image=said.samples[row].id,
            version=champion.version,
            day=day,
            label=said.samples[row].label,
            suggested=champion.labels[other],
            margin=float(lead),
        )
        for row, other, lead in zip(rows.tolist(), suggested.tolist(), margin, strict=True)
    ]
    suspects = [each for each in suspects if each.image not in right]
    return capped(suspects, Counter(sample.label for sample in new), most)


def doubtful(
    said: Evaluation, embedding: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return rows whose label champion and neighbours doubt, what they suggest, and the margin.

    Args:
        said: What the champion says of the new images.
        embedding: Of images that were known before, each of length 1, shape (R, D).
        labels: Their labels by number, shape (R,).
    """
    found = confident_disagreements(said.probabilities, said.labels)
    own, around = said.embedding, np.concatenate([embedding, said.embedding])
    names = np.concatenate([labels, said.labels])
    agree = np.zeros(len(found.rows), dtype=np.bool_)
    for place, (row, other) in enumerate(zip(found.rows, found.suggested, strict=True)):
        likeness = around @ own[row]
        likeness[len(embedding) + row] = -np.inf
        nearest = names[np.argsort(-likeness, kind="stable")[:NEIGHBOURS]]
        agree[place] = (nearest == other).sum() > (nearest == said.labels[row]).sum()
    return found.rows[agree], found.suggested[agree], found.margin[agree]


def capped(suspects: Sequence[Suspect], images: Counter[str], most: float) -> list[Suspect]:
    """Return the surest suspects, of each class at most that share of its images."""
    taken: Counter[str] = Counter()
    kept: list[Suspect] = []
    for suspect in sorted(suspects, key=lambda each: (each.margin, each.image)):
        if taken[suspect.label] + 1 <= most * images[suspect.label]:
            taken[suspect.label] += 1
            kept.append(suspect)
    return kept
