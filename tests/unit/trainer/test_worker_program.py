"""What the worker makes of a training as it lies in the queue."""

import json
from dataclasses import asdict

import pytest

from core.errors import UsageError
from trainer.__main__ import config_from
from trainer.config import RunConfig


class TestConfigFrom:
    """From a job's payload to a run."""

    def test_gives_back_what_was_queued(self):
        """Through JSON, which has no tuples."""
        run = RunConfig(labels=("Cat", "Dog"), epochs=3, device="cpu")

        assert config_from(json.loads(json.dumps(asdict(run)))) == run

    @pytest.mark.parametrize(("wish", "device"), [("auto", "cpu"), ("cuda", "cuda")])
    def test_an_open_device_is_the_workers(self, wish: str, device: str):
        """Whoever queues a run does not know which machine takes it."""
        assert config_from({"device": wish}, device="cpu").device == device

    def test_names_what_no_run_has(self):
        """A field of a newer release: the job fails with its name."""
        with pytest.raises(UsageError, match="no 'momentum'"):
            config_from({"momentum": 0.9})
