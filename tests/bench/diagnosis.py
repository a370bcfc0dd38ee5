"""Are three planted faults told apart? Real pictures through a real bundle, many times over.

    python -m tests.bench.diagnosis --bundle var/bundles/v1 --images ~/pictures

The folder has `val/<Class>/...` and `test/<Class>/...`, neither learnt from. With `--held-out 100`
both sides are taken from `train/<Class>/...` instead, past the first hundred of each class by name:
pictures that neither the bundle has learnt from nor the rule was made on. The bundle answers
each picture once, sharp and blurred; a simulation then draws ten pictures of each class a day from
the test side, plants one fault from the first day on, lets the e-SR detector raise its alarm, and
asks `monitor.diagnosis.diagnosis.diagnose` about the first class that gives one, on that day. The
reference is the validation side. `--out` writes the table between two marks of a page.

A cause counts as named when it is the planted one, and as told apart when it is none of the other
two planted ones: `unclear` is no mistake, but names nothing.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from core.bundle.runner import Runner
from core.evaluation import Evaluation, evaluate
from core.images.descriptors import DESCRIPTORS
from core.stats.cause import Rows
from core.stats.classification import confusion_matrix
from core.stats.evidence import alarm_threshold, empty_log_m, step
from core.stats.proportions import reference_levels
from core.stats.wrong_labels import confident_disagreements
from core.store.class_days import ClassDay
from core.store.images import Sample
from core.store.traces import Trace
from monitor.diagnosis.diagnosis import diagnose
from monitor.diagnosis.findings import Diagnosis
from monitor.diagnosis.material import Material, ReferenceImages

PER_CLASS = 10
LONGEST_DAYS = 6
FIRST_DAY = date(2026, 3, 1)
BUDGET = 0.3
PLANTED = ("model", "data", "label")

CAMERAS: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "blur2": ("camera blurred, radius 2", lambda seen: seen.filter(ImageFilter.GaussianBlur(2))),
    "blur3": ("camera blurred, radius 3", lambda seen: seen.filter(ImageFilter.GaussianBlur(3))),
    "half": (
        "camera slipped, left half only",
        lambda seen: seen.crop((0, 0, seen.width // 2, seen.height)),
    ),
    "dark": ("camera in the dark, a fifth of the light", lambda seen: seen.point(_a_fifth)),
    "jpeg": ("camera saving at JPEG quality 5", lambda seen: _saved_at(seen, 5)),
    "turned": ("camera upside down", lambda seen: seen.transpose(Image.Transpose.ROTATE_180)),
}
# The rule was made on these; the others came later, with the pictures held out.
MADE_ON = ("blur2", "blur3", "half", "dark")

_SIDE = 60  # pictures of a class on either side, of those held out


def _a_fifth(level: int) -> float:
    return level / 5


def _saved_at(seen: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    seen.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a version said of N pictures, by the label each bears.

    Attributes:
        labels: int64 (N,).
        probabilities: float32 (N, K).
        embedding: float32 (N, 256).
        descriptors: float64 (N, 6).
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    descriptors: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """What each was taken for, (N,)."""
        return self.probabilities.argmax(axis=1)

    @classmethod
    def of(cls, evaluation: Evaluation) -> Seen:
        """Return what an evaluation with descriptors saw."""
        described = evaluation.descriptors or {}
        return cls(
            evaluation.labels,
            evaluation.probabilities,
            evaluation.embedding,
            np.stack([described[name] for name in DESCRIPTORS], axis=1),
        )

    def take(self, rows: NDArray[np.int64]) -> Seen:
        """Return some of them."""
        return Seen(
            self.labels[rows],
            self.probabilities[rows],
            self.embedding[rows],
            self.descriptors[rows],
        )


Fault = Callable[[Seen, np.random.Generator], Seen]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one simulation: None where no class gave an alarm in time."""

    diagnosis: Diagnosis | None
    day: int


def labels_exchanged(share: float = 1.0) -> Fault:
    """Return the fault that two classes, drawn by lot, bear each other's labels."""

    def plant(seen: Seen, rng: np.random.Generator) -> Seen:
        a, b = rng.choice(seen.probabilities.shape[1], 2, replace=False)
        struck = rng.random(len(seen.labels)) < share
        labels = seen.labels.copy()
        labels[struck & (seen.labels == a)] = b
        labels[struck & (seen.labels == b)] = a
        return replace(seen, labels=labels)

    return plant


def model_swapped(seen: Seen, rng: np.random.Generator) -> Seen:
    """Answer as a model that knows two classes, drawn by lot, by each other's names."""
    a, b = rng.choice(seen.probabilities.shape[1], 2, replace=False)
    swapped = seen.probabilities.copy()
    swapped[:, [a, b]] = seen.probabilities[:, [b, a]]
    return replace(seen, probabilities=swapped)


def as_it_is(seen: Seen, _rng: np.random.Generator) -> Seen:
    """Plant nothing: the pictures themselves are what is wrong."""
    return seen


def simulate(
    reference: Seen, pool: Seen, fault: Fault, names: Sequence[str], rng: np.random.Generator
) -> Trial:
    """Draw day after day from a pool with a fault, and diagnose the first class that alarms."""
    struck = fault(pool, rng)
    classes = len(names)
    counts = confusion_matrix(reference.predicted, reference.labels, classes)
    levels = reference_levels(np.diagonal(counts), counts.sum(axis=1))
    order = [rng.permutation(np.flatnonzero(struck.labels == c)) for c in range(classes)]
    log_m, drawn = empty_log_m(classes), [np.zeros(0, np.int64)]
    for day in range(LONGEST_DAYS):
        today = [rows[day * PER_CLASS : (day + 1) * PER_CLASS] for rows in order]
        drawn.append(np.concatenate(today))
        right = np.array([(struck.predicted[rows] == c).sum() for c, rows in enumerate(today)])
        total = np.array([len(rows) for rows in today])
        log_m, evidence = step(log_m, right, total, levels)
        if evidence.max() >= alarm_threshold(classes, BUDGET):
            weak = int(evidence.argmax())
            material = _material(struck, drawn[1:], (reference, counts), names, weak)
            return Trial(diagnose(material), day + 1)
    return Trial(None, LONGEST_DAYS)


def _material(
    struck: Seen,
    drawn: Sequence[NDArray[np.int64]],
    reference: tuple[Seen, NDArray[np.int64]],
    names: Sequence[str],
    weak: int,
) -> Material:
    before, counts = reference
    found: list[Trace] = []
    days: list[ClassDay] = []
    for number, rows in enumerate(drawn):
        day = FIRST_DAY + timedelta(days=number)
        today = struck.take(rows)
        found += _traces(today, rows, names, day)
        said = today.predicted[today.labels == weak].tolist()
        wrong = Counter(names[each] for each in said if each != weak)
        correct = len(said) - wrong.total()
        days.append(ClassDay(day, "v1", names[weak], len(said), correct, dict(wrong), 0, 1))
    rows = Rows(before.labels, before.embedding, before.descriptors)
    ids = np.arange(len(before.labels)) + len(struck.labels) + 1
    return Material(
        label=names[weak],
        version="v1",
        since=FIRST_DAY,
        until=days[-1].day,
        labels=tuple(names),
        counts={
            name: {
                "n": int(row.sum()),
                "correct": int(row[c]),
                "confused": {names[j]: int(m) for j, m in enumerate(row) if m and j != c},
            }
            for c, (name, row) in enumerate(zip(names, counts, strict=True))
        },
        check=None,
        unsound_since=None,
        days=days,
        current=[trace for trace in found if trace.label == names[weak]],
        others=[trace for trace in found if trace.label != names[weak]],
        reference=ReferenceImages(rows, before.predicted == before.labels, ids),
    )


def _traces(today: Seen, rows: NDArray[np.int64], names: Sequence[str], day: date) -> list[Trace]:
    doubts = confident_disagreements(today.probabilities, today.labels)
    pairs = zip(doubts.suggested, doubts.margin, strict=True)
    by_row = dict(zip(doubts.rows.tolist(), pairs, strict=True))
    said, sure = today.predicted.tolist(), today.probabilities.max(axis=1).tolist()
    return [
        Trace(
            version="v1",
            image=int(rows[i]) + 1,
            day=day,
            label=names[int(today.labels[i])],
            predicted=names[said[i]],
            confidence=sure[i],
            descriptors=today.descriptors[i].tolist(),
            embedding=today.embedding[i],
            suggested=names[int(by_row[i][0])] if i in by_row else None,
            margin=float(by_row[i][1]) if i in by_row else None,
        )
        for i in range(len(rows))
    ]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    planted: str
    what: str
    trials: Sequence[Trial]

    def causes(self) -> Counter[str]:
        """Return how often each cause was named."""
        return Counter(each.diagnosis.cause for each in self.trials if each.diagnosis)

    @property
    def named(self) -> int:
        """How often the planted cause was named."""
        return self.causes()[self.planted]

    @property
    def told_apart(self) -> int:
        """How often none of the other planted causes was named."""
        others = set(PLANTED) - {self.planted}
        return sum(n for cause, n in self.causes().items() if cause not in others)

    def to_line(self) -> str:
        """Return the line in Markdown."""
        found = self.causes()
        diagnosed = found.total()
        days = float(np.median([each.day for each in self.trials if each.diagnosis] or [np.nan]))
        counts = " | ".join(str(found[name]) for name in ("model", "data", "label", "unclear"))
        return (
            f"| {self.what} | {self.planted} | {diagnosed} of {len(self.trials)} | {days:.0f} "
            f"| {counts} | {self.named} | {self.told_apart} |"
        )


def table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    head = (
        "| planted | cause | alarmed | days | model | data | label | unclear | named | told apart |"
    )
    return "\n".join([head, "|---|---|" + "---:|" * 8, *(row.to_line() for row in rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and put it into a page when asked to."""
    asked = _parse(arguments)
    names, seen = _see(asked)
    rng = np.random.default_rng(asked.seed)
    planted: list[tuple[str, str, Seen, Fault]] = [
        ("model", "model swapped, unseen by the frozen set", seen["test"], model_swapped),
        ("label", "labels of two classes exchanged", seen["test"], labels_exchanged()),
        ("label", "... in 60 % of the pictures", seen["test"], labels_exchanged(0.6)),
    ]
    planted += [("data", CAMERAS[name][0], seen[name], as_it_is) for name in asked.camera]
    rows = [
        Row(
            cause,
            what,
            [simulate(seen["val"], pool, fault, names, rng) for _ in range(asked.runs)],
        )
        for cause, what, pool, fault in planted
    ]
    text = table(rows)
    sys.stdout.write(f"{text}\n")
    if asked.out is not None:
        mark = "measured" if asked.held_out is None else "held out"
        begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
        page = asked.out.read_text(encoding="utf-8")
        before, rest = page.split(begin)
        after = rest.split(end)[1]
        asked.out.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Planted faults, and the causes named for them.")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="Folder with val and test.")
    parser.add_argument("--cache", type=Path, help="Keeps what the bundle said.")
    parser.add_argument("--camera", nargs="+", choices=list(CAMERAS))
    parser.add_argument("--held-out", type=int, help="Pictures of train to pass over, a class.")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Page with the marks to write between.")
    asked = parser.parse_args(arguments)
    asked.camera = asked.camera or list(MADE_ON if asked.held_out is None else CAMERAS)
    return asked


def _see(asked: argparse.Namespace) -> tuple[tuple[str, ...], dict[str, Seen]]:
    """Return the classes, and what the bundle says of either side and of each camera's pictures."""
    runner = Runner.open(asked.bundle)
    found = {side: _seen(runner, asked, side, None) for side in ("val", "test")}
    for camera in asked.camera:
        found[camera] = _seen(runner, asked, "test", camera)
    return runner.labels, found


def _seen(runner: Runner, asked: argparse.Namespace, side: str, camera: str | None) -> Seen:
    name = camera or side
    if asked.held_out is not None:
        name = f"{name}-past-{asked.held_out}"
    kept = asked.cache / f"{name}-{runner.digest[:12]}.npz" if asked.cache else None
    if kept is not None and kept.exists():
        with np.load(kept) as arrays:
            return Seen(*(arrays[name] for name in Seen.__dataclass_fields__))
    with tempfile.TemporaryDirectory() as folder:
        paths = _paths(asked, side)
        if camera is not None:
            paths = [_taken_by(camera, path, Path(folder)) for path in paths]
        samples = [Sample(i, str(path), "", path.parent.name, side) for i, path in enumerate(paths)]
        seen = Seen.of(evaluate(runner, samples, describe=True))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **{name: getattr(seen, name) for name in Seen.__dataclass_fields__})
    return seen


def _paths(asked: argparse.Namespace, side: str) -> list[Path]:
    """Return the pictures of a side, by name."""
    if asked.held_out is None:
        return sorted((asked.images / side).glob("*/*"))
    start = asked.held_out + (_SIDE if side == "test" else 0)
    found: list[Path] = []
    for folder in sorted((asked.images / "train").iterdir()):
        found += sorted(folder.iterdir())[start : start + _SIDE]
    return found


def _taken_by(camera: str, path: Path, folder: Path) -> Path:
    target = folder / path.parent.name / f"{path.stem}.jpg"
    target.parent.mkdir(exist_ok=True)
    with Image.open(path) as picture:
        CAMERAS[camera][1](picture.convert("RGB")).save(target, quality=90)
    return target


if __name__ == "__main__":
    sys.exit(main())
