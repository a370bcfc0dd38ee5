"""The network itself: backbones, what of them learns, and their export to ONNX with its proof."""
