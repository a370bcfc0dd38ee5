"""LitServe with batching: a worker a core, onnxruntime with one thread in each, batches of 8."""

import os

import litserve as ls
import numpy as np
import onnxruntime
import picture
from fastapi import Request

BATCH = 8
WAIT_S = 0.01


class Classifier(ls.LitAPI):
    """The classifier, as LitServe's documentation writes one."""

    def setup(self, device):
        """Load the model in this worker."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            picture.MODEL, options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request: Request):
        """Return the picture of one request."""
        return picture.prepare(request["image"].file.read())

    def batch(self, inputs):
        """Stack the pictures."""
        return np.stack(inputs)

    def predict(self, x):
        """Ask the model about all of them."""
        return self.session.run(["probabilities"], {"image": x})[0]

    def unbatch(self, output):
        """Take the answers apart."""
        return list(output)

    def encode_response(self, output):
        """Answer one of them."""
        return picture.answer(output)


if __name__ == "__main__":
    server = ls.LitServer(
        Classifier(max_batch_size=BATCH, batch_timeout=WAIT_S),
        accelerator="cpu",
        workers_per_device=int(os.environ["BENCH_CORES"]),
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
