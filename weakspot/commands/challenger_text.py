"""What `weakspot model show` and `data wanted` say of a challenger's answers to the traffic."""

from collections.abc import Sequence
from typing import Any

from core.store.challengers import Beside, Differing

# A page of a terminal; the rest is in the JSON.
_MOST = 10


def lines(scored: Sequence[Beside], differing: Sequence[Differing]) -> list[str]:
    """Return how a version's answers stand beside champions', and some on which they differ."""
    said = [line for each in scored for line in _beside(each)]
    said += [
        f"    {each.prediction}  {each.at:%Y-%m-%d %H:%M}  {each.answered} -> {each.label} "
        f"{100 * each.probability:.0f} %{_truth(each)}"
        for each in differing[:_MOST]
    ]
    return said


def wanted_lines(challenger: dict[str, Any] | None) -> list[str]:
    """Return where labels would say who is right, as monitor.lacking.challenger gives it."""
    if not challenger or not challenger["differing"]:
        return []
    name, left = challenger["version"], challenger["differing"] - challenger["labelled"]
    return [
        f"{name} and {challenger['champion']} answer {challenger['differing']} of "
        f"{challenger['scored']} sampled predictions differently, {left} of them without a label:",
        f"  weakspot model show {name} lists them; their labels say who is right, and are no gate "
        "images",
    ]


def _beside(each: Beside) -> list[str]:
    from core.stats.proportions import jeffreys

    low, high = (float(end) for end in jeffreys(each.differing, each.scored))
    said = [
        f"  shadow    {each.scored} answers beside {each.champion} from {each.first:%Y-%m-%d} to "
        f"{each.last:%Y-%m-%d}; {each.differing} differ, {100 * each.share:.1f} % "
        f"({100 * low:.1f} to {100 * high:.1f}): neither can be better by more"
    ]
    if each.labelled:
        said.append(
            f"            of {each.labelled} differing ones with a label {each.gained} are right "
            f"by it alone, {each.lost} by {each.champion} alone"
        )
    return said


def _truth(each: Differing) -> str:
    return f"  is {each.true_label}" if each.true_label else ""
