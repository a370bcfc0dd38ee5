"""The images of a run: frozen, decoded once, and drawn as often as the run wants them."""
