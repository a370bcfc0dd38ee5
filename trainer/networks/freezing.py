"""Which parts of a network learn: all, the last stages, or one stage more with each pass."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from core.errors import TrainingError, UsageError
from trainer.networks.architectures import Network, stages

FREEZES = "none, backbone, stages:N or gradual"


def learning_stages(spec: str) -> int | None:
    """Return how many stages `freeze` lets learn from the start; None for all.

    `backbone` is none of this module's business: its head is fitted on kept features, and None
    is returned for it, too.

    Raises:
        UsageError: It is none of `none`, `backbone`, `stages:N` and `gradual`.
    """
    if spec in {"none", "backbone"}:
        return None
    if spec == "gradual":
        return 0
    word, _, number = spec.partition(":")
    if word != "stages" or not number.isdecimal() or int(number) < 1:
        raise UsageError(f"freeze {spec!r} is unknown; write {FREEZES}")
    return int(number)


def gradual_stages(network: Network, epoch: int) -> int | None:
    """Return how many stages learn in a pass, counted from 0; None once all does.

    The head alone in the first pass, one stage more in each after it, and what comes before the
    stages together with the first of them (Howard and Ruder 2018, gradual unfreezing).
    """
    _, modules = stages(network.backbone)
    return epoch if epoch < len(modules) else None


def freeze_stages(network: Network, trainable: int | None) -> None:
    """Let only the last `trainable` stages of the backbone learn, what follows them, and the head.

    Raises:
        TrainingError: The backbone has fewer stages, or none.
    """
    network.requires_grad_(requires_grad=True)
    if trainable is None:
        return
    prefix, modules = stages(network.backbone)
    if not 0 <= trainable <= len(modules):
        raise TrainingError(f"the backbone has {len(modules)} stages; {trainable} cannot learn")
    first = len(modules) - trainable
    reached = False
    # Parameters come in the network's order: stem, stages, and what follows them.
    for name, parameter in network.backbone.named_parameters():
        learns = reached
        if name.startswith(f"{prefix}."):
            reached = True
            learns = int(name.removeprefix(f"{prefix}.").partition(".")[0]) >= first
        parameter.requires_grad_(learns)


def frozen_modules(network: Network) -> Iterator[nn.Module]:
    """Yield the modules that have parameters none of which learns."""
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield module
