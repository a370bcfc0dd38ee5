"""A diagnosis in plain sentences: the cause first, then the numbers behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.escaping import one_line

if TYPE_CHECKING:
    from core.stats.cause import Verdict
    from monitor.diagnosis.findings import Cause, Confused, Diagnosis, Moved

_SHOWN_COLUMNS = 4
_MOST = 1e6


def sentences_of(found: Diagnosis) -> tuple[str, ...]:
    """Return the sentences that tell a diagnosis; class names stand in them on one line."""
    said = [_cause(found)]
    unsound = found.sentinels or {}
    if unsound.get("since") and not unsound["explains"]:
        said.append(f"Other answers of the runtime since {unsound['since']} do not explain this.")
    if found.confused is not None:
        said.append(_confused(found.confused, one_line(found.label)))
    said += _moved(found)
    if found.doubts:
        said.append(
            f"{len(found.doubts)} of its labels look wrong, such as image {found.doubts[0].image}: "
            f"rather {one_line(found.doubts[0].suggested)}."
        )
    if found.refusal is not None:
        said.append(f"{found.refusal[0].upper()}{found.refusal[1:]}.")
    return tuple(said)


def _cause(found: Diagnosis) -> str:
    sentinels = found.sentinels or {}
    if found.cause == "runtime":
        return f"Cause: the runtime, not the class. {sentinels.get('detail', '')}"
    if found.cause == "model" and sentinels.get("explains"):
        return f"Cause: another model. {sentinels.get('detail', '')}"
    if found.verdict is None:
        return "Cause: unclear; there are no reference images to compare with."
    return _by_looks(found.cause, found.verdict, one_line(found.label))


def _by_looks(cause: Cause, verdict: Verdict, label: str) -> str:
    votes, wrong = verdict.votes, verdict.wrong
    if cause == "label":
        return (
            f"Cause: the labels. {votes['label']} of {wrong} wrong images look as the class they "
            f"were taken for always looked, and not as {label}."
        )
    if cause == "data":
        return (
            "Cause: the pictures. They are of a kind that the reference does not hold, neither "
            f"of {label} nor of what they are taken for."
        )
    if cause == "model":
        return (
            f"Cause: the model. {votes['model']} of {wrong} wrong images look as {label} always "
            "looked, and it answers otherwise than it did."
        )
    counted = ", ".join(f"{n} {name}" for name, n in votes.items())
    return f"Cause: unclear; of {wrong} wrong images, by their looks: {counted}."


def _confused(confused: Confused, label: str) -> str:
    counted = f"{confused.times} of {confused.images} images"
    before = f"{100 * confused.reference_share:.1f} % at the reference"
    return (
        f"{label} is called {one_line(confused.label)} on {counted}, {before}: evidence "
        f"{_number(confused.e_value)} that it is more than {100 * confused.level:.1f} % now, "
        f"{_number(confused.e_value_chosen)} after choosing it from {confused.chosen_from}."
    )


def _moved(found: Diagnosis) -> list[str]:
    alone = [each for each in found.moved if each.alone]
    shared = [each for each in found.moved if each.moved and not each.alone]
    said: list[str] = []
    if alone:
        named = ", ".join(_column(each, each.effect_alone) for each in _largest(alone))
        said.append(f"Moved for {one_line(found.label)} alone: {named}.")
    if shared:
        named = ", ".join(_column(each, each.effect) for each in _largest(shared))
        said.append(f"Moved as for other classes: {named}.")
    if found.moved and not alone and not shared:
        said.append("No descriptor and no embedding has moved away from the reference.")
    return said


def _largest(columns: list[Moved]) -> list[Moved]:
    return sorted(columns, key=lambda each: -abs(each.effect))[:_SHOWN_COLUMNS]


def _column(moved: Moved, effect: float) -> str:
    p = moved.adjusted_p_alone if moved.alone else moved.adjusted_p
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"{moved.what} {effect:+.1f} sd ({shown})"


def _number(evidence: float) -> str:
    return f"{evidence:,.0f}" if _MOST > evidence >= 100 else f"{evidence:.2g}"
