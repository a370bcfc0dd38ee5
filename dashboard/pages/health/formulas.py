"""How each figure is computed: a page of its own for every formula, which the charts link to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dash import dcc, html

from dashboard.page import Drawn, Page
from dashboard.pages.health.cells import FEWEST_COLOURED
from dashboard.parts import components as parts

if TYPE_CHECKING:
    from dashboard.page import Look
    from dashboard.parts.components import Children, Component

PATH = "/formulas"


@dataclass(frozen=True, slots=True)
class Formula:
    """How one figure is computed.

    Attributes:
        title: What it is.
        said: The formula, as lines of plain text.
        words: What its letters mean, and what it claims and does not.
        source: Where it comes from.
    """

    title: str
    said: str
    words: tuple[str, ...]
    source: str


FORMULAS: dict[str, Formula] = {
    "interval": Formula(
        "Accuracy and its interval",
        "accuracy = k / n\n"
        "low, high = 2.5 % and 97.5 % quantile of Beta(k + 1/2, n − k + 1/2)\n"
        "low = 0 where k = 0, high = 1 where k = n",
        (
            "k of n labelled images were answered right. The interval is Jeffreys's: for one look "
            "at one class it holds the true share 19 times of 20. It is for display: whoever looks "
            "every day and decides by it is wrong too often, which is why alarms follow the "
            "evidence.",
            f"A cell of the matrix with fewer than {FEWEST_COLOURED} images is not coloured.",
        ),
        "Brown, Cai, DasGupta (2001), Interval Estimation for a Binomial Proportion. "
        "core/stats/proportions.py: jeffreys",
    ),
    "sequence": Formula(
        "The confidence sequence",
        "band = { p : B(k + 1/2, n − k + 1/2) / B(1/2, 1/2) ≤ p^k (1 − p)^(n − k) / 0.05 }",
        (
            "B is the beta function, k and n count from the version's first day. The band holds an "
            "accuracy that does not change at every n at once, with 95 % confidence, however often "
            "one looks and whenever one stops.",
        ),
        "Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, Nonparametric, Nonasymptotic "
        "Confidence Sequences. "
        "core/stats/proportions.py: confidence_sequence",
    ),
    "evidence": Formula(
        "Evidence of a drop",
        "M_g(t) = (1 + M_g(t−1)) · Π_i ( x_i·g + (1 − x_i)·(1 − r·g) / (1 − r) )\n"
        "evidence(t) = Σ w_g · M_g(t)\n"
        "alarm where evidence(t) ≥ threshold",
        (
            "i runs over the images of day t; x is 1 for a right answer and 0 for a wrong one, r "
            "the reference, g one of eight ratios that the class may have fallen to, w_g their "
            "weights. The factor has mean 1 or less as long as the class answers as well as its "
            "reference; so a healthy class raises at most T / threshold false alarms in T days, "
            "on average.",
            "After an alarm it begins anew. Where images of one session are alike, they are one "
            "bet together.",
            "How sure it is that the class has fallen follows from the largest evidence E since "
            "the alarm, and from how often classes fall, which nobody knows: with once a year "
            "for each, the odds are E / 365. No alarm depends on that.",
        ),
        "Shin, Ramdas, Rinaldo (2024), E-detectors. core/stats/evidence.py",
    ),
    "confusion": Formula(
        "Mistaken for",
        "share of c' = images of the class that were called c' / all its images",
        (
            "Counted over the days of the range, by version; where the class fell in the range, "
            "since then and before. Beside it stands what the version did on the bundle's own "
            "validation images, its reference.",
        ),
        "core/shown/confusions.py",
    ),
    "weeks": Formula(
        "Precision, recall and confidence",
        "recall = images of the class called so / images of the class\n"
        "precision = images of the class called so / all labelled images called so\n"
        "confidence = mean top-1 probability of all labelled images called so",
        (
            "Over seven days each, counted back from the last. Images are those of the daily "
            "exams, which draw every class about equally and more of those under suspicion: "
            "precision is that of this mixture, and not of the traffic.",
        ),
        "core/shown/weeks.py",
    ),
    "calibration": Formula(
        "Calibration error",
        "ECE = Σ_b | Σ_(i in b) (confidence_i − right_i) | / N",
        (
            "Over the labelled images that were called so in a week, in 15 equally wide bins of "
            "confidence; right is 1 where that is what they are. With fewer than ten images "
            "nothing is drawn.",
            "The dotted line is what a calibrated model exceeds in one week of twenty, with as "
            "many images and the same confidences: an error below it may be chance.",
        ),
        "Naeini, Cooper, Hauskrecht (2015); Broecker & Smith (2007). core/stats/calibration.py",
    ),
    "notice": Formula(
        "Days to notice",
        "the first day t on which P(alarm by t) > 1/2, after a drop of 15 points",
        (
            "Counted out for the labels a day that the class gets now, its reference, its present "
            "accuracy and the threshold; never means more than a year. The monitor writes it down "
            "with each exam.",
        ),
        "core/stats/how_soon.py and core/stats/how_soon_adaptive.py",
    ),
    "nearest": Formula(
        "The nearest image answered right",
        "argmin over right images o of the class:  | e(o) − e(i) |",
        (
            "e is the model's embedding, 256 numbers of length 1, so distances go from 0 to 2. "
            "Only images whose embeddings are still kept are found: 120 days.",
        ),
        "core/store/traces.py: nearest_right",
    ),
    "drift": Formula(
        "Drift of this class",
        "drift where adjusted p ≤ level and effect ≥ floor",
        (
            "Of each descriptor, among the predictions of the day that bear this name, against "
            "the reference. p is adjusted for all columns of the day together (Benjamini and "
            "Hochberg); the effect says how far the column moved, in the test's own measure.",
        ),
        "docs/drift.md",
    ),
}


def address(name: str) -> str:
    """Return the address of a formula's page."""
    return f"{PATH}/{name}"


def hint(text: str, *names: str) -> Children:
    """Return the line under a chart's title: how it is computed, and the way to the formulas."""
    links: list[Component] = []
    for name in names:
        links += [" ", dcc.Link(FORMULAS[name].title, href=address(name), className="formula-link")]
    return [text, " Formula:" if len(names) == 1 else " Formulas:", *links]


def _draw(look: Look) -> Drawn:
    name = look.path.removeprefix(PATH).strip("/")
    contents = html.Ul(
        [
            html.Li(dcc.Link(each.title, href=address(key), className="contents-link"))
            for key, each in FORMULAS.items()
        ],
        className="contents",
    )
    chosen = [FORMULAS[name]] if name in FORMULAS else list(FORMULAS.values())
    panels = [_panel(each) for each in chosen]
    title = chosen[0].title if len(chosen) == 1 else "Formulas"
    head = html.Section(
        html.Div([html.H1("How it is computed", id="verdict"), contents]), className="verdict"
    )
    return Drawn(title, html.Div([head, *panels], className="stack"))


def _panel(formula: Formula) -> Component:
    body = [
        html.Pre(formula.said, className="formula"),
        *[html.P(each) for each in formula.words],
        html.P(formula.source, className="hint"),
    ]
    return parts.panel(formula.title, html.Div(body, className="prose"))


PAGE = Page(takes=lambda path: path == PATH or path.startswith(PATH + "/"), draw=_draw)
