"""What the page asks for: an answer, what it rests on, and a picture taken in as a lesson.

Pictures are sent as they are, as the body. Nothing of them is kept or logged, except by a lesson.
"""

from __future__ import annotations

import base64
import io
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from flask import Blueprint, Response, jsonify, request
from PIL import Image

from core.errors import StoreError, UsageError
from core.store import similar_images
from core.store.database import transaction
from dashboard.address import class_address, image_address
from dashboard.door import caller
from dashboard.pages.tryout import offline, view
from dashboard.pages.tryout.desk import MAX_BYTES, Desk, require_champion
from dashboard.pages.tryout.occlusion import look
from dashboard.pages.tryout.teaching import Lesson, teach

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Engine

    from core.store.registry import Version
    from dashboard.page import House
    from dashboard.pages.tryout.desk import Answered

TOP = 5
SIMILAR = 12

_QUALITY = 90

_log = logging.getLogger(__name__)


def blueprint(house: House) -> Blueprint:
    """Return the routes below `/try/`; to ask needs the scope predict, to correct label."""
    routes = Blueprint("tryout", __name__)
    desk = Desk()

    @routes.post(view.PREDICT)
    def predict() -> Response:
        caller.current().require("predict")
        version, data = require_champion(house.engine), _picture()
        with desk.turn():
            answered = desk.answer(version, data)
        return jsonify(_said(version, answered) | _similar(house.engine, version, answered))

    @routes.post(view.LOOKED)
    def looked() -> Response:
        caller.current().require("predict")
        version, data = require_champion(house.engine), _picture()
        label = _known(version, request.args.get("label", ""))
        with desk.turn():
            answered = desk.answer(version, data)
            found = look(answered.runner, answered.tensor, version.labels.index(label))
        return jsonify(
            {
                "version": version.version,
                "label": label,
                "before": found.before,
                "lost": [[round(each, 6) for each in row] for row in found.lost.tolist()],
                "seconds": round(found.seconds, 2),
            }
        )

    @routes.post(view.WRONG)
    def wrong() -> Response:
        who = caller.current()
        who.require("label")
        version, data = require_champion(house.engine), _picture()
        label = _known(version, request.args.get("label", ""))
        lesson = Lesson(data, label, said=request.args.get("said", "")[:200])
        with desk.turn():
            return jsonify({"said": teach(house, who, version, lesson)})

    @routes.get(view.LABELS)
    def labels() -> Response:
        caller.current().require("read")
        version = require_champion(house.engine)
        return jsonify({"version": version.version, "labels": sorted(version.labels)})

    offline.add(routes, house)
    return routes


def _picture() -> bytes:
    request.max_content_length = MAX_BYTES
    return request.get_data(cache=False)


def _known(version: Version, label: str) -> str:
    if label not in version.labels:
        raise UsageError(f"{version.version} has no class of that name; load the page anew")
    return label


def _said(version: Version, answered: Answered) -> dict[str, Any]:
    order = np.argsort(-answered.probabilities, kind="stable")[:TOP]
    top = [
        {
            "label": version.labels[place],
            "probability": float(answered.probabilities[place]),
            "address": class_address(version.labels[place]),
        }
        for place in order
    ]
    return {
        "version": version.version,
        "top": top,
        "width": answered.width,
        "height": answered.height,
        "seen": _as_address(answered.tensor),
        "decode_ms": round(answered.decode_ms, 1),
        "model_ms": round(answered.model_ms, 1),
    }


def _similar(engine: Engine, version: Version, answered: Answered) -> dict[str, Any]:
    """Return the pool's likest images; a database that is away takes nothing of the answer."""
    try:
        with transaction(engine) as connection:
            compared = similar_images.seen(connection, version.version)
            found = similar_images.similar(
                connection, version.version, answered.embedding, most=SIMILAR
            )
    except StoreError as error:
        _log.warning("the most similar images cannot be looked up: %s", error)
        return {"compared": None, "similar": []}
    near = [
        {
            "image": each.image,
            "label": each.label,
            "likeness": round(each.likeness, 4),
            "picture": image_address(each.image),
            "address": class_address(each.label),
        }
        for each in found
    ]
    return {"compared": compared, "similar": near}


def _as_address(tensor: NDArray[np.uint8]) -> str:
    """Return what the model saw as a `data:` address: new bytes, made from the pixels alone."""
    file = io.BytesIO()
    Image.fromarray(tensor).save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
