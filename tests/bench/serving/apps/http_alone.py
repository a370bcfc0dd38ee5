"""What HTTP alone costs: our way of reading a body and writing an answer, nothing between."""

import os
import socket
import threading

from fastapi import FastAPI, Request

from core.stopping import stopping_on_signals
from service.schemas import Candidate
from service.server import Server

app = FastAPI()
TOP = [Candidate(label=f"Label {i}", probability=0.2) for i in range(5)]


@app.post("/predict")
async def predict(request: Request) -> list[Candidate]:
    """Read one image, and answer what is always the same."""
    await request.body()
    return TOP


@app.get("/ready")
async def ready() -> dict:
    """Say that it runs."""
    return {}


if __name__ == "__main__":
    stop = threading.Event()
    with stopping_on_signals(stop), socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(os.environ["BENCH_PORT"])))
        Server(app, stop=stop, drain_s=2, on_started=lambda: None).run([listener])
