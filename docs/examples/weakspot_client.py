"""A client of Weakspot in one file. Copy it; it needs httpx and nothing else.

with Weakspot("http://127.0.0.1:8000") as weakspot:
    answer = weakspot.predict(Path("dog.jpg").read_bytes())
    weakspot.label(answer["id"], "Dog")
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

import httpx

Json = dict[str, Any]
_LATER = (429, 503)  # refused for now; Retry-After says for how long


class RefusedError(Exception):
    """The service refused; `problem` says why (RFC 9457)."""

    def __init__(self, problem: Json) -> None:
        super().__init__(f"{problem['status']} {problem['code']}: {problem['detail']}")
        self.problem = problem


class Weakspot:
    """Asks one service, and asks again when it is told to come back later."""

    def __init__(
        self, address: str, *, key: str | None = None, attempts: int = 5, timeout_s: float = 30
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s)
        self._attempts = attempts

    def __enter__(self) -> "Weakspot":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def predict(self, image: bytes, *, top_k: int = 5) -> Json:
        """Classify one JPEG, PNG or WebP file; asked again, it is the same prediction."""
        once = {"Idempotency-Key": uuid.uuid4().hex}
        return self._ask("POST", f"/v1/predict?top_k={top_k}", content=image, headers=once)

    def predict_many(self, images: Sequence[bytes], *, at_a_time: int = 16) -> list[Json]:
        """Classify many; each result is an answer, or {"problem": ...} for that image."""
        results: list[Json] = []
        for i in range(0, len(images), at_a_time):
            files = [("images", (f"{i}", image)) for image in images[i : i + at_a_time]]
            results += self._ask("POST", "/v1/predict/batch", files=files)["results"]
        return [self._again(*each) for each in zip(images, results, strict=True)]

    def label(self, prediction_id: str, label: str) -> Json:
        """Say what the picture of a prediction really shows."""
        path = f"/v1/predictions/{prediction_id}/label"
        return self._ask("PUT", path, json={"label": label})

    def _again(self, image: bytes, result: Json) -> Json:
        later = result.get("problem", {}).get("status") in _LATER
        return self.predict(image) if later else result

    def _ask(self, method: str, path: str, **body: Any) -> Json:
        answer = self._http.request(method, path, **body)
        for attempt in range(1, self._attempts):
            if answer.status_code not in _LATER:
                break
            time.sleep(float(answer.headers.get("Retry-After", attempt)))
            answer = self._http.request(method, path, **body)
        if answer.is_error:
            raise RefusedError(answer.json())
        return answer.json()
