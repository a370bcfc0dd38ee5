"""Many use the GPU together; who captures is alone."""

import threading
import time
from contextlib import AbstractContextManager

import pytest

from core.bundle.capture_gate import CaptureGate


@pytest.fixture
def gate() -> CaptureGate:
    """A gate of this test's own."""
    return CaptureGate()


def waits(way_in: AbstractContextManager[None]) -> tuple[threading.Thread, threading.Event]:
    """Go in by another thread; the event tells when it is inside."""
    inside = threading.Event()

    def enter() -> None:
        with way_in:
            inside.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return thread, inside


class TestCaptureGate:
    """Who is let in beside whom."""

    def test_lets_users_in_together(self, gate: CaptureGate):
        """One copies while the other's batch computes."""
        with gate.together():
            _, inside = waits(gate.together())

            assert inside.wait(5)

    def test_lets_nobody_in_during_a_capture(self, gate: CaptureGate):
        """A copy by another thread would spoil the recording."""
        with gate.alone():
            threads = [waits(gate.together()), waits(gate.alone())]
            time.sleep(0.05)
            assert not any(inside.is_set() for _, inside in threads)

        assert all(inside.wait(5) for _, inside in threads)

    def test_keeps_a_capture_out_until_the_users_have_left(self, gate: CaptureGate):
        """What they began, they finish."""
        with gate.together():
            _, inside = waits(gate.alone())
            time.sleep(0.05)
            assert not inside.is_set()

        assert inside.wait(5)

    def test_does_not_starve_a_capture(self, gate: CaptureGate):
        """Under load there is always a user; a promotion must come through all the same."""
        with gate.together():
            _, captured = waits(gate.alone())
            time.sleep(0.05)
            _, late = waits(gate.together())
            time.sleep(0.05)
            assert not late.is_set()

        assert captured.wait(5)
        assert late.wait(5)

    def test_is_free_again_after_an_error(self, gate: CaptureGate):
        """A recording that fails must not stop the service."""
        for way_in in (gate.alone, gate.together):
            with pytest.raises(ZeroDivisionError), way_in():
                _ = 1 / 0

        with gate.alone():
            pass
