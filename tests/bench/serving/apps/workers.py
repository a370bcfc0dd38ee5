"""A server for `uvicorn --workers 2`: FastAPI and OpenVINO, one thread in each process."""

import os
import threading
from typing import Annotated

import openvino
import picture
from fastapi import Depends, FastAPI, Request

app = FastAPI()
compiled = openvino.Core().compile_model(
    picture.MODEL,
    "CPU",
    {
        "INFERENCE_PRECISION_HINT": os.environ["BENCH_PRECISION"],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    },
)
request_of_this_process = compiled.create_infer_request()
one_at_a_time = threading.Lock()


async def body(request: Request) -> bytes:
    """Return the bytes that were sent."""
    return await request.body()


@app.post("/predict")
def predict(data: Annotated[bytes, Depends(body)]) -> dict:
    """Answer one image."""
    image = picture.prepare(data)[None]
    with one_at_a_time:
        found = request_of_this_process.infer({"image": image}, share_inputs=True)
        probabilities = found["probabilities"][0].copy()
    return picture.answer(probabilities)


@app.get("/ready")
def ready() -> dict:
    """Say that the model is loaded."""
    return {}
