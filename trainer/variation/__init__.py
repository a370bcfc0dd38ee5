"""How training images are varied from pass to pass, as tensors on the device."""
