"""How the learning rate rises and falls over the steps of a run."""

from __future__ import annotations

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from core.errors import UsageError

# Share of the steps in which the rate rises, where nobody says otherwise.
WARM_UPS = {"one-cycle": 0.3, "cosine": 0.05}


def warm_up_of(schedule: str, warm_up: float | None) -> float:
    """Return the share of the steps in which the rate rises.

    Raises:
        UsageError: There is no such schedule, or the share is not within 0 and 1.
    """
    if schedule not in WARM_UPS:
        raise UsageError(f"schedule {schedule!r} is unknown; write {' or '.join(WARM_UPS)}")
    if warm_up is not None and not 0 <= warm_up < 1:
        raise UsageError(f"warm_up {warm_up} must be from 0 to below 1, a share of the steps")
    return WARM_UPS[schedule] if warm_up is None else warm_up


def scheduler(optimizer: Optimizer, schedule: str, *, steps: int, warm_up: float) -> LRScheduler:
    """Return the schedule over all steps; the optimizer's own rate is its peak.

    `one-cycle` (Smith and Topin 2018) rises from a 25th of the peak, lowers the momentum while
    the rate is high, and falls to next to nothing; `cosine` (Loshchilov and Hutter 2017, without
    restarts) rises in a line and falls to zero.
    """
    if schedule == "cosine":
        return LambdaLR(optimizer, partial(cosine, steps=steps, warm_up=warm_up))
    peak = optimizer.param_groups[0]["lr"]
    return OneCycleLR(optimizer, max_lr=peak, total_steps=steps, pct_start=warm_up)


def cosine(step: int, *, steps: int, warm_up: float) -> float:
    """Return the rate of a step, counted from 0, as a share of the peak."""
    rising = round(warm_up * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(steps - rising, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
