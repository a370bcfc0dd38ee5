"""Room for large pictures."""

import threading

from service.model.pixel_budget import PixelBudget


class TestPixelBudget:
    """Who decodes at one moment."""

    def test_lets_large_pictures_wait_for_one_another(self):
        """A batch of camera pictures would otherwise take gigabytes."""
        budget, inside = PixelBudget(50_000_000), threading.Event()

        def third() -> None:
            with budget.hold(25_000_000):
                inside.set()

        waiting = threading.Thread(target=third)
        with budget.hold(25_000_000), budget.hold(25_000_000):
            waiting.start()
            assert not inside.wait(0.1)
        assert inside.wait(5)
        waiting.join()
        assert len(budget) == 0

    def test_never_lets_a_small_one_wait(self):
        """Ordinary traffic goes on beside the large ones."""
        budget = PixelBudget(50_000_000)

        with budget.hold(50_000_000), budget.hold(1_000_000):
            assert len(budget) == 50_000_000

    def test_lets_one_beyond_the_limit_in_alone(self):
        """A limit that is set too low must not lock anybody out for ever."""
        budget = PixelBudget(1)

        with budget.hold(2_000_000):
            assert len(budget) == 2_000_000
        assert len(budget) == 0
