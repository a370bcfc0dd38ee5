"""Why an image is asked about, and which classes are offered for it.

Of an image that was drawn by chance the model's opinion is not told, and its classes stand in
alphabetical order: a label that may judge must not be led by what it judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.parts.wording import percent, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.store.inbox_queue import Taken

KEYS = 9  # classes that have a number key

_LONGEST = 40
_CLOSE = 0.2


def why(taken: Taken, wanted: Sequence[str]) -> str:
    """Say why an image is asked about.

    Args:
        taken: The image.
        wanted: The classes of which the next exam lacks images.
    """
    item = taken.item
    if item.stream == "drawn":
        return "Drawn at random from the traffic; its label counts in the accuracy."
    if item.stream == "suspect":
        return f"Labelled {_named(item.label)}, looks like {_named(item.other or 'another class')}."
    if taken.challenger:
        said = f"The champion says {_named(item.label)}, the challenger {_named(taken.challenger)}."
    elif item.label in wanted:
        said = f"{_named(item.label)} is short of labels."
    elif item.margin < _CLOSE and len(item.top) > 1:
        said = f"Nearly a tie: {_share(item.top[0])}, {_share(item.top[1])}."
    else:
        said = f"Chosen from the traffic; the model says {_named(item.label)}."
    return f"{said} For training only."


def choices(taken: Taken, labels: Sequence[str]) -> list[str]:
    """Return the classes offered by number keys, the likeliest first.

    Args:
        taken: The image.
        labels: All classes; where they are few enough, each has a key.
    """
    item = taken.item
    if item.stream == "suspect":
        likely = [item.label, item.other]
    else:
        likely = [*(each["label"] for each in item.top), taken.challenger]
    known = dict.fromkeys(label for label in likely if label in set(labels))
    if len(labels) <= KEYS:
        known |= dict.fromkeys(sorted(labels))
    offered = [label for label in known if label is not None][:KEYS]
    return sorted(offered) if item.stream == "drawn" else offered


def _share(each: dict[str, Any]) -> str:
    return f"{_named(str(each['label']))} {percent(float(each['probability']))}"


def _named(label: str) -> str:
    return shortened(label, _LONGEST)
