"""What every peer does with the bytes it is sent, the way people write it: Pillow, whole."""

import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

BUNDLE = Path(os.environ["BENCH_BUNDLE"])
MANIFEST = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
LABELS = MANIFEST["labels"]
RECIPE = MANIFEST["recipe"]
MODEL = str(BUNDLE / "model.onnx")
FILTER = Image.Resampling[RECIPE["interpolation"].upper()]


def prepare(data: bytes) -> np.ndarray:
    """Decode, scale the short side, cut out the centre; uint8 (H, W, 3)."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    height, width = RECIPE["height"], RECIPE["width"]
    if RECIPE["resize"] is None:
        return np.asarray(image.resize((width, height), FILTER))
    scale = RECIPE["resize"] / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), FILTER)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)))


def answer(probabilities: np.ndarray) -> dict:
    """Return the five likeliest labels of one image."""
    best = np.argsort(-probabilities)[:5]
    top = [{"label": LABELS[i], "probability": float(probabilities[i])} for i in best]
    return {"label": top[0]["label"], "confidence": top[0]["probability"], "top": top}
