"""What Ray Train does for our ranks before they begin: it numbers them, and joins nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray.train.backend import Backend
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars


class _Numbered(Backend):
    """Sets each rank's number, and lets the ranks of a machine see all of its GPUs."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Set the variables that torchrun would set."""
        worker_group.execute(_set_torch_distributed_env_vars)


@dataclass
class MeetByOurselves(TorchConfig):
    """Leaves it to trainer.ranks how the ranks meet: Ray would open a port to all networks."""

    @property
    def backend_cls(self) -> Any:
        """Return what Ray Train calls."""
        return _Numbered
