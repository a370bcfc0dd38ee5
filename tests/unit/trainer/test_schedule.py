"""The learning rate rises, falls, and ends low."""

import math

import pytest
import torch
from torch import nn

from core.errors import UsageError
from trainer.config import RunConfig
from trainer.fitting.schedule import cosine, scheduler

PEAK = 0.5


def _rates(schedule: str, *, steps: int, warm_up: float) -> list[float]:
    optimizer = torch.optim.AdamW(nn.Linear(1, 1).parameters(), lr=PEAK)
    plan = scheduler(optimizer, schedule, steps=steps, warm_up=warm_up)
    rates: list[float] = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step() if len(rates) < steps else None
    return rates


class TestSchedule:
    """The rate of each step."""

    @pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
    def test_rises_for_its_share_of_the_steps_and_falls_from_then_on(self, schedule: str):
        """The peak lies where warm_up says, at the rate that was asked for."""
        rates = _rates(schedule, steps=100, warm_up=0.2)

        top = rates.index(max(rates))
        assert 18 <= top <= 20
        assert max(rates) == pytest.approx(PEAK, rel=0.01)
        assert rates[top:] == sorted(rates[top:], reverse=True)
        assert rates[-1] < 0.01 * PEAK

    def test_cosine_is_the_formula_of_the_paper(self):
        """Loshchilov and Hutter: half of 1 + cos(pi t / T)."""
        rates = [cosine(step, steps=40, warm_up=0) for step in range(40)]

        assert rates == pytest.approx([(1 + math.cos(math.pi * t / 40)) / 2 for t in range(40)])

    @pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
    def test_does_for_a_run_of_one_step(self, schedule: str):
        """A handful of images are one batch."""
        assert len(_rates(schedule, steps=1, warm_up=0.3)) == 1

    @pytest.mark.parametrize(
        ("changes", "why"),
        [({"schedule": "linear"}, "write one-cycle or cosine"), ({"warm_up": 1.0}, "below 1")],
    )
    def test_refuses_what_it_does_not_know(self, changes: dict[str, object], why: str):
        """Before anything is loaded."""
        with pytest.raises(UsageError, match=why):
            RunConfig(**changes)  # type: ignore[arg-type]
