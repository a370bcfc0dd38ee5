"""The gate's page of numbers: what the challenger's exam counted, and why it ended as it did.

The numbers are those that the trainer kept with its job; nothing is computed here. A job of an
older release may hold less: what is missing is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import html

from dashboard.parts import exports
from dashboard.parts.wording import points

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.store.jobs import Job

Component = Any

# Where all of it is had as a file; the training page answers it.
CSV = "/training/exam.csv"

_MOST_OTHERS = 4


def table(job: Job, label: str, most_others: int = _MOST_OTHERS) -> Component:
    """Return what the gate said of a retraining; None before there is anything.

    Args:
        job: The retraining.
        label: The class that comes first.
        most_others: So many other classes follow at most, those that lost most first.
    """
    result = job.result or {}
    if "error" in result:
        return html.P(f"It failed: {result['error']}", className="body")
    gate: Mapping[str, Any] = result.get("gate") or {}
    if not gate:
        return None
    reasons = [html.Li(str(reason)) for reason in gate.get("reasons", [])]
    rows = [_row(each) for each in _chosen(gate, label, most_others)]
    return html.Div(
        [
            html.Ul(reasons, className="reasons") if reasons else None,
            html.Table([_HEAD, html.Tbody(rows)], className="table gate") if rows else None,
            html.P(_fineprint(gate, label), className="hint"),
            _file(job) if rows else None,
        ]
    )


def _file(job: Job) -> Component:
    """Return the link to all that the gate counted, as a file."""
    return exports.link(f"{CSV}?job={job.id:d}", f"exam-{job.id:d}", of="The gate's numbers")


def _chosen(gate: Mapping[str, Any], label: str, most_others: int) -> list[Mapping[str, Any]]:
    """Return the class itself, the other classes that lost most, and all images together."""
    classes = [each for each in gate.get("classes", []) if each.get("n")]
    own = [each for each in classes if each.get("label") == label]
    others = [each for each in classes if each.get("label") != label]
    others.sort(key=lambda each: each.get("difference") or 0.0)
    return [*own, *others[:most_others], *filter(None, [gate.get("overall")])]


def _row(each: Mapping[str, Any]) -> Component:
    return html.Tr(
        [
            html.Td(html.Bdi(str(each.get("label", ""))), className="name"),
            html.Td(f"{each.get('n', 0):,}", className="number"),
            html.Td(f"{each.get('gained', 0):,}", className="number medium"),
            html.Td(f"{each.get('lost', 0):,}", className="number medium"),
            html.Td(_points(each.get("difference")), className="number"),
            html.Td(_points(each.get("low")), className="number"),
            html.Td(str(each.get("verdict", ""))),
        ]
    )


def _points(share: float | None) -> str:
    return "" if share is None else points(share)


def _fineprint(gate: Mapping[str, Any], label: str) -> str:
    parts: list[str] = []
    if gate.get("margin") is not None:
        parts.append(f"The lower bound must lie above {points(-gate['margin'])} points per class.")
    parts += [
        f"Better in {label}: exact McNemar, p = {each['adjusted_p']:.2g}."
        for each in gate.get("flagged", [])
        if each.get("label") == label and each.get("adjusted_p") is not None
    ]
    if gate.get("ece") is not None:
        parts.append(f"Calibration error {gate['ece']:.3f}.")
    if gate.get("latency_ratio") is not None:
        parts.append(f"Latency {gate['latency_ratio']:.2f} times the champion's.")
    return " ".join(parts)


_HEAD = html.Thead(
    html.Tr(
        [
            html.Th("Class"),
            html.Th("Images", className="number"),
            html.Th("Gained", className="number medium"),
            html.Th("Lost", className="number medium"),
            html.Th("Points", className="number"),
            html.Th("Bound", className="number"),
            html.Th("Verdict"),
        ]
    )
)
