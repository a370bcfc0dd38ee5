"""What `weakspot model show` says of how a version stood against the one before it."""

from collections.abc import Sequence

from core.store.probations import Probation


def lines(probations: Sequence[Probation]) -> list[str]:
    """Return a line for each probation of a version, the newest first."""
    return [_line(each) for each in probations]


def _line(probation: Probation) -> str:
    head = f"  probation {probation.status}, against {probation.against}"
    whole = probation.evidence.get("whole")
    if not whole:
        return f"{head}: no image was answered by both so far"
    return (
        f"{head} until {probation.last_day}: {whole['gained']} right by it alone, {whole['lost']} "
        f"by {probation.against} alone, of {whole['n']} newly labelled images; evidence that it "
        f"is worse {whole['evidence']:.3g} of {probation.evidence['whole_threshold']:,.0f}"
    )
