"""Training images that nearly repeat what a challenger is chosen or examined by.

An import puts near-duplicates on one side of the split, unless its source names the sides itself:
then a burst may lie on both. What is learnt must not be asked in the exam, so the new training
images among such pairs are left out. The same bytes cannot be on two sides: the pool holds each
content once. Near means what it means when images are imported (core.catalog.neighbours): a few
bits of the perceptual hash, fewer where chains of look-alikes grow long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.catalog.neighbours import NEAR_BITS, look_alikes
from core.images.phash import hamming
from core.store import image_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from core.store.images import Sample


def repeating(
    connection: Connection,
    new: Sequence[Sample],
    kept: Sequence[Sample],
    others: Sequence[Sample] = (),
) -> frozenset[int]:
    """Return the numbers of the new images that nearly repeat one that is kept for exams.

    Args:
        connection: Where the hashes are.
        new: Images that are to be learnt from.
        kept: Images of the validation split and the gate.
        others: The rest of the pool: where it is crowded with look-alikes, near is nearer.
    """
    if not new or not kept:
        return frozenset()
    numbers = [sample.id for sample in (*kept, *new, *others)]
    hashes = image_facts.hashes(connection, numbers)
    clusters = look_alikes([hashes[number] for number in numbers]).tolist()
    of_kept: dict[int, set[int]] = {}
    for sample, cluster in zip(kept, clusters, strict=False):
        of_kept.setdefault(cluster, set()).add(hashes[sample.id])
    # A cluster is a chain of steps; only what lies near an image of the exam itself is left out.
    return frozenset(
        sample.id
        for sample, cluster in zip(new, clusters[len(kept) :], strict=False)
        if any(hamming(hashes[sample.id], other) <= NEAR_BITS for other in of_kept.get(cluster, ()))
    )
