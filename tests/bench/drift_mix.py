"""`python -m tests.bench.drift_mix`: ten points onto one of a few equal classes, found how often.

Simulated counts of 500 predictions against profiles of several sizes, by the whole verdict with
all other checks of the day silent. Beside it stands what no test could do much better: the
likelihood ratio averaged over which class moved and which way, with the whole level to itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import numpy as np
from scipy import special

from core.bundle.profile import COLUMNS
from core.stats.shares import shares_two_sample
from monitor.drift import columns, drift
from monitor.drift.columns import Finding

WINDOW, MOVED, LEVEL = 500, 0.1, 0.05
_BEST_RUNS = 100_000


def main() -> None:
    """Simulate, and print one JSON object, in percent of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--classes", type=int, nargs="*", default=[2, 3, 5, 10, 15])
    parser.add_argument("--profiles", type=int, nargs="*", default=[900, 2_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    found = [
        {"classes": k, "profile": m} | _measured(k, m, asked.runs, rng)
        for k in asked.classes
        for m in asked.profiles
    ]
    sys.stdout.write(json.dumps({"runs": asked.runs, "found": found}, indent=1) + "\n")


def _measured(k: int, m: int, runs: int, rng: np.random.Generator) -> dict[str, float]:
    even = np.full(k, 1 / k)
    moved = even * (1 - MOVED / (1 - even))
    moved[0] = even[0] + MOVED
    quiet = [
        _verdict(rng.multinomial(m, even), rng.multinomial(WINDOW, even), rng)[0:2]
        for _ in range(runs)
    ]
    said = [
        _verdict(rng.multinomial(m, even), rng.multinomial(WINDOW, moved), rng) for _ in range(runs)
    ]
    return {
        "found": _percent([drifts for _, drifts in said]),
        "without_drift_flagged": _percent([p <= LEVEL for p, _ in quiet]),
        "without_drift_called_drift": _percent([drifts for _, drifts in quiet]),
        "best_possible": _best(m, even, moved, rng),
    }


def _verdict(before: np.ndarray, now: np.ndarray, rng: np.random.Generator) -> tuple[float, bool]:
    """Return the p-value of a mix, and whether it is called drift within a silent day."""
    found = shares_two_sample(before, now, rng)
    finding = Finding(columns.PREDICTED, "", WINDOW, int(before.sum()), columns.SHARES_FLOOR)
    finding = replace(finding, p_value=found.p_value, effect=found.effect)
    silent = [replace(finding, column=name, p_value=0.5) for name in (*COLUMNS, columns.EMBEDDING)]
    sampled = np.flatnonzero(np.minimum(before, now) >= columns.FEWEST_OF_CLASS).tolist()
    silent += [replace(each, label=label) for label in sampled for each in silent]
    adjusted = drift.correct([finding, *silent])[0]
    return found.p_value, drift.verdict_of(finding, adjusted) == "drift"


def _best(m: int, even: np.ndarray, moved: np.ndarray, rng: np.random.Generator) -> float:
    chance, shift = (
        _evidence(rng.multinomial(m, even, _BEST_RUNS), rng.multinomial(WINDOW, now, _BEST_RUNS))
        for now in (even, moved)
    )
    return _percent((shift > np.quantile(chance, 1 - LEVEL)).tolist())


def _evidence(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return the logarithm of the averaged likelihood ratio of each pair, by the normal law."""
    n, m = now.sum(axis=1, keepdims=True), before.sum(axis=1, keepdims=True)
    p = (now + before) / (n + m)
    spread = np.sqrt(np.maximum(p * (1 - p), 1e-12) * (1 / n + 1 / m))
    score, expected = (now / n - before / m) / spread, MOVED / spread
    either = np.logaddexp(score * expected, -score * expected) - expected**2 / 2
    return special.logsumexp(either, axis=1)


def _percent(said: list[bool]) -> float:
    return round(100 * float(np.mean(said)), 1)


if __name__ == "__main__":
    main()
