"""A program that is told to stop."""

import signal
import threading

import pytest

from core.stopping import stopping_on_signals


class TestStoppingOnSignals:
    """SIGTERM and SIGINT."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_sets_the_event_and_nothing_else(self, number: signal.Signals):
        """F20: the process must end by itself, with exit code 0."""
        stop = threading.Event()
        before = signal.getsignal(number)

        with stopping_on_signals(stop):
            signal.raise_signal(number)

        assert stop.is_set()
        assert signal.getsignal(number) is before
