"""The demonstration's pictures: who is trained on, who arrives when, and the planted fault.

The sample set is divided once, by name: what the model learns from, what the gate keeps, and a
stream of new pictures that arrive day by day. From the day of the fault on, every new picture of
one class is cut in half, as by a camera that has slipped.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from core.errors import WeakspotError

TRAIN, VAL, TEST = 400, 60, 300
# Pictures of the class kept back for a busy day: asked about at once, labelled when asked for.
BUSY = 70
# Pictures of each class for the label inbox, which takes `WEAKSPOT_SERVICE_KEEP_SHARE` of them.
UNLABELLED = 10
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture on its way into the story."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Shares:
    """The sample set, divided: per side of the split, and what is still to arrive."""

    train: list[Picture]
    val: list[Picture]
    test: list[Picture]
    stream: dict[str, list[Picture]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said to one picture."""

    id: str
    label: str
    truth: str


def divide(folder: Path) -> Shares:
    """Divide the sample set, `TRAIN + VAL + TEST` pictures a class and the rest to arrive later.

    The order inside a class is that of a hash of the file's name: mixed, and always the same.
    """
    shares = Shares([], [], [], {})
    for class_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(class_folder.glob("*.png"), key=_order)
        pictures = [Picture(path, class_folder.name) for path in files]
        shares.train.extend(pictures[:TRAIN])
        shares.val.extend(pictures[TRAIN : TRAIN + VAL])
        shares.test.extend(pictures[TRAIN + VAL : TRAIN + VAL + TEST])
        shares.stream[class_folder.name] = pictures[TRAIN + VAL + TEST :]
    return shares


def day_of_stream(shares: Shares, day: int, days: int) -> list[Picture]:
    """Return the pictures that arrive on day `day` (1 ... days), equally many of each class."""
    share = (min(map(len, shares.stream.values())) - BUSY) // days
    return [
        picture
        for stream in shares.stream.values()
        for picture in stream[(day - 1) * share : day * share]
    ]


def busy_day(shares: Shares, label: str) -> list[Picture]:
    """Return the further pictures of one class that arrive on its busy day."""
    return shares.stream[label][-BUSY:]


def unlabelled_day(shares: Shares) -> list[Picture]:
    """Return pictures of every class that arrive when the story is over, with nobody's label."""
    return [picture for stream in shares.stream.values() for picture in stream[-BUSY:][:UNLABELLED]]


def cut_in_half(picture: Picture, folder: Path) -> Picture:
    """Write `picture` with its right half gone, in the background's grey, and return that one."""
    pixels = np.asarray(Image.open(picture.path, formats=("PNG",)).convert("L")).copy()
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    pixels[:, pixels.shape[1] // 2 :] = np.median(edge)
    target = folder / picture.label / f"cut_{picture.path.name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(target)
    return Picture(target, picture.label)


def write_list(
    target: Path, pictures: Sequence[tuple[Picture, str]], *, captured_at: datetime | None
) -> Path:
    """Write a CSV that `weakspot data import` reads; a split of "" leaves the choice to it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["path", "label", "split", "captured_at"])
    moment = captured_at.isoformat() if captured_at else ""
    writer.writerows((p.path.absolute(), p.label, split, moment) for p, split in pictures)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.getvalue(), encoding="utf-8")
    return target


def send(
    url: str,
    pictures: Sequence[Picture],
    on_answer: Callable[[], None] | None = None,
    *,
    labelled: bool = True,
) -> list[Answer]:
    """Post every picture to the service over HTTP, and return its answers.

    Args:
        url: Where the service is.
        pictures: What is sent.
        on_answer: Told of each answer.
        labelled: Whether the service is told what each picture shows.

    Raises:
        WeakspotError: An answer was no 200.
    """
    shares = [pictures[start::_CONNECTIONS] for start in range(_CONNECTIONS)]
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        answered = pool.map(
            lambda share: list(_send_all(url, share, on_answer, labelled=labelled)), shares
        )
        return [answer for share in answered for answer in share]


def _send_all(
    url: str,
    pictures: Sequence[Picture],
    on_answer: Callable[[], None] | None,
    *,
    labelled: bool,
) -> Iterator[Answer]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        for picture in pictures:
            answer = _request(
                connection, "POST", "/v1/predict", picture.path.read_bytes(), "image/png"
            )
            if labelled:
                _tell_truth(connection, answer["id"], picture.label)
            if on_answer is not None:
                on_answer()
            yield Answer(answer["id"], answer["label"], picture.label)
    finally:
        connection.close()


def _tell_truth(connection: http.client.HTTPConnection, prediction: str, label: str) -> None:
    truth = json.dumps({"label": label}).encode()
    _request(connection, "PUT", f"/v1/predictions/{prediction}/label", truth, "application/json")


def _request(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, content_type: str
) -> dict[str, str]:
    connection.request(method, path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.OK:
        raise WeakspotError(
            f"{method} {path} was answered with {response.status}: {content[:300]!r}"
        )
    return json.loads(content)


def _order(path: Path) -> str:
    return hashlib.sha256(path.name.encode()).hexdigest()
