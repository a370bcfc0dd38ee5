"""A plain server: FastAPI, Pillow, onnxruntime with its defaults, a sync endpoint in threads."""

from typing import Annotated

import onnxruntime
import picture
from fastapi import Depends, FastAPI, Request

app = FastAPI()
session = onnxruntime.InferenceSession(picture.MODEL, providers=["CPUExecutionProvider"])


async def body(request: Request) -> bytes:
    """Return the bytes that were sent."""
    return await request.body()


@app.post("/predict")
def predict(data: Annotated[bytes, Depends(body)]) -> dict:
    """Answer one image."""
    image = picture.prepare(data)[None]
    return picture.answer(session.run(["probabilities"], {"image": image})[0][0])


@app.get("/ready")
def ready() -> dict:
    """Say that the model is loaded."""
    return {}
