"""How often, and how soon, a promoted version is rolled back: the table of docs/training.md.

Run it with: python -m tests.bench.rollbacks
"""

from __future__ import annotations

import sys
import time

import numpy as np

from core.stats.paired_simulation import simulate_promotions

IMAGES, DAYS, ALPHA = 10, 14, 0.01
_PROMOTIONS = {15: 20_000, 1_000: 500}

# What is right by the new version alone, by the old one alone, and that of one class, in percent.
CASES = {
    "as good, 4 % of the answers differing": (2, 2, None),
    "as good, 10 % differing": (5, 5, None),
    "2 points better everywhere": (3, 1, None),
    "1 point worse everywhere": (2, 3, None),
    "2 points worse everywhere": (2, 4, None),
    "5 points worse everywhere": (2, 7, None),
    "15 points worse on one class": (2, 2, 17),
    "30 points worse on one class": (2, 2, 32),
    "60 points worse on one class": (2, 2, 62),
}


def row(classes: int, case: str) -> str:
    """Return a line of the table."""
    only_new, only_old, of_one = CASES[case]
    lost = np.full(classes, only_old / 100)
    if of_one is not None:
        lost[0] = of_one / 100
    found = simulate_promotions(
        np.random.default_rng(28),
        only_new=np.full(classes, only_new / 100),
        only_old=lost,
        images=IMAGES,
        days=DAYS,
        alpha=ALPHA,
        promotions=_PROMOTIONS[classes],
    )
    days = " / ".join(
        "-" if np.isnan(q) else f"{q:.0f}" for q in map(found.day_quantile, (0.5, 0.9))
    )
    return f"| {classes:,} | {case} | {100 * found.share:.2f} % | {days} |"


def main() -> None:
    """Print the table."""
    began = time.perf_counter()
    lines = ["| classes | the new version is | rolled back | day, median / 90th percentile |"]
    lines += ["|---|---|---|---|"]
    lines += [row(classes, case) for classes in _PROMOTIONS for case in CASES]
    sys.stdout.write("\n".join(lines) + f"\n\n{time.perf_counter() - began:.0f} s\n")


if __name__ == "__main__":
    main()
